"""Two outputs side by side: by file name, and object by object by the IoU of their masks."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from ovsam.masks import compute_mask_ious, find_readable_masks
from ovsam_pipeline.output.reviews import LEAST_IOU
from ovsam_pipeline.ui.gallery.opened import OpenedOutput
from ovsam_pipeline.ui.gallery.rows import Row, Snapshot

_ROWS_AT_ONCE = 256

_Objects = Sequence[Mapping[str, Any]]


class Comparison:
    """How the objects of each image differ from those of another output.

    An object of one differs where the other has none of its class with an IoU of .5 or more; a
    name that changed counts once.
    """

    def __init__(self, opened: OpenedOutput, other: OpenedOutput) -> None:
        """Compare nothing yet."""
        self._opened, self._other = opened, other
        self._lock = threading.Lock()
        self._measured: tuple[Snapshot, Snapshot] | None = None
        self._differences = np.zeros(0, np.float32)
        self._named: Snapshot | None = None
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

        (N,) float32. Measured once, and again of parts that have changed since.
        """
        with self._lock:
            snapshots = self._opened.snapshot, self._other.snapshot
            places = self._find_places(snapshots[1])
            differences = self._recall(*snapshots)
            is_new = np.isneginf(differences)
            names = snapshots[0].list_names()
            shared = [
                (row, places[names[row]])
                for row in np.flatnonzero(is_new).tolist()
                if names[row] in places
            ]
            differences[is_new] = np.nan
            for start in range(0, len(shared), _ROWS_AT_ONCE):
                some = shared[start : start + _ROWS_AT_ONCE]
                pairs = self._read_pairs(some)
                for (row, _), found in zip(pairs, self._compare(pairs), strict=True):
                    differences[row.number] = found.count
            self._differences, self._measured = differences, snapshots
            return differences

    def add_others(self, images: Sequence[dict[str, Any]], side: int) -> None:
        """Add to images, as `read_images` gives them, the objects of the other output.

        `other_objects` is None where it lacks the image; `differs` says of each object of both
        whether the other output has it.
        """
        with self._lock:
            places = self._find_places(self._other.snapshot)
        shared = [image for image in images if image["file_name"] in places]
        pairs = self._read_pairs([(image["row"], places[image["file_name"]]) for image in shared])
        for image in images:
            image["other_objects"] = None
        for image, (_, other), found in zip(shared, pairs, self._compare(pairs), strict=True):
            image["other_objects"] = self._other.draw_row(other, side)["objects"]
            for number, drawn in enumerate(image["objects"]):
                drawn["differs"] = number not in found.same
            for number, drawn in enumerate(image["other_objects"]):
                drawn["differs"] = number not in found.same_others

    def _find_places(self, snapshot: Snapshot) -> dict[str, int]:
        """Return the row of each image of the other output, by its name."""
        if self._named is None or self._named.parts != snapshot.parts:
            names = snapshot.list_names()
            self._places = {name: place for place, name in enumerate(names)}
            self._named = snapshot
        return self._places

    def _recall(self, own: Snapshot, other: Snapshot) -> np.ndarray:
        """Return what was measured of parts that are as they were, -inf of others: (N,) float32."""
        differences = np.full(own.num_images, -np.inf, np.float32)
        if self._measured is None or self._measured[1].parts != other.parts:
            return differences
        old = self._measured[0]
        known = {id(part): stop for part, stop in zip(old.parts, old.ends.tolist(), strict=True)}
        for part, stop in zip(own.parts, own.ends.tolist(), strict=True):
            if (before := known.get(id(part))) is not None:
                count = len(part.names)
                differences[stop - count : stop] = self._differences[before - count : before]
        return differences

    def _read_pairs(self, places: Sequence[tuple[int, int]]) -> list[tuple[Row, Row]]:
        """Return rows of both outputs, given by their numbers."""
        own = self._opened.read_rows([row for row, _ in places])
        other = self._other.read_rows([place for _, place in places])
        return list(zip(own, other, strict=True))

    def _compare(self, pairs: Sequence[tuple[Row, Row]]) -> list[_Difference]:
        """Return how the rows of each pair differ, answers applied."""
        objects = [(self._opened.correct(one), self._other.correct(two)) for one, two in pairs]
        # Most images of two runs are often labelled alike, which is seen at once.
        matched = iter(match_images([(mine, theirs) for mine, theirs in objects if mine != theirs]))
        found = []
        for mine, theirs in objects:
            pairs_of = [(i, i) for i in range(len(mine))] if mine == theirs else next(matched)
            found.append(_judge(mine, theirs, pairs_of))
        return found


