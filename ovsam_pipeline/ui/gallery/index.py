"""Columns of all images and objects of an output: what the page filters and sorts by.

One binary file, the same for a server and for a self-contained report:

    uint32, little-endian: length of the header
    header, JSON: {"columns": {NAME: {"type", "offset", "length"}}, "errors": [sentences]}
    zeros up to a multiple of 8
    the columns, each at a multiple of 8; `offset` counts from the first of them

Letters: N images, M objects in all of them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ovsam_pipeline.export.drawing.colours import choose_class_number
from ovsam_pipeline.outcomes import find_kind
from ovsam_pipeline.output.answered_rows import REVIEWED_BY
from ovsam_pipeline.records import STATUSES
from ovsam_pipeline.review.ask import find_risks
from ovsam_pipeline.ui.objects import write_colour

SEEN, DISAGREES = 1, 2
VERDICTS = ("none", "accepted", "renamed", "redrawn", "rejected", "added")
NO_ERROR = 2**32 - 1
# Labels' columns, and in their place those of boxes.
_CLASSES = (("category", "category_id"), ("detector_category", "detector_category_id"))
_SCORES = ("score", "detector_score")
_OBJECT_COLUMNS = (
    *(name for pair in _CLASSES for name in pair),
    *_SCORES,
    "margin",
    "mask_score",
    "detector_margin",
    "risk",
)
INDEX_COLUMNS = (
    "file_name",
    "status",
    "error",
    "width",
    "height",
    *(f"objects.list.element.{name}" for name in _OBJECT_COLUMNS),
)
"""What of a part is read for the index; parts of earlier versions may lack some."""
_OF_IMAGES = ("status", "error", "width", "height", "num_objects")
_STATUS_NUMBERS = {status: number for number, status in enumerate(STATUSES)}
_FAILED = _STATUS_NUMBERS["failed"]
_ALIGNMENT = 8
_TYPES = {"uint8": "u8", "uint16": "u16", "uint32": "u32", "int32": "i32", "float32": "f32"}


@dataclass(frozen=True, eq=False)
class Columns:
    """What is filtered and sorted by, of N images with M objects.

    Attributes:
        status: (N,) uint8, the place in STATUSES.
        error: (N,) uint32, the kind of failure, a number of `Names`; NO_ERROR of what did not fail.
        width, height: (N,) int32 pixels of the upright image; 0 where it could not be decoded.
        num_objects: (N,) uint32.
        category: (M,) uint32, a number of `Names`.
        score, risk, margin: (M,) float32, NaN where unknown.
        flags: (M,) uint8, SEEN by a person, and model and detector DISAGREE, added up.
        verdict: (M,) uint8, the place in VERDICTS.
    """

    status: np.ndarray
    error: np.ndarray
    width: np.ndarray
    height: np.ndarray
    num_objects: np.ndarray
    category: np.ndarray
    score: np.ndarray
    risk: np.ndarray
    margin: np.ndarray
    flags: np.ndarray
    verdict: np.ndarray


class Names:
    """Classes and kinds of failures, numbered as they come: numbers stay while the server runs."""

    def __init__(self, categories: Iterable[Mapping[str, Any]]) -> None:
        """Begin with the classes of run.json and of people's answers."""
        self._lock = threading.Lock()
        self._classes: dict[str, int] = {}
        self._ids: list[int] = []
        self._kinds: dict[str, int] = {}
        self.errors: list[str] = []
        self.add_categories(categories)

    def add_categories(self, categories: Iterable[Mapping[str, Any]]) -> None:
        """Number further classes."""
        for category in categories:
            self.number_class(str(category["name"]), int(category["id"]))

    def number_class(self, name: str, category_id: int) -> int:
        """Return the number of a class; its id is that with which it came first."""
        with self._lock:
            number = self._classes.setdefault(name, len(self._classes))
            if number == len(self._ids):
                self._ids.append(category_id)
            return number

    def knows_class(self, name: str) -> bool:
        """Whether a class has a number."""
        return name in self._classes

    def number_error(self, sentence: str) -> int:
        """Return the number of a failure: sentences that differ in names and numbers are one."""
        with self._lock:
            number = self._kinds.setdefault(find_kind(sentence), len(self._kinds))
            if number == len(self.errors):
                self.errors.append(sentence)
            return number

    def list_categories(self) -> list[dict[str, Any]]:
        """Return the classes by their numbers: id, name and colour."""
        with self._lock:
            known = list(zip(self._classes, self._ids, strict=True))
        return [{"id": n, "name": name, "colour": write_colour(n)} for name, n in known]


def read_columns(table: pa.Table, names: Names) -> Columns:
    """Return the columns of a table of rows that has those of `INDEX_COLUMNS`."""
    lists = table["objects"].combine_chunks()
    items = pc.list_flatten(lists)
    held = {field.name: pc.struct_field(items, field.name) for field in items.type}
    return Columns(
        status=_number(table["status"], _STATUS_NUMBERS.get, _FAILED).astype(np.uint8),
        error=_number(table["error"], names.number_error, NO_ERROR),
        width=_to_numpy(table["width"], np.int32, 0),
        height=_to_numpy(table["height"], np.int32, 0),
        num_objects=_to_numpy(pc.list_value_length(lists), np.uint32, 0),
        category=_number_classes(held, names),
        score=_to_floats(held, _SCORES),
        risk=_find_risks(items, held),
        margin=_to_floats(held, ("margin",)),
        flags=_find_flags(held, len(items)),
        verdict=np.zeros(len(items), np.uint8),
    )


