"""What people draw in editors → run lengths of the image's size: boxes, ellipses, polygons, pixels.

Files that come back are data of others: numbers may be anything, and what is drawn may lie outside.
Nothing here takes more memory than the box of a mask has pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as coco_mask

from ovsam.coco_fields import to_number, to_side
from ovsam.decode import DEFAULT_MAX_PIXELS
from ovsam.errors import show_value
from ovsam.masks import compute_mask_areas, to_rle
from ovsam.run_lengths import find_readable_counts
from ovsam_pipeline.export.mask_crops import MaskCrop, encode_crop

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import RLE

_ELLIPSE_POINTS = 72
_LEAST_POINTS = 3


def check_size(height: Any, width: Any) -> tuple[int, int]:
    """Return the sides of an image in pixels; a ValueError where they are none."""
    sides = to_side(to_number(height)), to_side(to_number(width))
    if sides[0] is None or sides[1] is None:
        got = f"{show_value(width, 20)} x {show_value(height, 20)}"
        raise ValueError(f"expected the width and height of the image, got {got}")
    if sides[0] * sides[1] > DEFAULT_MAX_PIXELS:
        raise ValueError(f"an image of {sides[1]} x {sides[0]} pixels is too large")
    return sides[0], sides[1]


def draw_pixels(pixels: np.ndarray, left: int, top: int, size: tuple[int, int]) -> RLE:
    """Return (h, w) bool pixels at a place in an image of (height, width) pixels as run lengths.

    Raises:
        ValueError: they reach beyond the image, or there is none.
    """
    height, width = size
    inside = 0 <= left <= width - pixels.shape[1] and 0 <= top <= height - pixels.shape[0]
    if not inside:
        raise ValueError(f"a mask reaches beyond the image of {width} x {height} pixels")
    if not pixels.any():
        raise ValueError("a mask has no pixel")
    return encode_crop(MaskCrop(left, top, pixels), height, width)


def draw_box(box_xyxy: Sequence[float], size: tuple[int, int]) -> RLE:
    """Return the pixels of an upright box, at least one; corners may lie outside the image."""
    height, width = size
    left, top, right, bottom = _check_numbers(box_xyxy)
    first_x, last_x = _cut(left, right, width)
    first_y, last_y = _cut(top, bottom, height)
    pixels = np.ones((last_y - first_y, last_x - first_x), bool)
    return draw_pixels(pixels, first_x, first_y, size)


def draw_turned_box(
    box_xyxy: Sequence[float], degrees: float, pivot: Sequence[float], size: tuple[int, int]
) -> RLE:
    """Return the pixels of a box that is turned clockwise about a point."""
    if not degrees % 360:
        return draw_box(box_xyxy, size)
    left, top, right, bottom = _check_numbers(box_xyxy)
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    return draw_polygons([_turn(corners, degrees, pivot)], size)


def draw_ellipse(
    centre: Sequence[float], radii: Sequence[float], degrees: float, size: tuple[int, int]
) -> RLE:
    """Return the pixels of an ellipse that is turned clockwise about its centre."""
    x, y, across, down = _check_numbers([*centre, *radii])
    angles = np.linspace(0, 2 * math.pi, _ELLIPSE_POINTS, endpoint=False)
    ring = np.stack([x + across * np.cos(angles), y + down * np.sin(angles)], axis=1)
    return draw_polygons([_turn(ring, degrees, (x, y))], size)


def draw_polygons(rings: Sequence[np.ndarray], size: tuple[int, int]) -> RLE:
    """Return the pixels in any of some polygons, (n, 2) points x, y each."""
    if not rings or any(len(ring) < _LEAST_POINTS for ring in rings):
        raise ValueError("expected polygons of three points or more")
    flat = [_check_numbers(np.asarray(ring, np.float64).reshape(-1).tolist()) for ring in rings]
    return _check_drawn(_to_text(to_rle(flat, *size)))


def read_segmentation(segmentation: Any, size: tuple[int, int]) -> RLE:
    """Return a COCO segmentation: polygons, or run lengths of either kind of just this size."""
    height, width = size
    if isinstance(segmentation, dict):
        found = segmentation.get("size")
        if not isinstance(found, list) or list(map(to_number, found)) != [height, width]:
            raise ValueError(
                f"expected a mask of {width} x {height} pixels, got size {show_value(found, 30)}"
            )
        counts = segmentation.get("counts")
        if isinstance(counts, str):
            if not find_readable_counts([counts], np.array([height * width], np.int64))[0]:
                raise ValueError("the run lengths of a mask are damaged")
            return _check_drawn({"size": [height, width], "counts": counts})
    return _check_drawn(_to_text(to_rle(segmentation, height, width)))


def join_masks(masks: Sequence[RLE]) -> RLE:
    """Return the pixels in any of some masks of one size."""
    return masks[0] if len(masks) == 1 else _to_text(coco_mask.merge(list(masks)))


def to_float(value: Any) -> float:
    """Return a finite number, which XML has as text; a ValueError where it is none."""
    try:
        number = float(value) if isinstance(value, str) else to_number(value)
    except ValueError:
        number = None
    if number is None or not math.isfinite(number):
        raise ValueError(f"expected a number, got {show_value(value, 30)}")
    return number


def _to_text(rle: dict[str, Any]) -> RLE:
    counts = rle["counts"]
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    return {"size": [int(side) for side in rle["size"]], "counts": text}


def _check_drawn(rle: RLE) -> RLE:
    if not compute_mask_areas([rle])[0]:
        raise ValueError("a shape covers no pixel of the image")
    return rle


def _check_numbers(values: Sequence[float]) -> list[float]:
    return [to_float(value) for value in values]


def _cut(start: float, stop: float, side: int) -> tuple[int, int]:
    """Return the first pixel of a stretch and the one behind its last, at least one, inside."""
    start, stop = sorted((min(max(start, 0.0), side), min(max(stop, 0.0), side)))
    if stop <= 0 or start >= side:
        raise ValueError("a box lies outside the image")
    first = min(round(start), side - 1)
    return first, max(round(stop), first + 1)


def _turn(points: np.ndarray, degrees: float, pivot: Sequence[float]) -> np.ndarray:
    angle = math.radians(to_float(degrees))
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return (points - np.asarray(pivot)) @ turn + np.asarray(pivot)
