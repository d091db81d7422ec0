"""COCO segmentations as compressed run lengths, and what can be read off them.

Polygons, lists of run lengths and compressed run lengths go in; {"size", "counts"} dicts that
pycocotools reads come out. Damaged run lengths are sorted out where files are read, not here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from ovsam_pipeline.errors import DatasetError

_FEWEST_NUMBERS = 6
"""Of a polygon: pycocotools would read four numbers as a box."""

_AREA_BATCH = 255
"""pycocotools 2.0.11 with numpy 2 fails on more: it writes their number as uint8."""


def to_rle(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """Return a segmentation as compressed run lengths, as pycocotools makes them.

    Args:
        segmentation: list of polygons (x, y, x, y, … in pixels), {"size", "counts"}, or None for
            an empty mask. Rings of fewer than three points or an odd number of values are left out.
        height: of the image, pixels; run lengths bring their own.
        width: likewise.

    Returns:
        {"size": [height, width], "counts": bytes or text}.

    Raises:
        DatasetError: polygons of an image whose size is not known.
    """
    if isinstance(segmentation, dict):
        if not isinstance(segmentation["counts"], list):
            return segmentation
        return coco_mask.frPyObjects(segmentation, *segmentation["size"])
    check_size(height, width)
    rings = [
        ring for ring in segmentation or [] if len(ring) >= _FEWEST_NUMBERS and len(ring) % 2 == 0
    ]
    if not rings:
        empty = {"size": [height, width], "counts": [height * width]}
        return coco_mask.frPyObjects(empty, height, width)
    return coco_mask.merge(coco_mask.frPyObjects(rings, height, width))


def check_size(height: int, width: int) -> None:
    """Refuse to draw polygons on an image whose size is not known.

    Raises:
        DatasetError: it is -1.
    """
    if height < 0 or width < 0:
        raise DatasetError(
            "polygons need the height and width of their image, which the ground truth does not "
            "state; add `height` and `width` to its images"
        )


def compute_mask_areas(rles: list[dict[str, Any]]) -> np.ndarray:
    """Return the pixels of each mask: (N,) float64."""
    if not rles:
        return np.zeros(0)
    batches = range(0, len(rles), _AREA_BATCH)
    return np.concatenate(
        [np.asarray(coco_mask.area(rles[i : i + _AREA_BATCH]), np.float64) for i in batches]
    )


def compute_tight_boxes(rles: list[dict[str, Any]]) -> np.ndarray:
    """Return the tight box of each mask: (N, 4) float64 x, y, w, h; zeros for an empty mask."""
    if not rles:
        return np.zeros((0, 4))
    return np.asarray(coco_mask.toBbox(rles), np.float64).reshape(-1, 4)
