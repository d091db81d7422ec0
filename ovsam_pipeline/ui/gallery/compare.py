"""Two outputs side by side: by file name, and object by object by the IoU of their masks."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from ovsam.masks import compute_mask_ious
from ovsam.run_lengths import find_readable_counts
from ovsam_pipeline.output.reviews import LEAST_IOU
from ovsam_pipeline.ui.gallery.opened import OpenedOutput
from ovsam_pipeline.ui.gallery.rows import Row, Snapshot

_ROWS_AT_ONCE = 256


class Comparison:
    """How the objects of each image differ from those of another output.

    An object of one differs where the other has none of its class with an IoU of .5 or more; a
    name that changed counts once.
    """

    def __init__(self, opened: OpenedOutput, other: OpenedOutput) -> None:
        """Compare nothing yet."""
        self._opened, self._other = opened, other
        self._lock = threading.Lock()
        self._snapshots: tuple[Snapshot, Snapshot] | None = None
        self._differences = np.zeros(0, np.float32)
        self._places: dict[str, int] = {}

    def describe(self) -> dict[str, Any]:
        """Return what the start data say of the other output."""
        return {
            "output": str(self._other.path),
            "categories": self._other.names.list_categories(),
            "images": self._other.snapshot.num_images,
        }

    def measure(self) -> np.ndarray:
        """Return how many objects of each image differ, NaN where it is in one output alone.

        (N,) float32; measured once, and again when either output has changed.
        """
        with self._lock:
            self._update()
            return self._differences

    def add_others(self, images: Sequence[dict[str, Any]], side: int) -> None:
        """Add to images, as `read_images` gives them, the objects of the other output.

        `other_objects` is None where it lacks the image; `differs` says of each object of both
        whether the other output has it.
        """
        with self._lock:
            self._update()
            places = [self._places.get(image["file_name"]) for image in images]
        there = [place for place in places if place is not None]
        found = dict(zip(there, self._other.read_rows(there), strict=True))
        own = self._opened.read_rows([image["row"] for image in images])
        for image, row, place in zip(images, own, places, strict=True):
            if place is None:
                image["other_objects"] = None
                continue
            other = self._other.draw_row(found[place], side)["objects"]
            differs = self._compare(row, found[place])
            for objects, which in zip((image["objects"], other), differs, strict=True):
                for drawn, is_different in zip(objects, which, strict=True):
                    drawn["differs"] = is_different
            image["other_objects"] = other

    def _update(self) -> None:
        """Compare all images where either output has changed since."""
        snapshots = self._opened.snapshot, self._other.snapshot
        if self._snapshots == snapshots:
            return
        names = snapshots[1].list_names()
        self._places = {name: place for place, name in enumerate(names)}
        differences = np.full(snapshots[0].num_images, np.nan, np.float32)
        places = [self._places.get(name) for name in snapshots[0].list_names()]
        shared = [(row, place) for row, place in enumerate(places) if place is not None]
        for start in range(0, len(shared), _ROWS_AT_ONCE):
            some = shared[start : start + _ROWS_AT_ONCE]
            own = self._opened.read_rows([row for row, _ in some])
            other = self._other.read_rows([place for _, place in some])
            for one, two in zip(own, other, strict=True):
                differences[one.number] = self._count(one, two)
        self._differences, self._snapshots = differences, snapshots

    def _count(self, one: Row, two: Row) -> int:
        """Return how many objects differ: those that one output lacks, and changed names once."""
        is_answered = self._opened.list_answers(one) or self._other.list_answers(two)
        if not is_answered and one.values.get("objects") == two.values.get("objects"):
            return 0
        mine, theirs = self._opened.correct(one), self._other.correct(two)
        pairs = match_objects(mine, theirs)
        num_renamed = sum(_get_name(mine[i]) != _get_name(theirs[j]) for i, j in pairs)
        return len(mine) + len(theirs) - 2 * len(pairs) + num_renamed

    def _compare(self, one: Row, two: Row) -> tuple[list[bool], list[bool]]:
        """Return which objects of either row the other one lacks, or names differently."""
        mine, theirs = self._opened.correct(one), self._other.correct(two)
        pairs = match_objects(mine, theirs)
        equal = [(i, j) for i, j in pairs if _get_name(mine[i]) == _get_name(theirs[j])]
        kept, others = {i for i, _ in equal}, {j for _, j in equal}
        return (
            [i not in kept for i in range(len(mine))],
            [j not in others for j in range(len(theirs))],
        )


def match_objects(
    objects: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]
) -> list[tuple[int, int]]:
    """Return which objects of two rows of one image are the same, by position: one to one.

    Their masks, or the boxes of `ovsam detect`, have an IoU of .5 or more; of several the one of
    the same name comes first, then the greatest IoU. Damaged masks match nothing.
    """
    ious = _compute_ious(objects, others)
    candidates = sorted(
        (_get_name(objects[i]) != _get_name(others[j]), -float(ious[i, j]), i, j)
        for i, j in np.argwhere(ious >= LEAST_IOU).tolist()
    )
    pairs: list[tuple[int, int]] = []
    left, right = set(range(len(objects))), set(range(len(others)))
    for _, _, i, j in candidates:
        if i in left and j in right:
            pairs.append((i, j))
            left.remove(i)
            right.remove(j)
    return pairs


def _compute_ious(
    objects: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]
) -> np.ndarray:
    """Return the IoU of each two objects: (N, M), 0 where a mask is damaged."""
    ious = np.zeros((len(objects), len(others)))
    rows, columns = _find_whole(objects), _find_whole(others)
    if not len(rows) or not len(columns):
        return ious
    some, more = [objects[i] for i in rows], [others[j] for j in columns]
    if all("segmentation" in item for item in (*some, *more)):
        masks = [[item["segmentation"] for item in items] for items in (some, more)]
        found = compute_mask_ious(*masks)
    else:
        boxes = [np.array([item["bbox"] for item in items], np.float64) for items in (some, more)]
        found = np.asarray(coco_mask.iou(*boxes, [0] * len(more)))
    ious[np.ix_(rows, columns)] = found
    return ious


def _find_whole(objects: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return the positions of objects whose masks can be decoded; of boxes, all."""
    masks = [item.get("segmentation") for item in objects]
    there = [mask for mask in masks if mask is not None]
    if len(there) < len(masks):
        return np.arange(len(objects))
    num_pixels = np.array([math.prod(mask["size"]) for mask in there], np.int64)
    return np.flatnonzero(find_readable_counts([mask["counts"] for mask in there], num_pixels))


def _get_name(item: Mapping[str, Any]) -> str:
    return item.get("category", item.get("detector_category")) or ""
