"""Fields of many JSON objects at once → numpy columns, with the rules for odd values.

Each `read_…` takes one field of the objects of a block and gives a column. Where numpy cannot take
the block as a whole, objects are looked at one by one, to find and name the one to blame.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ovsam.coco_fields import to_box, to_id, to_number, to_text
from ovsam.errors import show_value
from ovsam_pipeline.detectors.image_match import ImageIndex, MatchReport
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.segment_store import SegmentStore
from ovsam_pipeline.evaluation.structures import GroundTruth, Problems

Place = Callable[[int], str]
"""The name of an object for messages, given its position in the block."""

_SHAPES = {"bbox": (0, 4), "size_hw": (0, 2)}
_INTEGERS = {"id", "image", "image_id", "category_id", "prompt_id", "query", "row", "size_hw"}
_FLAGS = {"is_readable", "has_mask", "iscrowd", "ignore"}


class Columns:
    """Columns by name, added block by block and joined at the end."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[np.ndarray]] = defaultdict(list)

    def add(self, **pieces: np.ndarray) -> None:
        """Append a block to each of some columns."""
        for name, piece in pieces.items():
            self._pieces[name].append(piece)

    def join(self, name: str) -> np.ndarray:
        """Return a whole column: (n,), bbox (n, 4), size_hw (n, 2); n is 0 for an unknown one."""
        if pieces := self._pieces[name]:
            pieces[:] = [np.concatenate(pieces)]  # once: columns are asked for again
            return pieces[0]
        kind = np.int64 if name in _INTEGERS else bool if name in _FLAGS else np.float64
        return np.zeros(_SHAPES.get(name, 0), kind)


@dataclass
class RawPredictions:
    """Predictions as their file has them, before they are compared with a ground truth.

    Attributes:
        columns: in the order of the file: image (position in the ground truth, -1 for an unknown
            one), image_id, category_id, score, prompt_id (-1: none), row (position in the file);
            bbox where `has_boxes`; is_readable and size_hw (of run lengths, else -1) where
            `has_masks`; area where it is known.
        images: how many images were found in the ground truth, by which rule.
        segments: a row per prediction where `has_masks`, else empty.
        categories: id and name of the classes that the file lists.
        answered_images: (I,) bool, see `Predictions`; None for all.
        has_classes: whether predictions have classes; else they are boxes of `ovsam detect`.
    """

    title: str
    columns: Columns = field(default_factory=Columns)
    segments: SegmentStore = field(default_factory=SegmentStore)
    has_boxes: bool = False
    has_masks: bool = False
    categories: list[tuple[int, str]] = field(default_factory=list)
    answered_images: np.ndarray | None = None
    images: MatchReport = field(default_factory=MatchReport)
    has_classes: bool = True
    problems: Problems = field(default_factory=Problems)


def read_ids(values: Sequence[Any], place: Place, name: str, problems: Problems) -> np.ndarray:
    """Return (n,) int64 ids as `to_id` gives them; text is counted as a problem.

    `values` are as in the file, None where the field is absent; `name` is the field's. What is
    neither a whole number nor a text is an error.
    """
    column = _to_array(values)
    if column is not None and column.dtype.kind == "i":  # "u" is beyond 63 bits, "b" is no id
        return column.astype(np.int64)
    ids = np.zeros(len(values), np.int64)
    for index, value in enumerate(values):
        number = to_id(value)
        if number is None:
            raise DatasetError(
                f"expected a whole number or a text as {name} in {place(index)}, got "
                f"{show_value(value)}"
            )
        if isinstance(value, str):
            problems.add(f"{name}s are written as text", [place(index)])
        ids[index] = number
    return ids


def read_numbers(values: Sequence[Any], place: Place, name: str) -> np.ndarray:
    """Return (n,) float64; a value that is missing or not a number is an error."""
    column = _to_array(values)
    if column is not None and column.dtype.kind in "iuf":
        return column.astype(np.float64)
    numbers = [to_number(value) for value in values]
    for index, number in enumerate(numbers):
        if number is None:
            raise DatasetError(
                f"expected a number as {name} in {place(index)}, got {show_value(values[index])}"
            )
    return np.array(numbers, np.float64)


def read_boxes(values: Sequence[Any]) -> np.ndarray:
    """Return (n, 4) float64 boxes x, y, w, h; NaN where a box is not four numbers."""
    column = _to_array(values, (4,))
    if column is not None and column.dtype.kind in "iuf":
        return column.astype(np.float64)
    boxes = [to_box(value) or (np.nan,) * 4 for value in values]
    return np.array(boxes, np.float64).reshape(-1, 4)


def read_category(entry: Any, path: object) -> tuple[int, str]:
    """Return the id and name of an entry of `categories`."""
    number = to_id(entry.get("id")) if isinstance(entry, dict) else None
    name = to_text(entry.get("name")) if isinstance(entry, dict) else None
    if number is None or name is None:
        raise DatasetError(
            f"expected an id and a name in the categories of {path}, got {show_value(entry)}"
        )
    return number, name


def index_truth(truth: GroundTruth) -> ImageIndex:
    """Return the images of a ground truth by name and id, numbered by their position in it."""
    index = ImageIndex()
    for image_id, name in zip(truth.image_ids.tolist(), truth.file_names, strict=True):
        index.add(image_id, name)
    return index


def refuse_list(key: str, path: object) -> None:
    """Refuse a file whose top level is a list, the key of which is "" (its blocks': "[]")."""
    if key in ("", "[]"):
        raise DatasetError(
            f"expected a COCO or LVIS data set in {path}, got a list: results are given as "
            "--predictions"
        )


def find_positions(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the position of each value in ascending `known`, -1 where it is absent: (n,) int64."""
    if not len(known):
        return np.full(len(values), -1, np.int64)
    positions = np.searchsorted(known, values).clip(0, len(known) - 1)
    return np.where(known[positions] == values, positions, -1)


def rank_in_group(groups: np.ndarray) -> np.ndarray:
    """Return the place of each within its run of equal numbers, which are >= -1: (n,) int32."""
    positions = np.arange(len(groups))
    # Before the first is a number that no group has, so that a run begins there.
    starts = np.flatnonzero(np.diff(groups, prepend=-2))
    lengths = np.diff(starts, append=len(groups))
    return (positions - np.repeat(starts, lengths)).astype(np.int32)


def _to_array(values: Sequence[Any], shape: tuple[int, ...] = ()) -> np.ndarray | None:
    """Return the values as an array whose rows are of a shape, None where they are not."""
    try:
        column = np.array(values)
    except (ValueError, OverflowError):  # lists of different lengths, numbers beyond 64 bits
        return None
    return column if column.shape[1:] == shape else None
