"""The boxes of any detector → those that an image can be prompted with, clipped to it.

The rule for bad boxes of docs/detectors.md, for boxes that come as `Detections` and so are numbers
already: a detector of one's own need not know it.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from ovsam_pipeline.detectors.base import Detections


def keep_inside(found: Detections, size_hw: tuple[int, int]) -> tuple[Detections, Counter[str]]:
    """Clip boxes to their image; drop those without area and those wholly outside.

    Args:
        found: N boxes, pixels of the original image.
        size_hw: height and width of that image.

    Returns:
        The rest in their order (`found` itself where all is well), and how many went, by reason.
    """
    height, width = size_hw
    limits = np.array([width, height, width, height], np.float32)
    boxes = np.clip(found.boxes_xyxy, 0, limits)
    has_area = (found.boxes_xyxy[:, 2:] > found.boxes_xyxy[:, :2]).all(axis=1)
    is_kept = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    if is_kept.all() and np.array_equal(boxes, found.boxes_xyxy):
        return found, Counter()
    dropped = Counter(
        {
            "no area": int((~has_area).sum()),
            "outside the image": int((has_area & ~is_kept).sum()),
        }
    )
    clipped = Detections(
        boxes,
        found.scores,
        found.category_names,
        found.points_xy,
        found.category_ids,
        found.prompt_ids,
    )
    return clipped.select(np.flatnonzero(is_kept)), dropped
