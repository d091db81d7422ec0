"""The rules for boxes, the same for every detector (docs/detectors.md, "Bad boxes").

What a network or a file gives → `to_detections` → `Detections` → `clean` → boxes that an image can
be prompted with → `keep_classes`, `suppress_duplicates` → the boxes that the run keeps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ovsam_pipeline.detectors.base import Detections

# Boxes that are looked at per box that the run keeps. Duplicates are suppressed after this cut,
# so it must leave enough for crowded places; without it, comparing all pairs of the 100,000 boxes
# that a detector without a limit can give would take minutes per image.
SURPLUS = 10
# Reasons of boxes that give no object; those of a file have more (`stored/box_table.py`).
BELOW_CONF, BEYOND_MAX_DET = "below --conf", "beyond --max-det"


def to_detections(
    boxes_xyxy: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray | None = None,
    names: Sequence[str | None] = (),
    category_ids: np.ndarray | None = None,
) -> Detections:
    """Return the (N, 4) boxes that a network found as `Detections`, best first.

    Labels are (N,) positions in `names`, where None is not a class: boxes of such labels, and of
    labels beyond the list, are left out. Category ids are those of the labels; without them the
    labels are the ids. Boxes that `Detections` would refuse are left out and counted.
    """
    boxes = np.asarray(boxes_xyxy, np.float32).reshape(-1, 4)
    scores = np.asarray(scores, np.float32)
    is_finite, has_area = check_numbers(boxes, scores)  # half precision can overflow
    is_kept = is_finite & has_area
    if labels is not None:
        is_named = np.array([*(name is not None for name in names), False], bool)
        is_kept &= is_named[np.clip(labels, 0, len(names))]
    kept = np.flatnonzero(is_kept)
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    dropped = Counter({"not finite": int((~is_finite).sum())})
    dropped["no area"] = int((is_finite & ~has_area).sum())
    if labels is None:
        return Detections(boxes[kept], scores[kept], dropped=+dropped)
    labels = labels[kept].astype(np.int64)
    return Detections(
        boxes[kept],
        scores[kept],
        tuple(str(names[label]) for label in labels),
        category_ids=labels if category_ids is None else category_ids[labels],
        dropped=+dropped,
    )


def list_class_names(names: Sequence[str | None]) -> tuple[str, ...]:
    """Return the different class names of a list by label, in order."""
    return tuple(dict.fromkeys(name for name in names if name is not None))


def check_numbers(boxes_xyxy: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two (N,) bool arrays: box and score are finite, and the box has an area."""
    is_finite = np.isfinite(boxes_xyxy).all(axis=1) & np.isfinite(scores)
    return is_finite, np.asarray((boxes_xyxy[:, 2:] > boxes_xyxy[:, :2]).all(axis=1))


def clean(
    found: Detections, size_hw: tuple[int, int], *, conf: float = 0.0, max_det: int | None = None
) -> tuple[Detections, Counter[str]]:
    """Clip boxes to their image, and drop those that it cannot be prompted with.

    Scores of `conf` and more stay. Of more than `SURPLUS` times the `max_det` boxes that the run
    keeps the best stay; None is no limit. Returns the rest in their order, and how many were
    dropped by reason, those included that the detector dropped before.
    """
    height, width = size_hw
    boxes = np.clip(found.boxes_xyxy, 0, np.array([width, height, width, height], np.float32))
    _, has_area = check_numbers(found.boxes_xyxy, found.scores)
    _, is_inside = check_numbers(boxes, found.scores)
    dropped = Counter(found.dropped)
    dropped["no area"] += int((~has_area).sum())
    dropped["outside the image"] += int((has_area & ~is_inside).sum())
    is_usable = is_inside
    if found.points_xy is not None:
        is_usable = is_inside & ((found.points_xy >= 0) & (found.points_xy <= (width, height))).all(
            axis=1
        )
        dropped["point outside the image"] += int((is_inside & ~is_usable).sum())
    # In float32, as scores are: a score of 0.7 that was stored is not below 0.7.
    is_sure = found.scores >= np.float32(conf)
    dropped[BELOW_CONF] += int((is_usable & ~is_sure).sum())
    kept = np.flatnonzero(is_usable & is_sure)
    if max_det is not None and len(kept) > SURPLUS * max_det:
        dropped[BEYOND_MAX_DET] += len(kept) - SURPLUS * max_det
        kept = kept[np.argsort(-found.scores[kept], kind="stable")[: SURPLUS * max_det]]
    if len(kept) < len(found) or not np.array_equal(boxes, found.boxes_xyxy):
        found = replace(found, boxes_xyxy=boxes).select(kept)
    return found, +dropped


_PLURALS = {name: f"{name}s" for name in ("duplicate", "duplicate mask", "empty mask")} | {
    "class not asked for": "of classes not asked for",
    "point outside the image": "points outside the image",
}


def describe_dropped(dropped: Mapping[str, int]) -> str:
    """Return "1,550 beyond --max-det, 2 no area", the most frequent first."""
    ordered = sorted(dropped.items(), key=lambda item: -item[1])
    return ", ".join(
        f"{count:,} {reason if count == 1 else _PLURALS.get(reason, reason)}"
        for reason, count in ordered
    )


def keep_classes(found: Detections, names: frozenset[str | None]) -> Detections:
    """Return the detections whose class, or None, is among `names`; all where none has one."""
    if found.category_names is None:
        return found
    kept = [index for index, name in enumerate(found.category_names) if name in names]
    return found.select(np.array(kept, np.int64))


def suppress_duplicates(boxes_xyxy: np.ndarray, scores: np.ndarray, iou: float) -> np.ndarray:
    """Return the (K,) indices of the boxes that stay, best first, ties in the order of the input.

    A box is dropped when it overlaps a better one by more than `iou`: at 1 all stay, at 0 none may
    overlap. Classes do not matter: OV-SAM names the object, so one object needs one box whatever
    the detector called it. This comes after a detector's own suppression.
    """
    if len(scores) == 0:
        return np.zeros(0, np.int64)
    # Imported here: what lists and checks boxes files needs no torch.
    import torch

    from ovsam.region_operators import nms

    # Sorted first, so that ties do not depend on how torchvision sorts.
    order = np.argsort(-scores, kind="stable")
    boxes = torch.from_numpy(np.ascontiguousarray(boxes_xyxy[order], np.float32))
    ranks = torch.arange(len(order), 0, -1, dtype=torch.float32)
    return order[nms(boxes, ranks, iou).numpy()]
