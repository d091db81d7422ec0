"""Boxes around what stands out in an image: connected regions of U²-Net's saliency.

Input: an upright RGB image. Output: boxes in its pixels, each with the mean saliency of its region.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch

from ovsam.preprocess import PIXEL_MEAN, PIXEL_STD
from ovsam_pipeline.detectors.photo.u2netp import U2NetP

INPUT_SIZE = 320
_THRESHOLD = 0.5
_LEAST_AREA = 0.01  # of the image: smaller regions are mostly parts and specks


def find_salient_boxes(network: U2NetP, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, 4) float32 boxes and (N,) float32 mean saliencies of the salient regions.

    Args:
        rgb: (H, W, 3) uint8; it is squeezed into a square, as the network was trained.
    """
    size = (INPUT_SIZE, INPUT_SIZE)
    resized = cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    pixels = (resized - np.array(PIXEL_MEAN, np.float32)) / np.array(PIXEL_STD, np.float32)
    device = next(network.parameters()).device
    # A view of (1, H, W, 3) is channels last, in which convolutions are a quarter faster.
    batch = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2).to(device)
    saliency = network(batch)[0].float().cpu().numpy()
    height, width = rgb.shape[:2]
    return _box_regions(saliency, np.array([width, height] * 2) / INPUT_SIZE)


def _box_regions(saliency: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    is_salient = (saliency >= _THRESHOLD).astype(np.uint8)
    count, regions, stats, _ = cv2.connectedComponentsWithStats(is_salient, connectivity=8)
    boxes, means = np.zeros((count, 4)), np.zeros(count)
    for index in range(1, count):  # 0 is the background
        left, top, width, height, area = stats[index]
        if area >= _LEAST_AREA * saliency.size:
            boxes[index] = left, top, left + width, top + height
            means[index] = saliency[regions == index].mean()
    kept = np.flatnonzero(means)
    return (boxes[kept] * scale).astype(np.float32), means[kept].astype(np.float32)
