"""Folders that `datasets.save_to_disk` wrote: Arrow stream files beside `state.json`.

Their record batches are mapped, not read: listing touches the paths alone. Only on this machine, as
an Arrow stream has no index: elsewhere the whole file would have to come.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.sources.cells import ArrowCell
from ovsam_pipeline.sources.entry import Entry, normalise
from ovsam_pipeline.sources.parquet import choose_names, find_image_column, has_path

if TYPE_CHECKING:
    import pyarrow as pa

_SPLITS, _STATE = "dataset_dict.json", "state.json"


def is_saved_dataset(folder: Path) -> bool:
    """Whether a folder is what `datasets.save_to_disk` wrote: one data set, or one a split."""
    one = (folder / _STATE).is_file() and (folder / "dataset_info.json").is_file()
    return one or (folder / _SPLITS).is_file()


@dataclass(frozen=True)
class SavedDataset:
    """A saved data set.

    Attributes:
        text: as the user wrote it.
        path: the folder.
        column: the image column, where the user named one.
    """

    text: str
    path: Path
    column: str | None = None

    where = "in"
    may_repeat = False

    @property
    def root(self) -> str:
        """The folder, absolute."""
        return normalise(self.path)

    def iterate(self, passed: Counter[str]) -> Iterator[Entry]:  # noqa: ARG002  as Source
        """Yield the images, split by split, file by file; see `Source.iterate`."""
        for file in self._list_files():
            yield from _list_arrow(file, file.relative_to(self.path).as_posix(), self.column)

    def _list_files(self) -> Iterator[Path]:
        folders = [self.path]
        if (self.path / _SPLITS).is_file():
            splits = _read_json(self.path / _SPLITS).get("splits", [])
            folders = [self.path / str(split) for split in splits]
        for folder in folders:
            for entry in _read_json(folder / _STATE).get("_data_files", []):
                yield folder / entry["filename"]


def _list_arrow(file: Path, name: str, column: str | None) -> Iterator[Entry]:
    import pyarrow as pa

    try:
        status = file.stat()
        with pa.memory_map(str(file)) as stream, pa.ipc.open_stream(stream) as reader:
            schema = reader.schema
            column = find_image_column(schema, str(file), column)
            batches = list(_iterate_batches(stream, reader, column, has_path(schema, column)))
    except OSError as error:
        raise SourceError(f"cannot read {file}: {error.strerror or error}") from error
    except pa.ArrowInvalid as error:
        raise SourceError(f"expected an Arrow stream file, got {file}: {error}") from error
    num_rows = sum(rows for _, rows, _ in batches)
    paths = [path for _, _, paths in batches for path in paths]
    names = choose_names(paths if len(paths) == num_rows else None, num_rows)
    state = f"{status.st_size}:{status.st_mtime_ns}"
    index = 0
    for offset, rows, _ in batches:
        for row in range(rows):
            cell = ArrowCell(file, column, offset, row, state)
            yield Entry(cell, f"{name}/{names[index]}", -1, 0, f"{state}:{offset}:{row}")
            index += 1


def _iterate_batches(
    stream: pa.MemoryMappedFile, reader: pa.RecordBatchStreamReader, column: str, with_paths: bool
) -> Iterator[tuple[int, int, list[str | None]]]:
    """Yield each record batch's offset in the file, its rows, and their paths."""
    while True:
        offset = stream.tell()
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        paths = batch.column(column).field("path").to_pylist() if with_paths else []
        yield offset, batch.num_rows, paths


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot read {path} of a saved data set: {error}") from error
    if not isinstance(value, dict):
        raise SourceError(f"expected an object in {path} of a saved data set, got {value!r:.80}")
    return value
