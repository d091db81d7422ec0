"""Segmentations as files hold them → only such as pycocotools' C code can be trusted with.

Input: the segmentations of a block, changed in place. Output: counts of what was wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ovsam_pipeline.evaluation.run_lengths import find_readable_counts
from ovsam_pipeline.evaluation.structures import Problems

__all__ = ["check_segmentations"]

_FEWEST_NUMBERS = 6
_MOST_PIXELS = 1 << 20
"""On a side of an image."""


def check_segmentations(
    segmentations: list[Any], name: Callable[[int], str], problems: Problems
) -> np.ndarray:
    """Repair or empty what cannot be read.

    Args:
        segmentations: replaced in place: rings of fewer than three points or an odd number of
            values go; what is no segmentation at all becomes None.
        name: the name of an object by its place in the list, for messages.
        problems: where it is counted.

    Returns:
        (n,) bool: whether each could be read (empty is readable, damaged is not).
    """
    readable = np.ones(len(segmentations), bool)
    compressed: list[int] = []
    for index, item in enumerate(segmentations):
        if isinstance(item, dict):
            if isinstance(item.get("counts"), str) and _has_size(item):
                compressed.append(index)
            else:
                readable[index] = _has_size(item) and _are_runs(item)
        elif isinstance(item, list):
            segmentations[index] = _keep_rings(item, name(index), problems)
        elif item is not None:
            readable[index] = False
    if compressed:
        items = [segmentations[index] for index in compressed]
        num_pixels = np.array([item["size"][0] * item["size"][1] for item in items], np.int64)
        readable[compressed] = find_readable_counts([i["counts"] for i in items], num_pixels)
    damaged = np.flatnonzero(~readable)
    problems.add(
        "masks have damaged run lengths, or are no masks: left out",
        [name(index) for index in damaged[:3].tolist()],
        len(damaged),
    )
    for index in damaged.tolist():
        segmentations[index] = None
    return readable


def _has_size(rle: dict[str, Any]) -> bool:
    size = rle.get("size")
    return (
        isinstance(size, list)
        and len(size) == 2
        and all(isinstance(side, int) and 0 < side < _MOST_PIXELS for side in size)
    )


def _are_runs(rle: dict[str, Any]) -> bool:
    """Whether uncompressed run lengths fill the image."""
    runs = rle.get("counts")
    if not isinstance(runs, list) or not all(isinstance(run, int) and run >= 0 for run in runs):
        return False
    return sum(runs) == rle["size"][0] * rle["size"][1]


def _keep_rings(rings: list[Any], name: str, problems: Problems) -> list[Any]:
    kept = [
        ring
        for ring in rings
        if isinstance(ring, list)
        and len(ring) >= _FEWEST_NUMBERS
        and len(ring) % 2 == 0
        and all(isinstance(value, int | float) for value in ring)
    ]
    if len(kept) < len(rings):
        problems.add(
            "polygons have fewer than three points or half a point: left out",
            [name],
            len(rings) - len(kept),
        )
    return kept
