"""Rows as they come → Parquet parts, each either whole or absent; and a part → rows.

One row per image, also for empty and failed ones; objects are a list of structs. What resume needs
(which image in which state, under which settings) is in the footer's metadata, so that the rows
hold labels only and a resuming run reads footers only.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ovsam.checked_json import parse_json, refuse_pipe
from ovsam.errors import describe_error, explain
from ovsam_pipeline.errors import DamagedPartError, OutputError
from ovsam_pipeline.outcomes import Tally, is_transient
from ovsam_pipeline.output.done_index import PartIndex, compute_keys
from ovsam_pipeline.records import (
    ADDED_LATER,
    BOX_COLUMNS,
    OBJECT_COLUMNS,
    ROW_COLUMNS,
    UNKNOWN_ORIGIN,
    LabelRecord,
    Origin,
)
from ovsam_pipeline.storage.atomic import replace_file, sync_folder
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath

_TYPES = {
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "string": pa.string(),
    "float32[4]": pa.list_(pa.float32(), 4),
    # Not of a fixed size: such lists with nulls are not read back by every version of pyarrow.
    "float32[]": pa.list_(pa.float32()),
    "run lengths": pa.struct([("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())]),
}


def _build_schema(object_columns: Mapping[str, str]) -> pa.Schema:
    item = pa.struct([(name, _TYPES[kind]) for name, kind in object_columns.items()])
    row = [(name, _TYPES[kind]) for name, kind in ROW_COLUMNS.items()]
    return pa.schema([*row, ("objects", pa.list_(item))])


# Of `ovsam label`, and of `ovsam detect`.
SCHEMA, BOX_SCHEMA = _build_schema(OBJECT_COLUMNS), _build_schema(BOX_COLUMNS)
# Few distinct values, unlike run lengths, whose dictionary would fill up for nothing.
_DICTIONARY_COLUMNS = (
    "status",
    "objects.list.element.category",
    "objects.list.element.detector_category",
    "objects.list.element.model_category",
    "objects.list.element.reason",
)
_METADATA_KEY = b"ovsam"
_FORMAT = 2
# Rows with large masks are big as Python objects.
_ROWS_AT_ONCE = 64
# What reading a part raises, ValueErrors of the checks below among them.
_UNREADABLE = (OSError, pa.ArrowException, ValueError)

_T = TypeVar("_T")


class PartWriter:
    """Collects rows and commits them as a part when enough, or old enough, are together.

    A part is committed when it has `max_images` rows, or when its oldest row is `max_seconds` old.
    `guard` is called before each commit and raises where another run holds the output by now; it
    is left out when a writer is pickled for another process.
    """

    def __init__(
        self,
        folder: AnyPath,
        fingerprint: str,
        *,
        max_images: int,
        max_seconds: float,
        schema: pa.Schema = SCHEMA,
        guard: Callable[[], None] | None = None,
    ) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self._guard = guard
        self.max_images = max_images
        self._max_seconds = max_seconds
        self._schema = schema
        self._rows: list[LabelRecord] = []
        self._oldest_s = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the guard."""
        return {**self.__dict__, "_guard": None}

    def without_limits(self) -> PartWriter:
        """Return an empty writer for the same place that commits only on `commit`."""
        return PartWriter(
            self.folder,
            self.fingerprint,
            max_images=sys.maxsize,
            max_seconds=math.inf,
            schema=self._schema,
            guard=self._guard,
        )

    def has_part(self, name: str) -> bool:
        """Whether any process has committed a part of this name."""
        path = self.folder / name
        with explain("cannot read", path, OutputError):
            return path.exists()

    def check(self) -> None:
        """Raise an OutputError where another run holds the output by now."""
        if self._guard is not None:
            self._guard()

    def add(self, row: LabelRecord) -> bool:
        """Take a row; return whether that committed a part."""
        if not self._rows:
            self._oldest_s = time.monotonic()
        self._rows.append(row)
        if len(self._rows) >= self.max_images:
            self.commit()
            return True
        return self.commit_old()

    def commit_old(self) -> bool:
        """Commit where the oldest row is old enough; return whether that wrote a part."""
        is_old = time.monotonic() - self._oldest_s >= self._max_seconds
        return is_old and self.commit() is not None

    def commit(self) -> str | None:
        """Write the rows that were added; return the file name of the part, None without rows."""
        if not self._rows:
            return None
        # A lease that expired meanwhile: another run may have labelled these images.
        self.check()
        part = write_part(self.folder, self._rows, self.fingerprint, self._schema)
        self._rows = []
        return part.name


