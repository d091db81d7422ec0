"""`--detector photo`: COCO's classes by NanoDet, and boxes without a class around what is salient.

NanoDet looks at every image. Where its confident boxes leave half of the image uncovered, U²-Net
looks too, and its salient regions that these boxes do not explain become boxes that the model is to
name. All numbers here were chosen by `benchmarks/photo/detector.py` (docs/detectors.md).

Which boxes there are does not depend on `conf`: a higher one only leaves out those that score less.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ovsam.errors import CheckpointError, describe_error
from ovsam.preprocess import prepare_image
from ovsam.region_operators import batched_nms, box_iou
from ovsam.weights.quantise import dequantise
from ovsam.weights.tensor_files import read_tensors
from ovsam_pipeline.detectors.base import Detections, Detector, DetectorImage
from ovsam_pipeline.detectors.identity import find_embedded, identify_photo
from ovsam_pipeline.detectors.photo.nanodet import (
    PIXEL_MEAN_BGR,
    PIXEL_STD_BGR,
    STRIDES,
    NanoDet,
)
from ovsam_pipeline.detectors.photo.saliency import find_salient_boxes
from ovsam_pipeline.detectors.photo.u2netp import U2NetP
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.errors import DetectorError

INPUT_SIZE = 416
_MOST_CANDIDATES = 1000  # per image, before duplicates are suppressed
_NMS_IOU = 0.6  # within a class, NanoDet's own
# NanoDet scores low: at 0.25 more than half of its boxes on photos are wrong. With its scores to
# this power a run's default `conf` of 0.25 is its 0.4.
_SCORE_POWER = 1.5
_CONFIDENT = 0.25
MOST_COVERED = 0.5  # of the image, by confident boxes: more, and U²-Net is not asked
# A salient region is explained by a confident box that is nearly its own, or by several together.
_SAME_IOU = 0.5
_EXPLAINED = 0.6
# Salient boxes are right as often as those that NanoDet scores 0.25 and more, so their score, half
# the mean saliency, lies among theirs.
_SALIENT_SCORE = 0.5
_GRID = 64  # cells along each side on which covered areas are counted


class PhotoDetector(Detector):
    """The embedded detector for photographs, with its own weights or those of another file.

    Raises a DetectorError where the file is missing or does not fit the networks.
    """

    def __init__(self, settings: DetectorSettings, weights: Path | None = None) -> None:
        path = weights or find_embedded("photo")
        self.device = settings.device
        self.nanodet, self.saliency = NanoDet(), U2NetP()
        self._load(path)
        identity = identify_photo(settings, path)
        self.name, self.fingerprint = identity.name, identity.fingerprint
        self.class_names, self.licence = identity.class_names or (), identity.licence
        self._threshold = settings.score_threshold

    @torch.inference_mode()
    def detect(self, images: Sequence[DetectorImage]) -> list[Detections]:
        """Find the boxes of a batch; see `Detector.detect`."""
        # One image at a time: an image's boxes must not depend on its neighbours in the batch.
        return [self._detect_one(image.rgb) for image in images]

    def _load(self, path: Path) -> None:
        try:
            tensors = {
                name: tensor.float() for name, tensor in dequantise(read_tensors(path)).items()
            }
            for name, network in (("nanodet.", self.nanodet), ("saliency.", self.saliency)):
                own = {k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)}
                network.load_state_dict(own)
                network.to(self.device).to(memory_format=torch.channels_last)
                network.eval().requires_grad_(False)
        except (CheckpointError, RuntimeError) as error:
            raise DetectorError(
                f"expected the weights of the photo detector in {path}, got a file that does not "
                f"load ({describe_error(error)[:160]}); reinstall ovsam"
            ) from error

    def _detect_one(self, rgb: np.ndarray) -> Detections:
        boxes, scores, names = self._find_named(rgb)
        confident = boxes[scores >= _CONFIDENT]
        covered = _draw_cover(confident, rgb.shape[:2])
        if covered.mean() < MOST_COVERED and self._threshold < _SALIENT_SCORE:
            salient, saliencies = find_salient_boxes(self.saliency, rgb)
            is_new = _find_unexplained(salient, confident, covered, rgb.shape[:2])
            boxes = np.concatenate([boxes, salient[is_new]])
            scores = np.concatenate([scores, _SALIENT_SCORE * saliencies[is_new]])
            names = (*names, *[None] * int(is_new.sum()))
        return Detections(boxes, scores, names).select(np.argsort(-scores, kind="stable"))

    def _find_named(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[str | None, ...]]:
        """Return NanoDet's boxes (N, 4) float32, scores (N,) and class names."""
        prepared = prepare_image(rgb, INPUT_SIZE)
        outputs = self.nanodet(_to_input(prepared.pixels).to(self.device))
        all_scores, all_boxes = (output[0].float().cpu() for output in outputs)
        all_scores = all_scores**_SCORE_POWER
        # Confident boxes decide where U²-Net looks, whatever `conf` is.
        cells, labels = (all_scores >= min(self._threshold, _CONFIDENT)).nonzero(as_tuple=True)
        scores = all_scores[cells, labels]
        best = scores.argsort(descending=True, stable=True)[:_MOST_CANDIDATES]
        boxes, scores, labels = all_boxes[cells[best]], scores[best], labels[best]
        kept = batched_nms(boxes, scores, labels, _NMS_IOU)
        scale = np.array([*prepared.scale_xy, *prepared.scale_xy], np.float32)
        names = tuple(self.class_names[label] for label in labels[kept].tolist())
        return boxes[kept].numpy() / scale, scores[kept].numpy(), names


