"""What a network found → checked `Detections`: the last step of detectors that wrap foreign code.

Input: boxes in pixels of the original image, scores and label numbers, as the network gave them.
Output: boxes inside the image, above the threshold, best first. Duplicates are the run's to drop.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ovsam_pipeline.detectors.base import Detections
from ovsam_pipeline.detectors.stored.box_table import SURPLUS


def clean_boxes(
    boxes_xyxy: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str | None],
    size_hw: tuple[int, int],
    conf: float,
    max_det: int,
) -> Detections:
    """Clip, filter and sort the boxes of one image.

    Dropped are boxes that are not finite, without area after clipping, of a label without a name,
    or below the threshold; then all but the best ten times `max_det`.

    Args:
        boxes_xyxy: (N, 4) float, pixels of the original image, possibly outside it.
        scores: (N,) float.
        labels: (N,) integer positions in `names`.
        names: class name of each label; None for a label that is no class.
        size_hw: height and width of the original image.
        conf: least score, inclusive.
        max_det: boxes that the run keeps an image.
    """
    height, width = size_hw
    boxes = np.asarray(boxes_xyxy, np.float32).reshape(-1, 4)
    scores = np.asarray(scores, np.float32)
    is_finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    boxes = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    is_named = np.array([name is not None for name in names] + [False], bool)
    is_class = is_named[np.clip(labels, 0, len(names))]
    kept = np.flatnonzero(is_finite & has_area & is_class & (scores >= np.float32(conf)))
    kept = kept[np.argsort(-scores[kept], kind="stable")][: max_det * SURPLUS]
    return Detections(
        boxes[kept],
        scores[kept],
        tuple(str(names[label]) for label in labels[kept]),
        category_ids=labels[kept].astype(np.int64),
    )


def list_class_names(names: Sequence[str | None]) -> tuple[str, ...]:
    """Return the different class names of a list by label, in order."""
    return tuple(dict.fromkeys(name for name in names if name is not None))