def compute_part_name(identities: Iterable[str], fingerprint: str) -> str:
    """Return the file name of the part with the rows of these images, in any order.

    It depends on the images and the settings alone, so writing the same part twice replaces it
    instead of doubling it.
    """
    digest = hashlib.blake2b(fingerprint.encode(), digest_size=8)
    for identity in sorted(identities):
        digest.update(identity.encode("utf-8") + b"\0")
    return f"part-{digest.hexdigest()}.parquet"


def write_part(
    folder: AnyPath, rows: Sequence[LabelRecord], fingerprint: str, schema: pa.Schema = SCHEMA
) -> AnyPath:
    """Write at least one row as a part in OUT/parts; return its path once it is on disk."""
    path = folder / compute_part_name((row.identity for row in rows), fingerprint)
    index = PartIndex(
        fingerprint,
        compute_keys(row.file_name for row in rows),
        compute_keys(row.identity for row in rows),
        np.array([row.status == "failed" for row in rows], bool),
        np.array([is_transient(row.error) for row in rows], bool),
        *_number_origins([row.origin for row in rows]),
    )
    write_part_table(
        path, pa.Table.from_pylist([row.to_row() for row in rows], schema=schema), index
    )
    return path


def _number_origins(origins: Sequence[Origin]) -> tuple[tuple[Origin, ...], np.ndarray]:
    """Return the distinct origins, and which of them each is."""
    numbers: dict[Origin, int] = {}
    which = [numbers.setdefault(origin, len(numbers)) for origin in origins]
    return tuple(numbers), np.array(which, np.uint32)


def drop_part_rows(path: AnyPath, positions: Iterable[int]) -> None:
    """Rewrite a part without the rows at `positions`, or remove it when none is left."""
    index = read_part_index(path)
    is_kept = np.ones(len(index.keys), bool)
    is_kept[list(positions)] = False
    if not is_kept.any():
        with explain("cannot remove", path, OutputError):
            path.unlink()
            sync_folder(path.parent)
        return
    table = read_part(path, lambda part: part.read())
    write_part_table(path, table.filter(pa.array(is_kept)), index.keep(is_kept))


@contextmanager
def open_parquet(path: AnyPath, content: bytes | None = None) -> Iterator[pq.ParquetFile]:
    """Open any Parquet file; of one on a store only what is read is fetched.

    Unlike elsewhere, an OSError or a pa.ArrowException where it cannot be read.
    """
    with ExitStack() as stack:
        file: Any = path
        if content is not None:
            file = pa.BufferReader(content)
        elif isinstance(path, RemotePath):
            file = stack.enter_context(path.open())
        else:
            refuse_pipe(path)
        # Where pages have checksums, as ours do, a flipped bit in a column is found, not read.
        try:
            opened = pq.ParquetFile(file, page_checksum_verification=True)
        except UnicodeDecodeError as error:  # a name in the footer
            raise pa.ArrowInvalid(f"a text in it is not UTF-8: {error}") from error
        yield stack.enter_context(opened)