def _to_input(pixels: np.ndarray) -> Tensor:
    """Normalise (h, w, 3) RGB and fill up with black to multiples of the largest stride."""
    height, width = (-(-side // STRIDES[-1]) * STRIDES[-1] for side in pixels.shape[:2])
    padded = np.zeros((height, width, 3), np.float32)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels[:, :, ::-1]
    padded = (padded - np.array(PIXEL_MEAN_BGR, np.float32)) / np.array(PIXEL_STD_BGR, np.float32)
    # A view of (1, H, W, 3) is channels last, in which convolutions are a quarter faster.
    return torch.from_numpy(padded)[None].permute(0, 3, 1, 2)


def _draw_cover(boxes_xyxy: np.ndarray, size_hw: tuple[int, ...]) -> np.ndarray:
    """Return a (64, 64) bool grid over the image: which cells any of the boxes covers."""
    covered = np.zeros((_GRID, _GRID), bool)
    for left, top, right, bottom in _to_cells(boxes_xyxy, size_hw):
        covered[top:bottom, left:right] = True
    return covered


def _find_unexplained(
    salient: np.ndarray, confident: np.ndarray, covered: np.ndarray, size_hw: tuple[int, ...]
) -> np.ndarray:
    """Return which of the (N, 4) salient boxes no confident box, or several together, explain."""
    overlaps = box_iou(torch.from_numpy(salient), torch.from_numpy(confident)).numpy()
    cells = _to_cells(salient, size_hw)
    shares = [covered[top:bottom, left:right].mean() for left, top, right, bottom in cells]
    return (overlaps.max(axis=1, initial=0) < _SAME_IOU) & (np.array(shares) < _EXPLAINED)


def _to_cells(boxes_xyxy: np.ndarray, size_hw: tuple[int, ...]) -> list[list[int]]:
    """Return boxes in cells of the grid, at least one cell wide and high inside the image."""
    scale = np.array([size_hw[1], size_hw[0]] * 2) / _GRID
    cells = np.clip(np.rint(boxes_xyxy / scale), 0, _GRID).astype(int)
    cells[:, :2] = np.minimum(cells[:, :2], _GRID - 1)
    cells[:, 2:] = np.maximum(cells[:, 2:], cells[:, :2] + 1)
    return cells.tolist()
