"""Box arithmetic in float32: deltas → boxes, clipping, and back to the original image's pixels.

Boxes are xyxy. Letters: N boxes, K boxes a row.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ovsam_pipeline.detectors.official.rcnn.structures import SizeHW

Weights = tuple[float, float, float, float]

# A box grows to at most 1000 / 16 of its width, whatever the network says.
_LARGEST_LOG_SCALE = math.log(1000.0 / 16)


def decode_deltas(deltas: Tensor, boxes: Tensor, weights: Weights) -> Tensor:
    """Move and scale boxes.

    `deltas`: (N, 4K): shift of the centre in box sizes, log of the growth, each times its weight.
    `boxes`: (N, 4) xyxy. Returns (N, 4K) float32 xyxy.
    """
    boxes = boxes.float()
    sizes = boxes[:, 2:] - boxes[:, :2]
    centres = boxes[:, :2] + 0.5 * sizes
    scaled = deltas.float().unflatten(1, (-1, 4)) / deltas.new_tensor(weights, dtype=torch.float32)
    new_centres = scaled[..., :2] * sizes[:, None] + centres[:, None]
    half = 0.5 * torch.exp(scaled[..., 2:].clamp(max=_LARGEST_LOG_SCALE)) * sizes[:, None]
    return torch.cat([new_centres - half, new_centres + half], dim=-1).flatten(1)


def clip_boxes(boxes: Tensor, size_hw: SizeHW) -> Tensor:
    """Return (N, 4K) boxes moved into an image of `size_hw`."""
    height, width = size_hw
    limits = boxes.new_tensor([width, height])
    corners = boxes.unflatten(-1, (-1, 2))
    return torch.minimum(corners.clamp(min=0), limits).flatten(-2)


def find_nonempty(boxes: Tensor) -> Tensor:
    """Return (N,) bool: which (N, 4) boxes have width and height."""
    return (boxes[:, 2:] > boxes[:, :2]).all(dim=1)


def restore_boxes(boxes: Tensor, resized_hw: SizeHW, original_hw: SizeHW) -> tuple[Tensor, Tensor]:
    """Move boxes from the resized to the original image, clip them there, drop empty ones.

    `boxes`: (N, 4), pixels of the resized image. Returns (M, 4) boxes in original pixels and (M,)
    int64, their rows among the N.
    """
    scale_y, scale_x = (o / r for o, r in zip(original_hw, resized_hw, strict=True))
    restored = boxes * boxes.new_tensor([scale_x, scale_y, scale_x, scale_y])
    restored = clip_boxes(restored, original_hw)
    kept = find_nonempty(restored).nonzero().squeeze(1)
    return restored[kept], kept