def read_part(
    path: AnyPath, read: Callable[[pq.ParquetFile], _T], content: bytes | None = None
) -> _T:
    """Return what `read` makes of a part, whose columns are checked before.

    `content` is the whole file where it was fetched already; else, of a part on a store, only what
    `read` asks for is. What seems damaged is read a second time and whole.

    Raises:
        DamagedPartError: it seemed so again.
        OutputError: it cannot be reached, or is of a later version of ovsam.
    """
    try:
        with _open_part(path, content) as part:
            return read(part)
    except _UNREADABLE as error:
        _raise_unless_damaged(path, error)
    try:
        with _open_part(path, path.read_bytes()) as part:
            return read(part)
    except _UNREADABLE as error:
        _raise_unless_damaged(path, error)
        raise DamagedPartError(path, path.name, describe_error(error)) from error


def read_part_index(path: AnyPath) -> PartIndex:
    """Return what the footer of a part records, without reading its rows; raises as `read_part`."""
    return read_part(path, lambda part: _read_index(part, path))


def read_whole_part(path: AnyPath, content: bytes | None = None) -> tuple[PartIndex, pa.Table]:
    """Return the same and all rows; `content` and what is raised as in `read_part`."""

    def read(part: pq.ParquetFile) -> tuple[PartIndex, pa.Table]:
        return _read_index(part, path), part.read(use_threads=False).replace_schema_metadata(None)

    return read_part(path, read, content)