@dataclass(frozen=True)
class _Difference:
    """How the objects of two rows differ.

    Attributes:
        count: objects that one row lacks, and changed names once.
        same: positions of objects that both have, with the same name; in the other row
            `same_others`.
    """

    count: int
    same: frozenset[int]
    same_others: frozenset[int]


def _judge(objects: _Objects, others: _Objects, pairs: Sequence[tuple[int, int]]) -> _Difference:
    equal = [(i, j) for i, j in pairs if _get_name(objects[i]) == _get_name(others[j])]
    return _Difference(
        len(objects) + len(others) - len(pairs) - len(equal),
        frozenset(i for i, _ in equal),
        frozenset(j for _, j in equal),
    )


def match_images(images: Sequence[tuple[_Objects, _Objects]]) -> list[list[tuple[int, int]]]:
    """Return which objects of two rows are the same, by position, for each pair of rows.

    One to one: their masks, or the boxes of `ovsam detect`, have an IoU of .5 or more; of several
    the one of the same name comes first, then the greatest IoU. Damaged masks match nothing.
    """
    whole = iter(_find_whole([objects for pair in images for objects in pair]))
    return [_match(*pair, next(whole), next(whole)) for pair in images]


def _match(
    objects: _Objects, others: _Objects, rows: np.ndarray, columns: np.ndarray
) -> list[tuple[int, int]]:
    """Match those objects whose masks are whole, by their positions."""
    if not len(rows) or not len(columns):
        return []
    ious = _compute_ious([objects[i] for i in rows], [others[j] for j in columns])
    found = np.argwhere(ious >= LEAST_IOU)
    candidates = sorted(
        (_get_name(objects[i]) != _get_name(others[j]), -float(iou), i, j)
        for i, j, iou in zip(
            rows[found[:, 0]].tolist(),
            columns[found[:, 1]].tolist(),
            ious[tuple(found.T)].tolist(),
            strict=True,
        )
    )
    pairs: list[tuple[int, int]] = []
    left, right = set(rows.tolist()), set(columns.tolist())
    for _, _, i, j in candidates:
        if i in left and j in right:
            pairs.append((i, j))
            left.remove(i)
            right.remove(j)
    return pairs


def _compute_ious(objects: _Objects, others: _Objects) -> np.ndarray:
    """Return the IoU of each two objects, by their masks or as boxes: (N, M)."""
    if "segmentation" in objects[0] and "segmentation" in others[0]:
        masks = [[item["segmentation"] for item in items] for items in (objects, others)]
        return compute_mask_ious(*masks)
    boxes = [np.array([item["bbox"] for item in items], np.float64) for items in (objects, others)]
    return np.asarray(coco_mask.iou(*boxes, [0] * len(others)))


def _find_whole(rows: Sequence[_Objects]) -> list[np.ndarray]:
    """Return the positions of objects whose masks can be decoded, of boxes all, for each row.

    All masks are looked at together: image by image that is most of the time.
    """
    masks = [item.get("segmentation") for objects in rows for item in objects]
    is_whole = np.array([mask is None for mask in masks], bool)
    is_whole[~is_whole] = find_readable_masks([mask for mask in masks if mask is not None])
    ends = np.cumsum([len(objects) for objects in rows])
    return [np.flatnonzero(some) for some in np.split(is_whole, ends[:-1])]


def _get_name(item: Mapping[str, Any]) -> str:
    return item.get("category", item.get("detector_category")) or ""