def join_columns(parts: Sequence[Columns]) -> Columns:
    """Return the columns of all parts, one after the other."""
    if not parts:
        parts = [_NOTHING]
    joined = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Columns)
    }
    return Columns(**joined)


def take_images(columns: Columns, rows: Sequence[int]) -> Columns:
    """Return the columns of some images, in their order: for a report on part of an output."""
    places = np.asarray(rows, np.int64)
    ends = np.cumsum(columns.num_objects.astype(np.int64))
    counts = columns.num_objects[places].astype(np.int64)
    firsts = ends[places] - counts
    of = np.repeat(firsts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    taken = {
        field.name: getattr(columns, field.name)[places if field.name in _OF_IMAGES else of]
        for field in fields(Columns)
    }
    return Columns(**taken)


def encode_index(
    columns: Columns, errors: Sequence[str], difference: np.ndarray | None = None
) -> bytes:
    """Return the file that the page reads; see the module's text.

    `errors`: of `Names`. `difference`: (N,) float32, of a comparison.
    """
    first = np.zeros(len(columns.num_objects) + 1, np.uint32)
    np.cumsum(columns.num_objects, out=first[1:])
    values = {field.name: getattr(columns, field.name) for field in fields(Columns)}
    del values["num_objects"]
    values["first_object"] = first
    if difference is not None:
        values["difference"] = difference
    places, offset = {}, 0
    for name, array in values.items():
        places[name] = {"type": _TYPES[str(array.dtype)], "offset": offset, "length": len(array)}
        offset += _round_up(array.nbytes)
    header = json.dumps({"columns": places, "errors": list(errors)}).encode()
    pieces = [len(header).to_bytes(4, "little"), header, bytes(-(4 + len(header)) % _ALIGNMENT)]
    for array in values.values():
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        pieces += [little.tobytes(), bytes(-array.nbytes % _ALIGNMENT)]
    return b"".join(pieces)


def _round_up(num_bytes: int) -> int:
    return -(-num_bytes // _ALIGNMENT) * _ALIGNMENT


def _number(column: Any, number: Callable[[str], int | None], missing: int) -> np.ndarray:
    """Return a number for each text of a column, (N,) uint32; each distinct one is asked once.

    `missing` stands for null, and for texts that have no number.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    coded = pc.dictionary_encode(array)
    found = [number(text) for text in coded.dictionary.to_pylist()]
    numbers = np.array([missing if one is None else one for one in found], np.uint32)
    which = coded.indices.fill_null(len(numbers)).to_numpy(zero_copy_only=False)
    return np.append(numbers, np.uint32(missing))[which.astype(np.int64)]


def _number_classes(held: Mapping[str, pa.Array], names: Names) -> np.ndarray:
    name_key, id_key = next(pair for pair in _CLASSES if pair[0] in held)
    column = pc.fill_null(held[name_key], "")
    ids = held.get(id_key)

    def number(name: str) -> int:
        found = None
        if ids is not None and not names.knows_class(name):
            found = ids[pc.index(column, name).as_py()].as_py()
        return names.number_class(name, choose_class_number(name, found))

    return _number(column, number, 0)


def _find_risks(items: pa.StructArray, held: Mapping[str, pa.Array]) -> np.ndarray:
    """Return the risks of labels, estimated for those of earlier versions; boxes have none."""
    if "score" not in held:
        return np.full(len(items), np.nan, np.float32)
    return find_risks(items).astype(np.float32)


def _find_flags(held: Mapping[str, pa.Array], count: int) -> np.ndarray:
    flags = np.zeros(count, np.uint8)
    if REVIEWED_BY in held:
        is_seen = pc.is_valid(held[REVIEWED_BY]).to_numpy(zero_copy_only=False)
        flags[is_seen] |= SEEN
    if "detector_margin" in held:
        # 0 where model and detector agree, null where the detector's class has no counterpart.
        margin = _to_floats(held, ("detector_margin",))
        flags[np.nan_to_num(margin) != 0] |= DISAGREES
    return flags


def _to_floats(held: Mapping[str, pa.Array], names: Sequence[str]) -> np.ndarray:
    """Return the first of some columns that there is, NaN for null: (M,) float32."""
    found = next((held[name] for name in names if name in held), None)
    if found is None:
        return np.full(len(next(iter(held.values()))), np.nan, np.float32)
    return found.to_numpy(zero_copy_only=False).astype(np.float32)


def _to_numpy(column: Any, dtype: type, missing: int) -> np.ndarray:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pc.fill_null(array, missing).to_numpy(zero_copy_only=False).astype(dtype)


_NOTHING = Columns(
    *(np.zeros(0, np.uint8), np.zeros(0, np.uint32), np.zeros(0, np.int32), np.zeros(0, np.int32)),
    *(np.zeros(0, np.uint32), np.zeros(0, np.uint32)),
    *(np.zeros(0, np.float32), np.zeros(0, np.float32), np.zeros(0, np.float32)),
    *(np.zeros(0, np.uint8), np.zeros(0, np.uint8)),
)
