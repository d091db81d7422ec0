"""Segmentations as files hold them → only such as pycocotools' C code can be trusted with.

Its decoder reads past the end of run lengths that are cut off, and past the image where they are
too long. So all run lengths are checked first, many at once, without decoding them to pixels.

Letters: n masks, b characters and m numbers in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ovsam.masks import are_coordinates, are_runs, is_ring
from ovsam_pipeline.evaluation.reading.segment_store import RunLengths
from ovsam_pipeline.evaluation.structures import Problems

# Pixels on a side of an image. The product of two sides fits 64 bits by far.
_MOST_PIXELS = 1 << 20
# A run length is written in characters from "0" on, five bits in each, lowest first; bit 6 marks
# that another character follows, the highest bit of the last one is the sign. Source: pycocotools'
# rleToString.
_FIRST, _LAST, _CONTINUES, _SIGN, _BITS = 48, 63, 32, 16, 5
# pycocotools keeps a run in 32 bits, so seven characters hold any.
_MOST_CHARACTERS = 7
# 256 texts of some hundred characters fit a processor's cache.
_TEXTS_AT_ONCE = 256


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


def find_readable_counts(counts: Sequence[str], num_pixels: np.ndarray) -> np.ndarray:
    """Return whether each text is a mask of its image: (n,) bool.

    That is: characters in range, numbers that end and fit 32 bits, no negative run, and runs that
    add up to `num_pixels`, (n,) int64.
    """
    text = "".join(counts)
    if not text.isascii():
        counts = [text if text.isascii() else "" for text in counts]
        text = "".join(counts)
    lengths = np.fromiter(map(len, counts), np.int64, len(counts))
    return find_readable_codes(np.frombuffer(text.encode(), np.uint8), lengths, num_pixels)


def find_readable_codes(
    characters: np.ndarray, lengths: np.ndarray, num_pixels: np.ndarray
) -> np.ndarray:
    """Return the same for (b,) uint8 characters of all texts, of (n,) lengths, joined."""
    stops = np.cumsum(lengths)
    result = np.zeros(len(lengths), bool)
    for start in range(0, len(lengths), _TEXTS_AT_ONCE):
        some = slice(start, start + _TEXTS_AT_ONCE)
        held = slice(stops[start] - lengths[start], stops[some][-1])
        result[some] = _find_readable(characters[held], lengths[some], num_pixels[some])
    return result


def _find_readable(
    characters: np.ndarray, lengths: np.ndarray, num_pixels: np.ndarray
) -> np.ndarray:
    codes = characters - np.uint8(_FIRST)
    stops = np.cumsum(lengths)
    readable = (lengths > 0) & _are_in_range(codes, stops)
    readable[readable] = (codes[stops[readable] - 1] & _CONTINUES) == 0
    if not readable.all():
        # Only now can the text be split into numbers: each text left begins and ends with one.
        codes, lengths = codes[np.repeat(readable, lengths)], lengths[readable]
    result = readable.copy()
    result[readable] = _fill_images(codes, np.cumsum(lengths), num_pixels[readable])
    return result


def _are_in_range(codes: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Return whether every character of each text is one of the 64: (n,) bool."""
    wrong = np.flatnonzero(codes > _LAST)
    result = np.ones(len(stops), bool)
    result[np.searchsorted(stops, wrong, side="right")] = False
    return result


def _fill_images(codes: np.ndarray, stops: np.ndarray, num_pixels: np.ndarray) -> np.ndarray:
    """Return whether the runs of each text are valid and add up to its image: (n,) bool."""
    if not len(stops):
        return np.zeros(0, bool)
    ends = np.flatnonzero((codes & _CONTINUES) == 0)
    last = np.searchsorted(ends, stops - 1)  # the last number of each text
    first = np.concatenate([[0], last[:-1] + 1])
    numbers, is_short = _decode_numbers(codes, ends)
    runs = _add_earlier(numbers, first, last)
    is_valid = is_short & (runs >= 0)
    # Sums modulo 2^64 could come out right by chance; runs that fit the image cannot wrap around.
    is_valid &= runs <= np.repeat(num_pixels, last - first + 1)
    fits = np.logical_and.reduceat(is_valid, first)
    return fits & (np.add.reduceat(runs, first) == num_pixels)


def _decode_numbers(codes: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers that end at `ends`, (m,) int64, and whether each is short enough."""
    sizes = np.diff(ends, prepend=-1)
    # The last character has the highest bits and the sign.
    numbers = ((codes[ends] & (2 * _SIGN - 1)).astype(np.int64) ^ _SIGN) - _SIGN
    longer, place = np.flatnonzero(sizes > 1), 1
    while len(longer) and place < _MOST_CHARACTERS:
        low = codes[ends[longer] - place] & (2 * _SIGN - 1)
        numbers[longer] = (numbers[longer] << _BITS) + low
        place += 1
        longer = longer[sizes[longer] > place]
    return numbers, sizes <= _MOST_CHARACTERS


def _add_earlier(numbers: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return the runs: from the fourth of a text on, a number is added to the run two before."""
    sums = np.empty(len(numbers) + 2, np.int64)
    sums[:2] = 0
    for parity in (0, 1):
        np.cumsum(numbers[parity::2], out=sums[2 + parity :: 2])
    # sums[2 + i] adds every second number up to i, of earlier texts too: those are taken away.
    # Second, fourth, … of a text: all before it. Third, fifth, …: the first of the text as well.
    runs = sums[2:].copy()
    counts = last - first + 1
    even, odd = np.repeat(sums[first + 2], counts), np.repeat(sums[first + 1], counts)
    is_odd = ((np.arange(len(numbers)) - np.repeat(first, counts)) & 1).astype(bool)
    runs -= np.where(is_odd, odd, even)
    runs[first] = numbers[first]
    return runs
