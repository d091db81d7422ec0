"""Compressed run lengths that pycocotools' C code may be given: checked, many at once.

Input: the `counts` texts of a block and the sizes they claim. Output: which decode to runs that
fill their image exactly. Nothing is decoded to pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["find_readable_counts"]

_FIRST, _LAST, _GOES_ON, _IS_NEGATIVE, _BITS = 48, 111, 32, 16, 5
_MOST_CHARACTERS = 7
"""Of one number: pycocotools keeps 32 bits."""


def find_readable_counts(counts: Sequence[str], num_pixels: np.ndarray) -> np.ndarray:
    """Return whether each text is a mask of its image.

    Args:
        counts: n compressed run lengths, as COCO writes them.
        num_pixels: (n,) int64 height times width of each.

    Returns:
        (n,) bool: characters in range, numbers that end and fit 32 bits, no negative run, and runs
        that add up to the image.
    """
    texts = [text.encode("ascii", "replace") for text in counts]
    lengths = np.array([len(text) for text in texts], np.int64)
    codes = np.frombuffer(b"".join(texts), np.uint8)
    owners = np.repeat(np.arange(len(texts)), lengths)
    readable = lengths > 0
    readable[owners[(codes < _FIRST) | (codes > _LAST)]] = False
    codes = codes - _FIRST
    goes_on = (codes & _GOES_ON) > 0
    last = np.cumsum(lengths)[readable] - 1
    readable[owners[last[goes_on[last]]]] = False
    # Whatever is wrong goes out here, so that what is left splits into whole numbers.
    is_left = readable[owners]
    values, owners = _decode_numbers(codes[is_left], owners[is_left], readable)
    runs = _add_earlier(values, owners, len(texts))
    readable[owners[(runs < 0) | (runs > num_pixels[owners])]] = False
    totals = np.bincount(owners, runs, len(texts))
    return readable & (totals == num_pixels)


def _decode_numbers(
    codes: np.ndarray, owners: np.ndarray, readable: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers, int64, and whose they are; owners of too long ones become unreadable."""
    ends = np.flatnonzero((codes & _GOES_ON) == 0)
    if not len(ends):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts + 1
    readable[owners[ends[sizes > _MOST_CHARACTERS]]] = False
    places = np.arange(len(codes)) - np.repeat(starts, sizes)
    shifts = _BITS * np.minimum(places, _MOST_CHARACTERS)
    values = np.add.reduceat((codes & (_GOES_ON - 1)).astype(np.int64) << shifts, starts)
    is_negative = (codes[ends] & _IS_NEGATIVE) > 0
    values -= is_negative.astype(np.int64) << (_BITS * np.minimum(sizes, _MOST_CHARACTERS))
    return values, owners[ends]


def _add_earlier(values: np.ndarray, owners: np.ndarray, num: int) -> np.ndarray:
    """Return runs: from the fourth on, a number is the difference to the run two before."""
    counts = np.bincount(owners, minlength=num)
    indices = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
    runs = values.copy()
    for is_chain in (indices % 2 == 1, (indices % 2 == 0) & (indices >= 2)):
        sums = np.cumsum(values[is_chain])
        own = np.bincount(owners[is_chain], minlength=num)
        before = np.concatenate([[0], sums])[np.cumsum(own) - own]
        runs[is_chain] = sums - np.repeat(before, own)
    return runs
