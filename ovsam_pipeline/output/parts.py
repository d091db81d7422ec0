"""One Parquet part: LabelRecords ↔ a file that is either whole or absent.

One row per image, also for empty and failed ones; objects are a list of structs. What resume needs
(which image in which state, under which settings) stands in the footer's metadata, so that the rows
hold labels only and a resuming run reads footers only.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.outcomes import Tally
from ovsam_pipeline.output.done_index import PartRows, compute_keys, compute_part_name
from ovsam_pipeline.records import BOX_COLUMNS, OBJECT_COLUMNS, ROW_COLUMNS, LabelRecord
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


SCHEMA, BOX_SCHEMA = _build_schema(OBJECT_COLUMNS), _build_schema(BOX_COLUMNS)
_REPEATED_TEXTS = ("category", "detector_category", "model_category")
_METADATA_KEY = b"ovsam"
_FORMAT = 2


@dataclass(frozen=True)
class PartIndex:
    """What a part's footer says.

    Attributes:
        fingerprint: of the settings under which its rows were made.
        rows: which images, in which state.
    """

    fingerprint: str
    rows: PartRows


def write_part(
    folder: AnyPath, rows: Sequence[LabelRecord], fingerprint: str, schema: pa.Schema = SCHEMA
) -> AnyPath:
    """Write rows as one part and return its path; the part is on disk when this returns.

    Args:
        folder: OUT/parts.
        rows: at least one.
        fingerprint: of the settings under which they were made.
        schema: SCHEMA for labels, BOX_SCHEMA for boxes alone.

    Raises:
        OutputError: the file system refuses (no space, no permission).
    """
    path = folder / compute_part_name((row.identity for row in rows), fingerprint)
    index = PartRows(
        compute_keys(row.file_name for row in rows),
        compute_keys(row.identity for row in rows),
        np.array([row.status == "failed" for row in rows], bool),
    )
    table = pa.Table.from_pylist([row.to_row() for row in rows], schema=schema)
    _write_table(path, table, PartIndex(fingerprint, index))
    return path


@contextmanager
def open_part(path: AnyPath) -> Iterator[pq.ParquetFile]:
    """Open a part; of one on a store only what is asked for is fetched.

    Raises:
        OSError: it cannot be read.
        pa.ArrowException: it is no Parquet file.
    """
    if isinstance(path, RemotePath):
        with path.open() as stream, pq.ParquetFile(stream) as part:
            yield part
    else:
        with pq.ParquetFile(path) as part:
            yield part


def read_part_index(path: AnyPath) -> PartIndex:
    """Return what the footer of a part says, without reading its rows.

    Raises:
        OutputError: the file is not a part that ovsam wrote.
    """
    stored = _read_metadata(path)
    rows = PartRows(
        _to_array(stored["keys"], "<u8"),
        _to_array(stored["identities"], "<u8"),
        _to_array(stored["is_failed"], bool),
    )
    return PartIndex(stored["fingerprint"], rows)


def drop_part_rows(path: AnyPath, positions: Iterable[int]) -> None:
    """Rewrite a part without the rows at `positions`, or remove it when none is left.

    Raises:
        OutputError: the part cannot be read or replaced.
    """
    index = read_part_index(path)
    is_kept = np.ones(len(index.rows.keys), bool)
    is_kept[list(positions)] = False
    if not is_kept.any():
        try:
            path.unlink()
            sync_folder(path.parent)
        except OSError as error:
            raise OutputError(f"cannot remove {path}: {error.strerror or error}") from error
        return
    rows = PartRows(
        index.rows.keys[is_kept], index.rows.identities[is_kept], index.rows.is_failed[is_kept]
    )
    with open_part(path) as part:
        table = part.read()
    _write_table(path, table.filter(pa.array(is_kept)), PartIndex(index.fingerprint, rows))


def iterate_part_rows(
    path: AnyPath, columns: Sequence[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a part as plain dicts, reading a bounded number at a time.

    Raises:
        OutputError: the part cannot be read.
    """
    try:
        with open_part(path) as part:
            for batch in part.iter_batches(64, columns=list(columns) if columns else None):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise OutputError(f"cannot read {path}: {error}") from error


def tally_part(path: AnyPath) -> Tally:
    """Count the rows of a part.

    Raises:
        OutputError: the part cannot be read.
    """
    tally = Tally()
    for row in iterate_part_rows(path, ("status", "error", "objects.list.element.bbox")):
        tally.count(row["status"], len(row["objects"] or ()), row["error"])
    return tally


def _read_metadata(path: AnyPath) -> dict[str, Any]:
    try:
        with open_part(path) as part:
            stored = (part.schema_arrow.metadata or {}).get(_METADATA_KEY)
    except (OSError, pa.ArrowException) as error:
        raise OutputError(
            f"cannot read {path}: {error}; remove the file and its images are labelled again"
        ) from error
    if stored is None:
        raise OutputError(f"{path} was not written by ovsam; move it out of the output folder")
    return json.loads(stored)


def _write_table(path: AnyPath, table: pa.Table, index: PartIndex) -> None:
    stored = {
        "format": _FORMAT,
        "fingerprint": index.fingerprint,
        "keys": _to_text(index.rows.keys, "<u8"),
        "identities": _to_text(index.rows.identities, "<u8"),
        "is_failed": _to_text(index.rows.is_failed, bool),
    }
    metadata = {_METADATA_KEY: json.dumps(stored, separators=(",", ":")).encode()}
    with replace_file(path) as temporary:
        pq.write_table(
            table.replace_schema_metadata(metadata),
            temporary,
            compression="zstd",
            compression_level=3,
            use_dictionary=["status", *(f"objects.list.element.{n}" for n in _REPEATED_TEXTS)],
        )


def _to_text(values: np.ndarray, dtype: str | type) -> str:
    return base64.b64encode(values.astype(dtype).tobytes()).decode("ascii")


def _to_array(text: str, dtype: str | type) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)
