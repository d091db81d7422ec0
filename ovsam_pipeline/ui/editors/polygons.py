"""A mask → polygons that a person can correct: few corners, no specks.

`export/polygons.py` keeps every pixel, as a file for training must. Here a part that is one of a
hundred of the object, or a hole so small, is noise to whoever has to move corners.
"""

from __future__ import annotations

import cv2
import numpy as np

from ovsam_pipeline.export.mask_crops import MaskCrop
from ovsam_pipeline.export.polygons import trace_edges

_LEAST_SHARE = 0.01
_MOST_PARTS = 50


def outline_object(crop: MaskCrop, *, pixels: float = 0.0, share: float = 0.0) -> list[np.ndarray]:
    """Return the parts of a mask as polygons, holes hung on them by cuts without width.

    Args:
        crop: the mask; it has a pixel.
        pixels: how far a polygon may lie from the mask's edge.
        share: the same in lengths of the outline.

    Returns:
        (n, 2) float64 each, x then y, pixels of the image, 0 at the left edge of its first pixel.
    """
    corner = np.array([crop.left, crop.top], np.float64)
    rings = trace_edges(_drop_specks(crop.pixels))
    return [_simplify(ring, pixels, share) + corner for ring in rings]


def _drop_specks(pixels: np.ndarray) -> np.ndarray:
    """Return (h, w) bool pixels without parts and holes that are small for the object."""
    least = max(1.0, pixels.sum() * _LEAST_SHARE)
    kept = _keep_large(pixels, least)
    # Around a border of one pixel the outside is one part, and no hole.
    outside = _keep_large(np.pad(~kept, 1, constant_values=True), least)
    return ~outside[1:-1, 1:-1]


def _keep_large(pixels: np.ndarray, least: float) -> np.ndarray:
    """Return the largest 4-connected parts: one, and others of at least so many pixels."""
    _, parts, facts, _ = cv2.connectedComponentsWithStats(pixels.astype(np.uint8), connectivity=4)
    areas = facts[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # what is not set
    is_kept = np.zeros(len(areas), bool)
    is_kept[np.argsort(-areas, kind="stable")[:_MOST_PARTS]] = True
    is_kept &= areas >= max(1, min(least, areas.max()))
    return np.asarray(is_kept[parts])


def _simplify(ring: np.ndarray, pixels: float, share: float) -> np.ndarray:
    points = ring.astype(np.float32)
    tolerance = max(pixels, share * cv2.arcLength(points, closed=True))
    short = cv2.approxPolyDP(points, tolerance, closed=True).reshape(-1, 2)
    # A polygon has three corners or more.
    return (points if len(short) < 3 else short).astype(np.float64)