def iterate_part_rows(
    path: AnyPath, columns: Sequence[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a part, or some columns of it, as plain dicts; raises as `read_part`."""
    names = list(columns) if columns else None
    try:
        with _open_part(path) as part:
            for batch in part.iter_batches(_ROWS_AT_ONCE, columns=names):
                yield from batch.to_pylist()
    except _UNREADABLE as error:
        _raise_unless_damaged(path, error)
        # A second time, to see; what was yielded cannot be taken back.
        read_part(path, lambda part: part.read(columns=names))
        raise OutputError(
            f"cannot read {path}: {describe_error(error)}; read again it was whole: run the same "
            "command again"
        ) from error


def tally_part(path: AnyPath) -> Tally:
    """Count the rows of a part."""
    tally = Tally()
    columns = ("file_name", "status", "error", "warning", "objects.list.element.bbox")
    for row in iterate_part_rows(path, columns):
        num_objects = len(row["objects"] or ())
        tally.count(row["status"], num_objects, row["error"], row.get("warning"), row["file_name"])
    return tally


@contextmanager
def _open_part(path: AnyPath, content: bytes | None = None) -> Iterator[pq.ParquetFile]:
    with open_parquet(path, content) as part:
        _check_columns(part.schema_arrow.remove_metadata())
        yield part


def _raise_unless_damaged(path: AnyPath, error: BaseException) -> None:
    """Raise what does not speak of the bytes: a part that cannot be reached is no damaged one."""
    # Arrow raises OSErrors for both; those of the system and of stores have a number.
    if isinstance(error, MemoryError) or getattr(error, "errno", None) is not None:
        raise OutputError(f"cannot read {path}: {describe_error(error)}") from error


@lru_cache(maxsize=8)  # thousands of parts have the same columns
def _check_columns(found: pa.Schema) -> None:
    """Raise a ValueError where a part has not the columns of one of ours, in our types."""
    differences = [
        [name for name in schema.names if not _has_column(found, schema.field(name))]
        for schema in (SCHEMA, BOX_SCHEMA)
    ]
    if all(differences):
        names = " and ".join(differences[0])
        raise ValueError(f"not of the types that ovsam writes: {names}")


def _has_column(found: pa.Schema | pa.StructType, wanted: pa.Field) -> bool:
    indices = found.get_all_field_indices(wanted.name)
    if not indices:
        return wanted.name in ADDED_LATER
    return len(indices) == 1 and _is_alike(found.field(indices[0]).type, wanted.type)


def _is_alike(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values of both types are read as the same: lists of a fixed size are lists too."""
    if pa.types.is_struct(wanted):
        return pa.types.is_struct(found) and all(_has_column(found, item) for item in wanted)
    if _is_list(wanted):
        return _is_list(found) and _is_alike(found.value_type, wanted.value_type)
    return found.equals(wanted)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)


def _read_index(part: pq.ParquetFile, path: AnyPath) -> PartIndex:
    metadata = part.schema_arrow.metadata or {}
    if _METADATA_KEY not in metadata:
        raise OutputError(f"{path} was not written by ovsam; move it out of the output folder")
    try:
        stored = parse_json(metadata[_METADATA_KEY])
        if isinstance(stored, dict) and _is_later(stored.get("format")):
            raise OutputError(
                f"{path} was made by a later version of ovsam (format {stored['format']}, known "
                f"are formats up to {_FORMAT}); use that version, or give another -o"
            )
        index = PartIndex(
            stored["fingerprint"],
            _to_array(stored["keys"], "<u8"),
            _to_array(stored["identities"], "<u8"),
            _to_array(stored["is_failed"], bool),
            _read_transient(part, stored),
            *_read_origins(stored),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"its record of images is damaged: {describe_error(error)}") from error
    states = (index.identities, index.is_failed, index.is_transient, index.origin_of)
    lengths = {len(index.keys), *map(len, states)}
    if lengths != {part.metadata.num_rows} or not isinstance(index.fingerprint, str):
        raise ValueError("its record of images does not fit its rows")
    return index


def _read_transient(part: pq.ParquetFile, stored: Mapping[str, Any]) -> np.ndarray:
    """Return which rows failed for a reason that is not their image's: (N,) bool."""
    is_failed = _to_array(stored["is_failed"], bool)
    if "is_transient" in stored:
        return _to_array(stored["is_transient"], bool)
    if not is_failed.any():
        return is_failed
    # Of an earlier version, whose footers do not say it.
    errors = part.read(columns=["error"])["error"].to_pylist()
    return np.array([is_transient(error) for error in errors], bool)


def _read_origins(stored: Mapping[str, Any]) -> tuple[tuple[Origin, ...], np.ndarray]:
    """Return from where the rows were listed; one unknown origin for parts of earlier versions."""
    if "origins" not in stored:
        num_rows = len(_to_array(stored["is_failed"], bool))
        return (UNKNOWN_ORIGIN,), np.zeros(num_rows, np.uint32)
    origins = tuple(Origin(str(source), str(folder)) for source, folder in stored["origins"])
    origin_of = _to_array(stored["origin_of"], "<u4")
    if len(origin_of) and origin_of.max() >= len(origins):
        raise ValueError(f"{len(origins)} origins, and a row of number {origin_of.max()}")
    return origins, origin_of


def _is_later(number: Any) -> bool:
    return isinstance(number, int) and number > _FORMAT


def write_part_table(path: AnyPath, table: pa.Table, index: PartIndex) -> None:
    """Write a table of rows as a part; `index` says which images they are."""
    # Base64 of the arrays: a JSON list of numbers would take ten times as long to read.
    stored = {
        "format": _FORMAT,
        "fingerprint": index.fingerprint,
        "keys": _to_text(index.keys, "<u8"),
        "identities": _to_text(index.identities, "<u8"),
        "is_failed": _to_text(index.is_failed, bool),
        "is_transient": _to_text(index.is_transient, bool),
        "origins": index.origins,
        "origin_of": _to_text(index.origin_of, "<u4"),
    }
    metadata = {_METADATA_KEY: json.dumps(stored, separators=(",", ":")).encode()}
    with replace_file(path) as temporary:
        pq.write_table(
            table.replace_schema_metadata(metadata),
            temporary,
            compression="zstd",
            compression_level=3,
            use_dictionary=list(_DICTIONARY_COLUMNS),
            write_page_checksum=True,
        )


def _to_text(values: np.ndarray, dtype: str | type) -> str:
    return base64.b64encode(values.astype(dtype).tobytes()).decode("ascii")


def _to_array(text: str, dtype: str | type) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)
