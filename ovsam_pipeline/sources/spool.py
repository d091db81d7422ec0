"""The image records of a run: listed once and read as often as needed, in bounded memory.

Ten million records do not fit in memory as objects (about 0.5 kB each), so they are kept in chunks
of pickled, lightly compressed columns: in memory while they are few, in an unlinked temporary file
when they are many.
"""

from __future__ import annotations

import pickle
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, Self

from ovsam.errors import describe_error
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.records import ImageRecord

CHUNK_IMAGES = 16_384
# 300,000 records or more.
_MOST_IN_MEMORY_BYTES = 16 << 20
# Columns are pickled in a quarter of the time that rows take, and come out smaller. In the order of
# ImageRecord's constructor; the path is the third.
_take_fields = attrgetter(
    "image_id",
    "file_name",
    "path",
    "size_bytes",
    "mtime_ns",
    "width",
    "height",
    "version",
    "source",
)
_PATH = 2


class ImageSpool:
    """A growing list of image records that may be longer than memory; use as a context manager.

    One thread at a time may add or read; several iterators may be open at once. Adding raises
    OutputError where there is no space for the temporary file.
    """

    def __init__(self, records: Iterable[ImageRecord] = ()) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_MOST_IN_MEMORY_BYTES)  # noqa: SIM115
        self._places: list[tuple[int, int]] = []
        self._tail: list[ImageRecord] = []
        self._size = 0
        for record in records:
            self.append(record)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        """Close without a warning: like a list, a spool may simply be dropped."""
        self._file.close()

    def __len__(self) -> int:
        """Return the number of records."""
        return self._size

    def __iter__(self) -> Iterator[ImageRecord]:
        """Yield the records in the order in which they were added."""
        for chunk in self.iterate_chunks():
            yield from chunk

    def iterate_chunks(self) -> Iterator[list[ImageRecord]]:
        """Yield the records in lists of at most CHUNK_IMAGES."""
        for place in tuple(self._places):
            yield _unpack(self._read(place))
        if self._tail:
            yield list(self._tail)

    def append(self, record: ImageRecord) -> None:
        """Add a record at the end."""
        self._tail.append(record)
        self._size += 1
        if len(self._tail) == CHUNK_IMAGES:
            self._write()

    def close(self) -> None:
        """Free memory and file."""
        self._file.close()

    def _read(self, place: tuple[int, int]) -> list[Sequence[Any]]:
        offset, length = place
        self._file.seek(offset)
        # Our own bytes, from a file that no one else can open.
        return pickle.loads(zlib.decompress(self._file.read(length)))  # noqa: S301

    def _write(self) -> None:
        # Level 1: names of one folder are much alike, level 6 saves 3 % in three times the time.
        packed = zlib.compress(pickle.dumps(_pack(self._tail), pickle.HIGHEST_PROTOCOL), 1)
        try:
            offset = self._file.seek(0, 2)
            self._file.write(packed)
        except OSError as error:
            raise OutputError(
                f"no room for the list of images in {tempfile.gettempdir()}: "
                f"{describe_error(error)}; name a folder with more space as TMPDIR (about 50 bytes "
                "per image)"
            ) from error
        self._places.append((offset, len(packed)))
        self._tail = []


def _pack(records: list[ImageRecord]) -> list[Sequence[Any]]:
    """Return columns; a local path as its text, which pickles ten times as fast."""
    columns: list[Sequence[Any]] = list(zip(*map(_take_fields, records), strict=True))
    columns[_PATH] = [str(p) if isinstance(p, Path) else (p,) for p in columns[_PATH]]
    return columns


def _unpack(columns: list[Sequence[Any]]) -> list[ImageRecord]:
    columns[_PATH] = list(_restore_paths(columns[_PATH]))
    return list(map(ImageRecord, *columns))


def _restore_paths(packed: Sequence[Any]) -> Iterator[Any]:
    """Undo what `_pack` did to paths.

    Joined to the folder of the path before, a path costs half of what parsing the whole does.
    """
    folder, folder_path = "", Path()
    for place in packed:
        if not isinstance(place, str):
            yield place[0]
            continue
        start, slash, last = place.rpartition("/")
        if start + slash != folder:
            folder, folder_path = start + slash, Path(start + slash)
        yield folder_path / last
