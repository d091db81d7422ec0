"""Parts → Arrow tables of a few megabytes: many small parts together, a large one in pieces.

Opening small parts is most of the work of reading them. Threads read ahead: a few for a disk, many
for a store, which answers slowly.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import pyarrow as pa

from ovsam.errors import explain
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.output.done_index import PartIndex
from ovsam_pipeline.output.parts import read_part, read_whole_part
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath

# Large enough that the cost per table does not count, small against the memory of a process.
_TABLE_BYTES = 8_000_000
_MOST_READERS, _READERS_OF_STORES = 4, 32
# An object up to this size is fetched in one request instead of one per column.
_WHOLE_BYTES = 4_000_000

_T = TypeVar("_T")


def iterate_tables(parts: Sequence[AnyPath], columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the rows of parts in order, as tables whose columns have one chunk.

    Columns may be the beginnings of dotted names; one that the parts lack is left out.
    """
    waiting: list[pa.Table] = []
    num_bytes = 0
    names = list(columns)
    for table in read_ahead(parts, lambda part, content: _read(part, content, names)):
        is_full = num_bytes + table.nbytes > _TABLE_BYTES
        # A future version may write further columns into the same output.
        if waiting and (is_full or table.schema != waiting[0].schema):
            yield from _cut(waiting, num_bytes)
            waiting, num_bytes = [], 0
        waiting.append(table)
        num_bytes += table.nbytes
    yield from _cut(waiting, num_bytes)


def read_parts(parts: Sequence[AnyPath]) -> Iterator[tuple[PartIndex, pa.Table]]:
    """Yield each part in order: what its footer records, and all its rows."""
    return read_ahead(parts, read_whole_part)


def _cut(tables: list[pa.Table], num_bytes: int) -> Iterator[pa.Table]:
    """Yield the rows of tables in pieces of at most about _TABLE_BYTES."""
    if not tables:
        return
    table = pa.concat_tables(tables)
    num_pieces = max(1, -(-num_bytes // _TABLE_BYTES))
    num_rows = max(1, -(-table.num_rows // num_pieces))
    for start in range(0, table.num_rows, num_rows):
        yield table.slice(start, num_rows).combine_chunks()


def read_ahead(
    parts: Sequence[AnyPath], read: Callable[[AnyPath, bytes | None], _T]
) -> Iterator[_T]:
    """Yield what `read` makes of each part, given its content where that was fetched whole."""
    is_remote = bool(parts) and isinstance(parts[0], RemotePath)
    num_readers = _READERS_OF_STORES if is_remote else min(_MOST_READERS, os.cpu_count() or 1)
    coming = iter(parts)
    ahead: deque[Future[_T]] = deque()
    with ThreadPoolExecutor(num_readers, thread_name_prefix="ovsam-parts") as pool:
        try:
            for part in islice(coming, 2 * num_readers):
                ahead.append(pool.submit(_fetch, part, read))
            while ahead:
                found = ahead.popleft().result()
                for part in islice(coming, 1):
                    ahead.append(pool.submit(_fetch, part, read))
                yield found
        finally:
            for future in ahead:
                future.cancel()


def _fetch(part: AnyPath, read: Callable[[AnyPath, bytes | None], _T]) -> _T:
    content = None
    if isinstance(part, RemotePath):
        with explain("cannot read", part, OutputError):
            content = part.read_bytes() if part.stat().st_size <= _WHOLE_BYTES else None
    return read(part, content)


def _read(part: AnyPath, content: bytes | None, columns: list[str]) -> pa.Table:
    table = read_part(part, lambda file: file.read(columns=columns, use_threads=False), content)
    return table.replace_schema_metadata(None)
