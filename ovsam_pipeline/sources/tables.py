"""Tables of images: Parquet files, as the Hugging Face hub keeps data sets, and saved data sets.

Which column holds the images, how the rows are named, and a record for each row. Only the schema
and the column of paths are read here; `cells.py` reads the images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovsam.checked_json import parse_json
from ovsam.errors import OvsamError, describe_error, explain, show_value
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.records import ImagePlace, ImageRecord, StoredFile
from ovsam_pipeline.sources.cells import ArrowCell, ParquetCell
from ovsam_pipeline.sources.left_out import LeftOut
from ovsam_pipeline.sources.place import check_regular, get_root
from ovsam_pipeline.sources.source import make_record, make_relative

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

# What tells a part of an `ovsam label` output from a table of images.
_OWN_COLUMNS = {"image_id", "file_name", "status", "objects"}
_SPLITS, _STATE = "dataset_dict.json", "state.json"


def list_parquet(
    file: StoredFile, name: str, state: str, column: str | None
) -> Iterator[ImageRecord]:
    """Yield the images of a Parquet file, row by row.

    `name` is that of the file, in front of its images' names; `state` is the file's size and time,
    as a cell has none of its own; `column` is the image column, which None finds.
    """
    from pyarrow import parquet

    with (
        _refuse_damage("a Parquet file", file),
        file.open("rb") as stream,
        parquet.ParquetFile(stream) as opened,
    ):
        found = _find_image_column(opened.schema_arrow, str(file), column)
        names = _choose_names(_read_paths(opened, found), opened.metadata.num_rows)
        groups = [
            (i, opened.metadata.row_group(i).num_rows)
            for i in range(opened.metadata.num_row_groups)
        ]

    def make_cell(group: int, row: int) -> ParquetCell:
        return ParquetCell(file, found, group, row, state)

    yield from _record_rows(name, names, state, groups, make_cell)


def _read_paths(opened: ParquetFile, column: str) -> list[str | None] | None:
    if not _has_path(opened.schema_arrow, column):
        return None
    # Only the leaf of the paths is read, not the images next to it in the struct.
    table = opened.read(columns=[f"{column}.path"], use_threads=False)
    return [_to_path(cell and cell["path"]) for cell in table.column(0).to_pylist()]


def _to_path(value: Any) -> str | None:
    """Return the path of an image as a relative name; None where it is no text or leads nowhere."""
    return make_relative(value) or None if isinstance(value, str) else None


@contextmanager
def _refuse_damage(kind: str, file: StoredFile) -> Iterator[None]:
    """Say what a file was expected to be, where pyarrow cannot read it."""
    import pyarrow as pa

    try:
        with explain("cannot read", file, SourceError):
            yield
    except OvsamError:
        raise
    # ArrowExceptions, and what they are too: ValueError, KeyError, TypeError.
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"expected {kind}, got {file}: {describe_error(error)}") from error


def is_saved_dataset(folder: Path) -> bool:
    """Whether a folder is what `datasets.save_to_disk` wrote: one data set, or one per split."""
    one = (folder / _STATE).is_file() and (folder / "dataset_info.json").is_file()
    return one or (folder / _SPLITS).is_file()


@dataclass(frozen=True)
class SavedDataset:
    """A folder of Arrow stream files with `state.json`, as `datasets.save_to_disk` writes it.

    The record batches are mapped, not read: listing touches the paths alone. Only on this machine,
    as an Arrow stream has no index: from a store the whole file would have to be fetched.
    """

    text: str
    path: Path
    column: str | None = None

    where = "in"
    may_repeat = False

    @property
    def root(self) -> str:
        """The folder; see `Source.root`."""
        return get_root(self.path)

    def iterate(self, prefix: str, left_out: LeftOut) -> Iterator[ImageRecord]:  # noqa: ARG002
        """Yield the images, split by split, file by file; see `Source.iterate`."""
        for file in self._list_files():
            name = prefix + file.relative_to(self.path).as_posix()
            yield from _list_arrow(file, name, self.column)

    def _list_files(self) -> Iterator[Path]:
        folders = [self.path]
        if (self.path / _SPLITS).is_file():
            splits = _read_json(self.path / _SPLITS, "splits")
            folders = [self.path / _check_name(name, _SPLITS) for name in splits]
        for folder in folders:
            for entry in _read_json(folder / _STATE, "_data_files"):
                name = entry.get("filename") if isinstance(entry, dict) else None
                yield folder / _check_name(name, _STATE)


def _list_arrow(file: Path, name: str, column: str | None) -> Iterator[ImageRecord]:
    import pyarrow as pa

    with (
        _refuse_damage("an Arrow stream file", file),
        pa.memory_map(str(file)) as stream,
        pa.ipc.open_stream(stream) as reader,
    ):
        status = file.stat()
        found = _find_image_column(reader.schema, str(file), column)
        batches = list(_iterate_batches(stream, reader, found))
    paths = [path for _, _, paths in batches for path in paths]
    num_rows = sum(rows for _, rows, _ in batches)
    names = _choose_names(paths if len(paths) == num_rows else None, num_rows)
    state = f"{status.st_size}:{status.st_mtime_ns}"

    def make_cell(offset: int, row: int) -> ArrowCell:
        return ArrowCell(file, found, offset, row, state)

    yield from _record_rows(name, names, state, [batch[:2] for batch in batches], make_cell)


def _iterate_batches(
    stream: pa.MemoryMappedFile, reader: pa.RecordBatchStreamReader, column: str
) -> Iterator[tuple[int, int, list[str | None]]]:
    """Yield each record batch's offset in the file, its rows, and their paths."""
    with_paths = _has_path(reader.schema, column)
    # The stream has no index: where a batch begins is known only when it is its turn.
    while True:
        offset = stream.tell()
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        cells = batch.column(column).field("path").to_pylist() if with_paths else []
        paths = list(map(_to_path, cells))
        yield offset, batch.num_rows, paths


