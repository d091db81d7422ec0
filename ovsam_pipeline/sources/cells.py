"""An image in a cell of a Parquet file or of an Arrow stream file, read through a small cache.

A Parquet cell cannot be read alone, only with its row group: neighbours that are read one after
another share it. The cache belongs to the process and holds a bounded number of bytes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovsam.errors import ImageError
from ovsam_pipeline.records import StoredFile

if TYPE_CHECKING:
    import pyarrow as pa

# Several row groups: threads at the border of two must not push out what the others read.
_CACHE_BYTES = 512 << 20

_Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class ParquetCell:
    """An image in a Parquet file: a row of a row group, in a column of bytes or of structs.

    `state` is size and time of the file when it was listed: the cache has no older cell for it.
    """

    file: StoredFile
    column: str
    row_group: int
    row: int
    state: str = ""

    def __str__(self) -> str:
        return f"{self.file}#{self.column}[{self.row_group}:{self.row}]"

    def read_bytes(self) -> bytes:
        """Read the cell; its row group stays in memory for the next ones."""
        key = (f"{self.file}|{self.state}", self.column, self.row_group)
        return _take_cell(_CACHE.get(key, self._read_column), self.row)

    def _read_column(self) -> pa.ChunkedArray:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            with self.file.open("rb") as stream:
                table = parquet.ParquetFile(stream).read_row_group(
                    self.row_group, columns=[self.column], use_threads=False
                )
                return table.column(0)
        except (pa.ArrowInvalid, IndexError) as error:
            raise ImageError(
                f"damaged Parquet file, or another than was listed: {error}"
            ) from error


@dataclass(frozen=True, slots=True)
class ArrowCell:
    """An image in an Arrow stream file: a row of the record batch that begins at byte `offset`.

    Only on this machine, as the file is mapped. `state` as in `ParquetCell`.
    """

    file: Path
    column: str
    offset: int
    row: int
    state: str = ""

    def __str__(self) -> str:
        return f"{self.file}#{self.column}[{self.offset}:{self.row}]"

    def read_bytes(self) -> bytes:
        """Read the cell; raises as `ParquetCell.read_bytes`."""
        key = (f"{self.file}|{self.state}", self.column, self.offset)
        return _take_cell(_CACHE.get(key, self._read_column), self.row)

    def _read_column(self) -> pa.ChunkedArray:
        import pyarrow as pa

        try:
            with pa.memory_map(str(self.file)) as stream, pa.ipc.open_stream(stream) as reader:
                stream.seek(self.offset)
                batch = pa.ipc.read_record_batch(pa.ipc.read_message(stream), reader.schema)
                return pa.chunked_array([batch.column(self.column)])
        except (pa.ArrowInvalid, EOFError, KeyError) as error:
            raise ImageError(f"damaged Arrow file, or another than was listed: {error}") from error


def _take_cell(column: pa.ChunkedArray, row: int) -> bytes:
    if row >= len(column):
        raise ImageError("the file has fewer rows than when it was listed: run again")
    value: Any = column[row]
    value = value["bytes"] if value.is_valid and hasattr(value, "keys") else value
    if not value.is_valid:
        raise ImageError("the cell holds no image bytes")
    return bytes(value.as_buffer())


class _ColumnCache:
    """The columns read last, up to a number of bytes; one that is larger stays alone.

    A column that several threads need is read by one of them: each key has its own lock.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._columns: OrderedDict[_Key, pa.ChunkedArray] = OrderedDict()
        self._locks: dict[_Key, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: _Key, read: Callable[[], pa.ChunkedArray]) -> pa.ChunkedArray:
        """Return the column, from memory or by `read`."""
        with self._lock:
            own = self._locks.setdefault(key, threading.Lock())
        with own:
            with self._lock:
                column = self._columns.get(key)
                if column is not None:
                    self._columns.move_to_end(key)
                    return column
            # Not under the common lock: other columns are read at the same time.
            column = read()
            with self._lock:
                self._put(key, column)
        return column

    def _put(self, key: _Key, column: pa.ChunkedArray) -> None:
        before = self._columns.pop(key, None)
        self._columns[key] = column
        self.num_bytes += column.nbytes - (0 if before is None else before.nbytes)
        while len(self._columns) > 1 and self.num_bytes > self.max_bytes:
            oldest, dropped = self._columns.popitem(last=False)
            self._locks.pop(oldest, None)
            self.num_bytes -= dropped.nbytes


_CACHE = _ColumnCache(_CACHE_BYTES)
