"""Segmentations as files hold them → only such as pycocotools' C code can be trusted with.

All run lengths are checked first (`ovsam.run_lengths`), many at once, without decoding them to
pixels. Letters: n masks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ovsam.masks import are_coordinates, are_runs, is_ring
from ovsam.run_lengths import find_readable_codes, find_readable_counts
from ovsam_pipeline.evaluation.reading.segment_store import RunLengths
from ovsam_pipeline.evaluation.structures import Problems

# Pixels on a side of an image. The product of two sides fits 64 bits by far.
_MOST_PIXELS = 1 << 20


def check_segmentations(
    segmentations: list[Any],
    name: Callable[[int], str],
    problems: Problems,
    consequence: str = "left out",
) -> tuple[np.ndarray, np.ndarray]:
    """Repair or empty what cannot be read.

    `segmentations`: replaced in place: polygons of fewer than three points or an odd number of
    values go; what is not a segmentation, or damaged, becomes None. `name`: the name of an object
    by its place in the list, for messages. `consequence`: what becomes of an object whose mask
    cannot be read, for the message. Returns (n,) bool: whether each could be read (empty is
    readable, damaged is not), and (n, 2) int64 sizes (height, width) that run lengths bring with
    them, -1 for anything else.
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
    _count_damaged(readable, name, problems, consequence)
    for index in np.flatnonzero(~readable).tolist():
        segmentations[index] = None
    sizes_hw[~readable] = -1
    return readable, sizes_hw


def check_run_lengths(
    masks: RunLengths, name: Callable[[int], str], problems: Problems
) -> tuple[np.ndarray, RunLengths]:
    """Check as `check_segmentations` masks that are all compressed run lengths.

    Those that cannot be read come back without characters and of size -1.
    """
    sizes_hw = _refuse_sizes(masks.sizes_hw.copy())
    readable = find_readable_codes(masks.codes, masks.lengths, sizes_hw.prod(axis=1))
    readable &= sizes_hw[:, 0] > 0
    if readable.all():
        return readable, masks
    _count_damaged(readable, name, problems, "left out")
    sizes_hw[~readable] = -1
    codes = masks.codes[np.repeat(readable, masks.lengths)]
    return readable, RunLengths(codes, np.where(readable, masks.lengths, 0), sizes_hw)


def _count_damaged(
    readable: np.ndarray, name: Callable[[int], str], problems: Problems, consequence: str
) -> None:
    kind = f"masks have damaged run lengths, or are not masks: {consequence}"
    problems.add_where(kind, ~readable, name)


def _check_masks(
    segmentations: list[Any], masks: list[int], sizes_hw: np.ndarray, readable: np.ndarray
) -> None:
    """Write to `readable` whether run lengths fill the image that they claim to be of."""
    texts: list[str] = []
    compressed: list[int] = []
    for index in masks:
        counts = segmentations[index].get("counts")
        if isinstance(counts, str):
            texts.append(counts)
            compressed.append(index)
        else:
            readable[index] = are_runs(counts, int(sizes_hw[index].prod()))
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


def _keep_rings(rings: list[Any], name: str, problems: Problems) -> list[Any]:
    kept = [ring for ring in rings if is_ring(ring) and are_coordinates(ring)]
    if len(kept) < len(rings):
        problems.add(
            "polygons have fewer than three points or half a point: left out",
            [name],
            len(rings) - len(kept),
        )
    return kept