def _read_json(path: Path, key: str) -> list[Any]:
    """Return the list that a file of a saved data set has under a key; [] without it."""
    check_regular(path, str(path))
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = describe_error(error)
        raise SourceError(f"cannot read {path} of a saved data set: {reason}") from error
    found = value.get(key, []) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise SourceError(
            f"expected an object with a list '{key}' in {path} of a saved data set, got "
            f"{show_value(value, 80)}"
        )
    return found


def _check_name(name: Any, where: str) -> str:
    """Return the name of a file or folder in the data set; none may lead out of it."""
    if not isinstance(name, str) or not name or "\0" in name or make_relative(name) != name:
        raise SourceError(
            f"expected names of files inside the saved data set in its {where}, got "
            f"{show_value(name, 80)}"
        )
    return name


def _record_rows(
    name: str,
    names: list[str],
    state: str,
    blocks: list[tuple[int, int]],
    make_cell: Callable[[int, int], ImagePlace],
) -> Iterator[ImageRecord]:
    """Yield a record per row of blocks (row groups or batches) given as (its place, its rows)."""
    index = 0
    for block, num_rows in blocks:
        for row in range(num_rows):
            version = f"{state}:{block}:{row}"
            yield make_record(f"{name}/{names[index]}", make_cell(block, row), version=version)
            index += 1


def _find_image_column(schema: pa.Schema, text: str, column: str | None) -> str:
    """Return the column that holds the images: the one that the user named, if any.

    Else the one that the file's Hugging Face description calls an image; else the one that is a
    struct with `bytes`; else the one that is binary. `text` is the file, for the error.
    """
    holders = [field.name for field in schema if _holds_bytes(field.type)]
    repeated = [name for name in holders if schema.names.count(name) > 1]
    if repeated:
        raise SourceError(f"expected columns of different names in {text}, got two {repeated[0]!r}")
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
    structs = [name for name in holders if _has_path(schema, name)]
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


def _has_path(schema: pa.Schema, column: str) -> bool:
    """Whether the image column is a struct that also holds paths."""
    import pyarrow as pa

    kind = schema.field(column).type
    return pa.types.is_struct(kind) and kind.get_field_index("path") >= 0


def _choose_names(paths: Sequence[str | None] | None, num_rows: int) -> list[str]:
    """Return the rows' names: their paths where all differ, else their numbers."""
    if paths is None or not all(paths) or len(set(paths)) < num_rows:
        # Ids come from names, so names must differ; zeros in front make them sort as the rows.
        digits = max(6, len(str(num_rows)))
        return [f"{index:0{digits}d}" for index in range(num_rows)]
    return [str(path) for path in paths]


def _holds_bytes(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        # Not a struct again.
        return index >= 0 and _is_binary(kind.field(index).type)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _list_declared(schema: pa.Schema, holders: list[str]) -> list[str]:
    """Return the columns that the Hugging Face description in the schema calls images."""
    try:
        info = parse_json((schema.metadata or {})[b"huggingface"])
        features = info["info"]["features"].items()
        return [name for name, kind in features if kind["_type"] == "Image" and name in holders]
    except (KeyError, TypeError, ValueError, AttributeError):  # none, or another layout
        return []


def _join(names: Sequence[str]) -> str:
    return ", ".join(names)
