"""Segmentations as files hold them → only such as pycocotools' C code can be trusted with.

Input: the segmentations of a block, changed in place. Output: counts of what was wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ovsam_pipeline.evaluation.structures import Problems

__all__ = ["check_segmentations", "is_readable"]

_FEWEST_NUMBERS = 6
_FIRST, _LAST, _GOES_ON = 48, 111, 32
"""Run lengths in COCO's text: characters 48 to 111, five bits each and one that says "more"."""


def check_segmentations(
    segmentations: list[Any], names: Sequence[str], problems: Problems
) -> list[bool]:
    """Repair or empty what cannot be read.

    Args:
        segmentations: replaced in place: rings of fewer than three points or an odd number of
            values go; what is no segmentation at all becomes None.
        names: of the objects, for messages.
        problems: where it is counted.

    Returns:
        For each whether it could be read (empty is readable, damaged is not).
    """
    readable = [True] * len(segmentations)
    for index, item in enumerate(segmentations):
        if isinstance(item, dict):
            if not is_readable(item):
                problems.add("masks have damaged run lengths: left out", [names[index]])
                segmentations[index], readable[index] = None, False
        elif isinstance(item, list):
            segmentations[index] = _keep_rings(item, names[index], problems)
        elif item is not None:
            problems.add("masks are neither polygons nor run lengths: left out", [names[index]])
            segmentations[index], readable[index] = None, False
    return readable


def is_readable(rle: dict[str, Any]) -> bool:
    """Whether run lengths have a size, and counts that end where a number ends."""
    size, counts = rle.get("size"), rle.get("counts")
    if not (isinstance(size, list) and len(size) == 2):
        return False
    height, width = size
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
        return False
    if isinstance(counts, str):
        if not counts or not counts.isascii():
            return False
        has_other = min(counts) < chr(_FIRST) or max(counts) > chr(_LAST)
        return not has_other and not (ord(counts[-1]) - _FIRST) & _GOES_ON
    if isinstance(counts, list):
        fits = all(isinstance(run, int) and run >= 0 for run in counts)
        return fits and sum(counts) == height * width
    return False


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
