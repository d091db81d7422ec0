"""Fields of many JSON objects at once → numpy columns, with the rules for odd values.

Each function takes the objects of a block and gives a column; where the plain way fails it looks
at one object after another, to name the one to blame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.structures import Problems

Place = Callable[[int], str]
"""The name of an object for messages, given its position in the block."""


def to_id(value: Any) -> int | None:
    """Return an id as a whole number (also of 7.0 or "7"), None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else None
    return int(value) if isinstance(value, float) and value.is_integer() else None


def read_ids(values: Sequence[Any], place: Place, field: str, problems: Problems) -> np.ndarray:
    """Return (n,) int64 ids.

    Args:
        values: as in the file; None where the field is absent.
        place: names an object.
        field: its name, for messages.
        problems: where ids written as text are counted.

    Raises:
        DatasetError: no whole number.
    """
    column = _to_array(values)
    if column is not None and column.dtype.kind == "i":
        return column.astype(np.int64)
    ids = np.zeros(len(values), np.int64)
    for index, value in enumerate(values):
        number = to_id(value)
        if number is None:
            raise DatasetError(
                f"expected a whole number as {field} in {place(index)}, got {value!r:.60}"
            )
        if isinstance(value, str):
            problems.add(f"{field}s are written as text and read as numbers", [place(index)])
        ids[index] = number
    return ids


def read_numbers(values: Sequence[Any], place: Place, field: str) -> np.ndarray:
    """Return (n,) float64.

    Raises:
        DatasetError: a value is missing or no number.
    """
    column = _to_array(values)
    if column is not None and column.dtype.kind in "iuf":
        return column.astype(np.float64)
    for index, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DatasetError(f"expected a number as {field} in {place(index)}, got {value!r:.60}")
    return np.array(values, np.float64)


def read_boxes(values: Sequence[Any]) -> np.ndarray:
    """Return (n, 4) float64 boxes x, y, w, h; NaN where a box is not four numbers."""
    column = _to_array(values) if len({_length(value) for value in values}) == 1 else None
    if column is not None and column.dtype.kind in "iuf" and column.shape[1:] == (4,):
        return column.astype(np.float64)
    boxes = np.full((len(values), 4), np.nan)
    for index, value in enumerate(values):
        if _length(value) == 4 and all(_is_number(number) for number in value):
            boxes[index] = value
    return boxes


def find_positions(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return where each value stands among ascending `known`, -1 where it does not: (n,) int64."""
    if not len(known):
        return np.full(len(values), -1, np.int64)
    positions = np.searchsorted(known, values).clip(0, len(known) - 1)
    return np.where(known[positions] == values, positions, -1)


def rank_in_group(groups: np.ndarray) -> np.ndarray:
    """Return the place of each within its run of equal numbers, which are >= -1: (N,) int32."""
    positions = np.arange(len(groups))
    starts = np.flatnonzero(np.diff(groups, prepend=-2))
    lengths = np.diff(starts, append=len(groups))
    return (positions - np.repeat(starts, lengths)).astype(np.int32)


def _to_array(values: Sequence[Any]) -> np.ndarray | None:
    try:
        return np.array(values)
    except (ValueError, OverflowError):  # lists of different lengths, numbers beyond 64 bits
        return None


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list | tuple) else -1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
