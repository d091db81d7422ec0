"""Duplicate boxes: of those that overlap too much, the best-scoring one stays.

By default classes do not matter: OV-SAM names the object, so one object needs one box whatever the
detector called it. The same function serves every detector, after its own suppression.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def suppress_duplicates(
    boxes_xyxy: np.ndarray,
    scores: np.ndarray,
    iou: float,
    class_agnostic: bool = True,
    category_names: Sequence[str] | None = None,
) -> np.ndarray:
    """Return the boxes that stay, best first.

    Args:
        boxes_xyxy: (N, 4) float32, finite.
        scores: (N,) float32, finite.
        iou: a box goes when it overlaps a better one by more than this (strictly): at 1 all stay,
            at 0 none may touch. Of equal scores the first in the input is the better one.
        class_agnostic: whether boxes of different classes suppress each other.
        category_names: N class names, needed when not `class_agnostic`.

    Returns:
        (K,) int64 indices, by falling score, ties in the order of the input.

    Raises:
        ValueError: classes matter and no names are given.
    """
    if class_agnostic:
        return _suppress(boxes_xyxy, scores, iou)
    if category_names is None:
        raise ValueError("expected category_names when class_agnostic is False, got None")
    names = np.asarray(category_names)
    kept = [np.zeros(0, np.int64)]
    for name in np.unique(names):
        members = np.flatnonzero(names == name)
        kept.append(members[_suppress(boxes_xyxy[members], scores[members], iou)])
    indices = np.sort(np.concatenate(kept))
    return indices[np.argsort(-scores[indices], kind="stable")]


def _suppress(boxes_xyxy: np.ndarray, scores: np.ndarray, iou: float) -> np.ndarray:
    if len(scores) == 0:
        return np.zeros(0, np.int64)
    # Imported here: what lists and checks boxes files needs no torch.
    import torch
    from torchvision.ops import nms

    # Sorted first, so that ties do not hang on how torchvision sorts.
    order = np.argsort(-scores, kind="stable")
    boxes = torch.from_numpy(np.ascontiguousarray(boxes_xyxy[order], np.float32))
    ranks = torch.arange(len(order), 0, -1, dtype=torch.float32)
    return order[nms(boxes, ranks, iou).numpy()]
