"""One Parquet part: LabelRecords ↔ a file that is either whole or absent.

One row per image, also for empty and failed ones; objects are a list of structs. What resume needs
(which image in which state, under which settings) stands in the footer's metadata, so that the rows
hold labels only and a resuming run reads footers only.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.outcomes import Tally
from ovsam_pipeline.output.done_index import PartRows, compute_keys, compute_part_name
from ovsam_pipeline.records import LabelRecord
from ovsam_pipeline.storage.atomic import replace_file, sync_folder
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath

# Not of a fixed size: those that may be missing are not read back by every version of pyarrow.
_NUMBERS = pa.list_(pa.float32())
_OBJECT = pa.struct(
    [
        ("bbox", pa.list_(pa.float32(), 4)),
        ("category_id", pa.int64()),
        ("category", pa.string()),
        ("score", pa.float32()),
        ("detector_score", pa.float32()),
        ("detector_category", pa.string()),
        ("margin", pa.float32()),
        ("mask_score", pa.float32()),
        ("area", pa.int64()),
        (
            "segmentation",
            pa.struct([("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())]),
        ),
        ("prompt_id", pa.int64()),
        ("detector_margin", pa.float32()),
        ("model_category", pa.string()),
        ("model_score", pa.float32()),
        ("detector_box_xyxy", _NUMBERS),
        ("detector_point_xy", _NUMBERS),
    ]
)
_BOX = pa.struct(
    [
        ("bbox", pa.list_(pa.float32(), 4)),
        ("detector_score", pa.float32()),
        ("detector_category", pa.string()),
        ("detector_category_id", pa.int64()),
        ("detector_box_xyxy", _NUMBERS),
        ("detector_point_xy", _NUMBERS),
        ("prompt_id", pa.int64()),
    ]
)


def _build_schema(item: pa.DataType) -> pa.Schema:
    return pa.schema(
        [
            ("image_id", pa.int64()),
            ("file_name", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("status", pa.string()),
            ("error", pa.string()),
            ("objects", pa.list_(item)),
        ]
    )


SCHEMA = _build_schema(_OBJECT)
BOX_SCHEMA = _build_schema(_BOX)
_REPEATED_TEXTS = ("category", "detector_category", "model_category")
_METADATA_KEY = b"ovsam"
# 1 held the same numbers as a JSON list of rows, which takes ten times as long to read.
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
    if stored["format"] == 1:
        keys, identities, is_failed = zip(*stored["images"], strict=True)
        rows = PartRows(
            np.array(keys, np.uint64), np.array(identities, np.uint64), np.array(is_failed, bool)
        )
    else:
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
