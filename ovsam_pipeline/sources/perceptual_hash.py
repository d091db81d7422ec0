"""Pixels → a perceptual hash: few numbers that stay nearly the same where an image looks the same.

Source: the DCT hash that pHash and imagehash made common: signs of the lowest frequencies of the
grey image. Beside the 64 bits, which find candidates, the frequencies themselves are kept, which
tell true copies from chance (`output/near_duplicates.py`). Margins of one colour are cut off first.
"""

from __future__ import annotations

from base64 import b64encode
from typing import NamedTuple

import cv2
import numpy as np

# The image is stretched to a square of so many pixels a side.
SIDE = 32
_BITS = 64
# Of the longer side, at least.
_ENOUGH_PIXELS = 512
# A multiple of three bytes, so that base64 needs no padding.
NUM_FREQUENCIES = 66
# Of a margin: at most this share of a side, and how far its grey levels may be apart.
_MOST_MARGIN, _MARGIN_LEVELS = 1 / 8, 12
# An image all of whose frequencies are smaller shows nothing (8: a quarter of a grey level).
_LEAST_FREQUENCY = 8.0


class PerceptualHash(NamedTuple):
    """What is stored of how an image looks.

    Attributes:
        bits: 64 bits as a signed number: whether a frequency is above their median; the lowest
            frequency first, in the highest bit.
        detail: NUM_FREQUENCIES frequencies as int8, relative to the largest, in base64.
    """

    bits: int
    detail: str


def list_frequencies() -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the kept frequencies, lowest first, without that of the mean."""
    rows, columns = np.indices((SIDE, SIDE)).reshape(2, -1)
    order = np.lexsort((rows, np.abs(rows - columns), np.hypot(rows, columns)))
    chosen = order[1 : NUM_FREQUENCIES + 1]
    return rows[chosen], columns[chosen]


_FREQUENCIES = list_frequencies()


def compute_phash(rgb: np.ndarray) -> PerceptualHash | None:
    """Return the hash of (H, W, 3) uint8 RGB; None of an image of one colour, which has no look."""
    # Every pixel of a large photo would cost half as much as decoding it, and change nothing.
    step = max(1, max(rgb.shape[:2]) // _ENOUGH_PIXELS)
    seen = _cut_margins(rgb[::step, ::step])
    small = cv2.resize(np.ascontiguousarray(seen), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    values = cv2.dct(grey)[_FREQUENCIES]
    largest = float(np.abs(values).max())
    if largest < _LEAST_FREQUENCY:
        return None
    lowest = values[:_BITS]
    bits = np.packbits(lowest > np.median(lowest)).view(">i8")
    detail = np.rint(values * (127 / largest)).astype(np.int8)
    return PerceptualHash(int(bits[0]), b64encode(detail.tobytes()).decode("ascii"))


def _cut_margins(rgb: np.ndarray) -> np.ndarray:
    """Return a view without margins of one colour, such as a frame or black bars."""
    height, width = rgb.shape[:2]
    most_rows, most_columns = int(height * _MOST_MARGIN), int(width * _MOST_MARGIN)
    top = left = 0
    bottom, right = height, width
    # Twice: lines of one colour may show only once the frame that crosses them is gone.
    for _ in range(2):
        while top < most_rows and _is_plain(rgb[top, left:right]):
            top += 1
        while height - bottom < most_rows and _is_plain(rgb[bottom - 1, left:right]):
            bottom -= 1
        while left < most_columns and _is_plain(rgb[top:bottom, left]):
            left += 1
        while width - right < most_columns and _is_plain(rgb[top:bottom, right - 1]):
            right -= 1
    return rgb[top:bottom, left:right]


def _is_plain(line: np.ndarray) -> bool:
    """Whether (N, 3) pixels are of one colour."""
    # Most lines of most images show it in a few pixels.
    few = line[:: max(1, len(line) // 16)].astype(np.int16)
    if (np.ptp(few, axis=0) > _MARGIN_LEVELS).any():
        return False
    return bool((line.max(axis=0).astype(np.int16) - line.min(axis=0) <= _MARGIN_LEVELS).all())
