"""Run lengths of a mask → its outline as an SVG path, simplified for the size it is drawn at.

Paths run along the edges of pixels, so that a mask of three pixels is as large as three pixels.
They are filled by the rule "evenodd": holes stay holes, whichever way they are walked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ovsam.decode import DEFAULT_MAX_PIXELS
from ovsam_pipeline.export.mask_crops import MaskCrop, crop_masks

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import RLE

# A mask of others may claim any size: this is that of the largest image that is labelled.
_MOST_PIXELS = DEFAULT_MAX_PIXELS
_PIXELS_AT_ONCE = 1 << 26
# Of a mask's thickness: what an outline may be off, however coarse it is drawn. Found by
# benchmarks/ui/outlines.py as the largest that keeps the IoU of small objects above .98.
_MOST_SHARE = 0.02
# Below it the stairs of slanted edges, which nobody wants to see, are most of the corners.
_LEAST = 0.75
# From so many steps on a mask is thick. Samples along a side show how thick it is.
_THICK = 64
_SAMPLES = 64


def outline_path(segmentation: RLE, tolerance: float) -> str:
    """Return the outline of a mask; see `outline_paths`."""
    return outline_paths([segmentation], tolerance)[0]


def outline_paths(segmentations: Sequence[RLE], tolerance: float) -> list[str]:
    """Return the outlines of N masks as SVG paths, "" for a mask without a pixel.

    Args:
        segmentations: COCO run lengths.
        tolerance: how far an outline may be off, in pixels of the image: half a pixel of the
            picture that it is drawn on. Small and thin masks are drawn more exactly; below .75
            none is, unless it is small.

    Coordinates are pixels of the upright original image, 0 at the left edge of the first pixel.
    A ValueError where one is no mask of an image of its size, or of a larger one than any.
    """
    largest = max((math.prod(one["size"]) for one in segmentations), default=1)
    if largest > _MOST_PIXELS or any(min(one["size"]) < 0 for one in segmentations):
        raise ValueError(f"expected masks of 0 to {_MOST_PIXELS:,} pixels, got {largest:,}")
    # Small masks many at once, of large ones no more than memory is for.
    count = max(1, _PIXELS_AT_ONCE // max(largest, 1))
    groups = [segmentations[i : i + count] for i in range(0, len(segmentations), count)]
    return [_trace(crop, tolerance) for group in groups for crop in crop_masks(group)]


def _trace(crop: MaskCrop, tolerance: float) -> str:
    # Memory holds columns one after the other: x goes down this array, and y along it.
    pixels = crop.pixels.T
    if not pixels.size:
        return ""
    thickness = _estimate_thickness(pixels)
    tolerance = min(max(tolerance, _LEAST), _MOST_SHARE * thickness)
    step = max(1, int(tolerance + 0.1))
    sampled = pixels[step // 2 :: step, step // 2 :: step]
    is_thick = thickness > _THICK * step
    points = _to_corners(sampled) if is_thick else _to_lattice(sampled)
    scale = step if is_thick else step / 2
    rings, _ = cv2.findContours(points, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    # Pixels left out are half of a step off at most; the rest is for corners left out.
    epsilon = (tolerance - (step - 1) / 2) / scale
    parts = []
    for ring in rings:
        corners = cv2.approxPolyDP(ring, epsilon, closed=True).reshape(-1, 2)
        if len(corners) > 2:
            parts.append(_write(corners[:, ::-1] * scale + (crop.left, crop.top)))
    return "".join(parts)


def _estimate_thickness(pixels: np.ndarray) -> float:
    """Return the mean length of a mask's runs along or across, whichever is less, in pixels."""
    step = max(1, min(pixels.shape) // _SAMPLES)
    some = pixels[::step, ::step]
    runs = (
        np.count_nonzero(some[0]) + np.count_nonzero(some[1:] > some[:-1]),
        np.count_nonzero(some[:, 0]) + np.count_nonzero(some[:, 1:] > some[:, :-1]),
    )
    return step * int(np.count_nonzero(some)) / max(*runs, 1)


def _to_lattice(pixels: np.ndarray) -> np.ndarray:
    """Return (h, w) pixels as points, (2h + 1, 2w + 1) uint8: each with its corners and edges.

    OpenCV's contours go through points. Through the centres of pixels they would be half a pixel
    inside of the mask.
    """
    height, width = pixels.shape
    points = np.zeros((2 * height + 1, 2 * width + 1), np.uint8)
    centres = points[1::2]
    centres[:, 1::2] = pixels
    centres[:, :-1:2] |= centres[:, 1::2]
    centres[:, 2::2] |= centres[:, 1::2]
    points[:-1:2] |= centres
    points[2::2] |= centres
    return points


def _to_corners(pixels: np.ndarray) -> np.ndarray:
    """Return the corners of (h, w) pixels as points, (h + 1, w + 1) uint8.

    A quarter of the lattice. Slanted edges are a third of a pixel too far out, and holes of one
    pixel are lost, which nobody sees of a thick mask.
    """
    height, width = pixels.shape
    points = np.zeros((height + 1, width + 1), np.uint8)
    for down, along in ((0, 0), (0, 1), (1, 0), (1, 1)):
        points[down : down + height, along : along + width] |= pixels
    return points


def _write(corners: np.ndarray) -> str:
    """Return a closed path through (n, 2) corners x, y."""
    text = "L".join(f"{x:g} {y:g}" for x, y in corners.tolist())
    return f"M{text}Z"
