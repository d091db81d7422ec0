"""Segmentations as files hold them → only such as pycocotools' C code can be trusted with.

Input: the segmentations of a block, changed in place. Output: counts of what was wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ovsam_pipeline.evaluation.reading.result_blocks import RunLengths
from ovsam_pipeline.evaluation.reading.run_lengths import find_readable_codes, find_readable_counts
from ovsam_pipeline.evaluation.structures import Problems

_FEWEST_NUMBERS = 6
_MOST_PIXELS = 1 << 20
"""On a side of an image."""


def check_segmentations(
    segmentations: list[Any],
    name: Callable[[int], str],
    problems: Problems,
    consequence: str = "left out",
) -> tuple[np.ndarray, np.ndarray]:
    """Repair or empty what cannot be read.

    Args:
        segmentations: replaced in place: rings of fewer than three points or an odd number of
            values go; what is no segmentation at all becomes None.
        name: the name of an object by its place in the list, for messages.
        problems: where it is counted.
        consequence: what becomes of an object whose mask cannot be read.

    Returns:
        (n,) bool: whether each could be read (empty is readable, damaged is not), and (n, 2) int64
        sizes (height, width) that run lengths bring with them, -1 for anything else.
    """
    readable = np.ones(len(segmentations), bool)
    sizes_hw = np.full((len(segmentations), 2), -1, np.int64)
    masks = [index for index, item in enumerate(segmentations) if isinstance(item, dict)]
    sizes_hw[masks] = _read_sizes([segmentations[index].get("size") for index in masks])
    _check_masks(segmentations, masks, sizes_hw, readable)
    if len(masks) < len(segmentations):
        for index, item in enumerate(segmentations):
            if isinstance(item, list):
                segmentations[index] = _keep_rings(item, name(index), problems)
            elif item is not None and not isinstance(item, dict):
                readable[index] = False
    damaged = _count_damaged(readable, name, problems, consequence)
    for index in damaged.tolist():
        segmentations[index] = None
    sizes_hw[damaged] = -1
    return readable, sizes_hw


def check_run_lengths(
    masks: RunLengths, name: Callable[[int], str], problems: Problems
) -> tuple[np.ndarray, RunLengths]:
    """The same of compressed run lengths that stand one behind the other.

    Returns:
        (n,) bool: whether each could be read, and the masks, those that could not without
        characters and of size -1.
    """
    sizes_hw = _refuse_sizes(masks.sizes_hw.copy())
    readable = find_readable_codes(masks.codes, masks.lengths, sizes_hw.prod(axis=1))
    readable &= sizes_hw[:, 0] > 0
    if readable.all():
        return readable, masks
    sizes_hw[_count_damaged(readable, name, problems, "left out")] = -1
    codes = masks.codes[np.repeat(readable, masks.lengths)]
    return readable, RunLengths(codes, np.where(readable, masks.lengths, 0), sizes_hw)


def _count_damaged(
    readable: np.ndarray, name: Callable[[int], str], problems: Problems, consequence: str
) -> np.ndarray:
    damaged = np.flatnonzero(~readable)
    problems.add(
        f"masks have damaged run lengths, or are no masks: {consequence}",
        [name(index) for index in damaged[:3].tolist()],
        len(damaged),
    )
    return damaged


def _check_masks(
    segmentations: list[Any], masks: list[int], sizes_hw: np.ndarray, readable: np.ndarray
) -> None:
    """Write whether run lengths fill the image that they claim to be of."""
    texts: list[str] = []
    compressed: list[int] = []
    for index in masks:
        counts = segmentations[index].get("counts")
        if isinstance(counts, str):
            texts.append(counts)
            compressed.append(index)
        else:
            readable[index] = _are_runs(counts, sizes_hw[index])
    readable[compressed] = find_readable_counts(texts, sizes_hw[compressed].prod(axis=1))
    readable[masks] &= sizes_hw[masks, 0] > 0


def _read_sizes(sizes: list[Any]) -> np.ndarray:
    """Return (n, 2) int64 heights and widths, -1 where a mask claims none that can be."""
    try:
        known = np.array(sizes)
    except ValueError:  # lists of different lengths
        known = np.zeros(0)
    if known.dtype.kind != "i" or known.shape != (len(sizes), 2):
        known = np.array([size if _is_size(size) else (-1, -1) for size in sizes], np.int64)
    return _refuse_sizes(known.astype(np.int64).reshape(-1, 2))


def _refuse_sizes(sizes_hw: np.ndarray) -> np.ndarray:
    """Return (n, 2) sizes, with -1 for those that no image has."""
    sizes_hw[((sizes_hw <= 0) | (sizes_hw >= _MOST_PIXELS)).any(axis=1)] = -1
    return sizes_hw


def _is_size(size: Any) -> bool:
    return (
        isinstance(size, list)
        and len(size) == 2
        and all(isinstance(side, int) and 0 < side < _MOST_PIXELS for side in size)
    )


def _are_runs(runs: Any, size_hw: np.ndarray) -> bool:
    """Whether uncompressed run lengths fill the image."""
    if not isinstance(runs, list) or not all(isinstance(run, int) and run >= 0 for run in runs):
        return False
    return sum(runs) == size_hw.prod()


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
