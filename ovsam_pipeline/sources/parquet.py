"""Parquet files of images, as the Hugging Face hub keeps data sets: which column, which names.

Only the schema and the column of paths are read here, never the images.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.records import StoredFile
from ovsam_pipeline.sources.cells import ParquetCell
from ovsam_pipeline.sources.entry import Entry

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

_OWN_COLUMNS = {"image_id", "file_name", "status", "objects"}


def list_parquet(file: StoredFile, name: str, state: str, column: str | None) -> Iterator[Entry]:
    """Yield the images of a Parquet file, row by row.

    Args:
        file: the file.
        name: of the file, in front of its images' names.
        state: size and time of the file: a cell has no others.
        column: the image column; None finds it.

    Raises:
        SourceError: it cannot be read, is no Parquet file, or its image column is not plain.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with file.open("rb") as stream, parquet.ParquetFile(stream) as opened:
            column = find_image_column(opened.schema_arrow, str(file), column)
            names = choose_names(_read_paths(opened, column), opened.metadata.num_rows)
            sizes = [
                opened.metadata.row_group(i).num_rows for i in range(opened.metadata.num_row_groups)
            ]
    except OSError as error:
        raise SourceError(f"cannot read {file}: {error.strerror or error}") from error
    except pa.ArrowInvalid as error:
        raise SourceError(f"expected a Parquet file, got {file}: {error}") from error
    index = 0
    for row_group, num_rows in enumerate(sizes):
        for row in range(num_rows):
            cell = ParquetCell(file, column, row_group, row, state)
            yield Entry(cell, f"{name}/{names[index]}", -1, 0, f"{state}:{row_group}:{row}")
            index += 1


def find_image_column(schema: pa.Schema, text: str, column: str | None) -> str:
    """Return the column that holds the images.

    It is the one that the file's Hugging Face description calls an image; else the one that is a
    struct with `bytes`; else the one that is binary.

    Args:
        schema: of the file.
        text: the file, for the error.
        column: the one that the user named, or None.

    Raises:
        SourceError: there is none, there are several, or the named one holds no bytes.
    """
    holders = [field.name for field in schema if _holds_bytes(field.type)]
    if column is not None:
        if column not in holders:
            raise SourceError(
                f"expected {column} as a column of image bytes in {text}, which has "
                f"{_join(holders) or 'none'}"
            )
        return column
    if set(schema.names) >= _OWN_COLUMNS:
        raise SourceError(
            f"expected images, got {text}, which `ovsam label` wrote: it holds labels; name the "
            "source of their images"
        )
    structs = [name for name in holders if has_path(schema, name)]
    found = _list_declared(schema, holders) or structs or holders
    if not found:
        raise SourceError(
            f"expected a column of images in {text} (binary, or a struct with bytes and path), got "
            f"only {_join(schema.names[:8])}"
        )
    if len(found) > 1:
        raise SourceError(
            f"expected one column of images in {text}, got {_join(found)}: name one, as "
            f"{text}#{found[0]}"
        )
    return found[0]


def has_path(schema: pa.Schema, column: str) -> bool:
    """Whether the image column is a struct that also holds paths."""
    import pyarrow as pa

    kind = schema.field(column).type
    return pa.types.is_struct(kind) and kind.get_field_index("path") >= 0


def choose_names(paths: Sequence[str | None] | None, num_rows: int) -> Sequence[str]:
    """Return the rows' names: their paths where each has one of its own, else the row numbers."""
    if paths is None or not all(paths) or len(set(paths)) < num_rows:
        return _Numbers(num_rows)
    return [str(path).lstrip("/") for path in paths]


class _Numbers(Sequence[str]):
    """Row numbers as names, with zeros in front so that they sort."""

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows
        self.digits = max(6, len(str(num_rows)))

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # never sliced
        return f"{index:0{self.digits}d}"


def _read_paths(opened: ParquetFile, column: str) -> list[str | None] | None:
    if not has_path(opened.schema_arrow, column):
        return None
    table = opened.read(columns=[f"{column}.path"], use_threads=False)
    return [path["path"] if path else None for path in table.column(0).to_pylist()]


def _holds_bytes(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_bytes(kind.field(index).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _list_declared(schema: pa.Schema, holders: list[str]) -> list[str]:
    """Return the columns that the Hugging Face description in the schema calls images."""
    try:
        info = json.loads((schema.metadata or {})[b"huggingface"])
        features = info["info"]["features"].items()
        return [name for name, kind in features if kind["_type"] == "Image" and name in holders]
    except (KeyError, TypeError, ValueError, AttributeError):  # none, or another layout
        return []


def _join(names: Sequence[str]) -> str:
    return ", ".join(names)
