"""Compressed run lengths → whether pycocotools' C code can be trusted with them.

Its decoder reads past the end of run lengths that are cut off, and past the image where they are
too long. They are checked without decoding them to pixels, many at once.

Letters: n masks, b characters and m numbers in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# A run length is written in characters from "0" on, five bits in each, lowest first; bit 6 marks
# that another character follows, the highest bit of the last one is the sign. Source: pycocotools'
# rleToString.
_FIRST, _LAST, _CONTINUES, _SIGN, _BITS = 48, 63, 32, 16, 5
# pycocotools keeps a run in 32 bits, so seven characters hold any.
_MOST_CHARACTERS = 7
# 256 texts of some hundred characters fit a processor's cache.
_TEXTS_AT_ONCE = 256


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


def decode_all_counts(
    counts: Sequence[str], num_pixels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the run lengths of all texts, (m,) int64, and how many each text has, (n,) int64.

    The first run of a text is of zeros. A ValueError where one is no mask of its `num_pixels`.
    """
    if not find_readable_counts(counts, num_pixels).all():
        raise ValueError("its run lengths are damaged")
    if not counts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    codes = np.frombuffer("".join(counts).encode("ascii"), np.uint8) - np.uint8(_FIRST)
    ends = np.flatnonzero((codes & _CONTINUES) == 0)
    stops = np.cumsum(np.fromiter(map(len, counts), np.int64, len(counts)))
    last = np.searchsorted(ends, stops - 1)
    first = np.concatenate([[0], last[:-1] + 1])
    numbers, _ = _decode_numbers(codes, ends)
    return _add_earlier(numbers, first, last), last - first + 1


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
