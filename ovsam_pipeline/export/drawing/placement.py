"""Where the labels of a picture go: beside their objects, never on each other, never outside.

Pure geometry. Letters: N labels, P places that are tried for one of them, T labels placed already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ovsam_pipeline.export.drawing.shapes import Box

# Between labels, and between a label and its object, in pixels.
GAP = 2
# What a place costs: 1 is that of a label all of whose pixels hide something. A place beside the
# object is preferred to one at the end of a line, a near one to a far one, an early one to a late.
_LINE, _DISTANCE, _LATER = 0.5, 1.5, 0.01
# What a place beside the object costs for each label's height that it is away from its border.
_APART = 0.12
# Of a border so many points are enough to measure by.
_MOST_POINTS = 48
# Of these, every fourth is for the many places that are farther away.
_COARSE = 4


class Place(NamedTuple):
    """Where a label goes.

    Attributes:
        box: of the label.
        is_led: it is away from its object, to which a line has to lead.
    """

    box: Box
    is_led: bool


def place_labels(
    sizes_wh: Sequence[tuple[int, int]],
    borders: Sequence[NDArray[np.float32]],
    ink: NDArray[np.float32],
) -> list[Place | None]:
    """Return where labels go that do not overlap; None where there is no room left.

    Args:
        sizes_wh: of N labels, in the order in which they choose.
        borders: of their objects: each (N, 2) float32, x and y, in pixels of the picture.
        ink: how much of the object is lost where a pixel of the picture is hidden, from 0 to 1:
            (H, W).
    """
    total = np.asarray(cv2.integral(np.asarray(ink, np.float32)), np.float64)
    taken = np.zeros((0, 4), np.int64)
    places: list[Place | None] = []
    for size, border in zip(sizes_wh, borders, strict=True):
        place = _place(size, border[:: -(-len(border) // _MOST_POINTS)], total, taken)
        places.append(place)
        if place is not None:
            taken = np.concatenate([taken, [place.box]])
    return places


def _place(
    size: tuple[int, int],
    border: NDArray[np.float32],
    total: NDArray[np.float64],
    taken: NDArray[np.int64],
) -> Place | None:
    """Return the cheapest free place of one label."""
    height, width = total.shape[0] - 1, total.shape[1] - 1
    room = width - size[0], height - size[1]
    if min(room) < 0:
        return None
    near = np.clip(_list_near(size, border), 0, room)
    near = near[_are_free(near, size, taken)]
    apart = np.maximum(0, _measure_distances(near, size, border) / size[1] - 0.5)
    costs = _measure_ink(near, size, total) + _APART * apart + _LATER * np.arange(len(near))
    if len(near) and costs.min() < _LINE:
        return _to_place(near[costs.argmin()], size, is_led=False)
    far = _list_all(size, room)
    far = far[_are_free(far, size, taken)]
    distances = _measure_distances(far, size, border[::_COARSE])
    far_costs = _measure_ink(far, size, total) + _LINE + _DISTANCE * distances / max(width, height)
    if len(near) and (not len(far) or costs.min() <= far_costs.min()):
        return _to_place(near[costs.argmin()], size, is_led=False)
    if not len(far):
        return None
    best = int(far_costs.argmin())
    return _to_place(far[best], size, is_led=bool(distances[best] > 2 * GAP))


def _to_place(start: NDArray[np.int64], size: tuple[int, int], *, is_led: bool) -> Place:
    left, top = (int(value) for value in start)
    return Place((left, top, left + size[0], top + size[1]), is_led)


def _list_near(size: tuple[int, int], border: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return upper left corners of labels at an object, best first: (P, 2).

    They are at its outermost points, at the corners of its box, and within it.
    """
    w, h = size
    left, top = (int(value) for value in np.floor(border.min(axis=0)))
    right, bottom = (int(value) + 1 for value in np.ceil(border.max(axis=0)))
    (first_y, last_y), (first_x, last_x) = (
        (border[border[:, axis].argmin()][1 - axis], border[border[:, axis].argmax()][1 - axis])
        for axis in (0, 1)
    )
    middle_x, middle_y = (left + right - w) // 2, (top + bottom - h) // 2
    above, below, before, after = top - h - GAP, bottom + GAP, left - w - GAP, right + GAP
    inner_top, inner_bottom = top + 2 * GAP, bottom - h - 2 * GAP
    inner_left, inner_right = left + 2 * GAP, right - w - 2 * GAP
    places = [
        (left, above), (first_x - w // 2, above), (first_x, above), (first_x - w, above),
        (last_x - w // 2, below), (left, below), (last_x, below), (last_x - w, below),
        (after, last_y - h // 2), (before, first_y - h // 2), (after, last_y), (before, first_y),
        (right - w, above), (right - w, below), (after, top), (after, bottom - h),
        (before, top), (before, bottom - h),
        (middle_x, inner_top), (middle_x, inner_bottom), (middle_x, middle_y),
        (inner_left, inner_top), (inner_right, inner_top),
        (inner_left, inner_bottom), (inner_right, inner_bottom),
    ]  # fmt: skip
    return np.array(places, np.float64).round().astype(np.int64)


def _list_all(size: tuple[int, int], room: tuple[int, int]) -> NDArray[np.int64]:
    """Return upper left corners all over the picture, those at its edges too: (P, 2)."""
    step_x, step_y = max(8, size[0] // 3), max(8, size[1] // 2)
    xs = np.unique(np.append(np.arange(0, room[0], step_x), room[0]))
    ys = np.unique(np.append(np.arange(0, room[1], step_y), room[1]))
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)


def _are_free(
    starts: NDArray[np.int64], size: tuple[int, int], taken: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which labels at (P, 2) corners meet none of the (T, 4) placed ones: (P,)."""
    left, top = starts[:, :1] - GAP, starts[:, 1:] - GAP
    right, bottom = starts[:, :1] + size[0] + GAP, starts[:, 1:] + size[1] + GAP
    meets = (left < taken[:, 2]) & (right > taken[:, 0])
    meets &= (top < taken[:, 3]) & (bottom > taken[:, 1])
    return np.asarray(~meets.any(axis=1))


def _measure_ink(
    starts: NDArray[np.int64], size: tuple[int, int], total: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean ink under labels at (P, 2) corners: (P,)."""
    left, top = starts[:, 0], starts[:, 1]
    right, bottom = left + size[0], top + size[1]
    inside = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
    return np.asarray(inside / (size[0] * size[1]), np.float64)


def _measure_distances(
    starts: NDArray[np.int64], size: tuple[int, int], border: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return how far labels at (P, 2) corners are from the points of a border: (P,) pixels."""
    left, top = starts[:, :1], starts[:, 1:]
    x = np.maximum(0, np.maximum(left - border[:, 0], border[:, 0] - left - size[0]))
    y = np.maximum(0, np.maximum(top - border[:, 1], border[:, 1] - top - size[1]))
    return np.asarray(np.sqrt((x * x + y * y).min(axis=1)), np.float64)
