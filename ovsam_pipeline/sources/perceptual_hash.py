"""Pixels → a perceptual hash of 64 bits, near in Hamming distance for images that look alike.

Source: the DCT hash that pHash and imagehash made common, of the lowest frequencies.
"""

from __future__ import annotations

import cv2
import numpy as np

_SIDE = 32
_BITS = 64


def _list_frequencies() -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the lowest frequencies of a DCT, without that of the mean."""
    rows, columns = np.indices((_SIDE, _SIDE)).reshape(2, -1)
    # Of equal frequency the one nearer to the diagonal is the more robust one.
    order = np.lexsort((rows, np.abs(rows - columns), np.hypot(rows, columns)))[1 : _BITS + 1]
    return rows[order], columns[order]


_FREQUENCIES = _list_frequencies()


def compute_phash(rgb: np.ndarray) -> int:
    """Return the hash of (H, W, 3) uint8 RGB, as a signed number of 64 bits.

    A bit tells whether a frequency of the grey image, stretched to a square, is above their median.
    """
    small = cv2.resize(rgb, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    values = cv2.dct(grey)[_FREQUENCIES]
    bits = np.packbits(values > np.median(values))
    return int(bits.view(">i8")[0])
