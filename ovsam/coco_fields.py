"""Fields of annotation files → plain values: one rule for ids, flags, numbers, boxes and texts.

Input: what a JSON reader gives, which may be anything. Output: the value, or None where there is
none. Used wherever COCO, LVIS and results files are read: sources, boxes, evaluation, training.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from typing import Any

_MOST_DIGITS = 19  # of a number of 63 bits
_SIDE_BITS = 31
_FALSE_TEXTS = frozenset({"", "0", "0.0", "false", "no", "none", "null"})


def to_id(value: Any) -> int | None:
    """Return an id as a whole number of 64 bits: that of 7, 7.0 and "7", else of the text itself.

    COCO Camera Traps and others have texts as ids ("5968c0f9-23d2-11e8"): each gets the same number
    of 53 bits wherever it is read. True, 7.5, NaN, lists and numbers beyond 64 bits are no ids.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
            value = int(text)
        else:
            return _number_text(text) if text else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_id = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
    return value if is_id else None


def _number_text(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 11


def to_number(value: Any) -> float | None:
    """Return a number; infinity for a whole number beyond float64; None for true, texts, lists."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def to_flag(value: Any) -> bool:
    """Return a flag such as `iscrowd`: 1, true, "1" and "true" are set; 0, "0", "false" are not."""
    if isinstance(value, str):
        return value.strip().lower() not in _FALSE_TEXTS
    return bool(value)


def to_box(value: Any) -> tuple[float, float, float, float] | None:
    """Return four numbers, which need not be finite."""
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    first, second, third, fourth = map(to_number, value)
    if first is None or second is None or third is None or fourth is None:
        return None
    return first, second, third, fourth


def to_side(value: Any) -> int | None:
    """Return a width or height in pixels."""
    number = to_id(value)
    return number if number is not None and 0 < number < 1 << _SIDE_BITS else None


def to_text(value: Any) -> str | None:
    """Return a text that UTF-8 can hold: JSON allows half of a surrogate pair."""
    if not isinstance(value, str) or not value:
        return None
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def normalise_name(name: str) -> str:
    """Return a file name in one spelling: "/" for Windows' separator, no "./", one normal form."""
    name = name.replace("\\", "/")
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name if name.isascii() else unicodedata.normalize("NFC", name)
