"""A TIFF's directories → which page is the picture, and whether it is a camera's RAW file.

The first page may be a thumbnail, with the picture in a later page or in a SubIFD. RAW files (DNG,
NEF, CR2, ARW, …) are TIFFs too, whose thumbnail must not be labelled in the place of the picture.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO

# Enough to find the largest page; a thousand-page fax whose first page is a thumbnail is not.
_MOST_PAGES = 64
_MOST_ENTRIES = 4096
_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _PHOTOMETRIC = 254, 255, 256, 257, 262
_SUB_PAGES, _DNG_VERSION = 330, 50706
_TAGS = (_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _PHOTOMETRIC, _SUB_PAGES, _DNG_VERSION)
_MASK, _SENSOR, _LINEAR_SENSOR = 4, 32803, 34892
# Type → bytes and code of `struct`: BYTE, SHORT, LONG, IFD, LONG8, IFD8.
_TYPES = {1: (1, "B"), 3: (2, "H"), 4: (4, "I"), 13: (4, "I"), 16: (8, "Q"), 18: (8, "Q")}
_MOST_VALUES = 64


@dataclass(frozen=True, slots=True)
class TiffPage:
    """One directory of a TIFF. `offset` is where it lies."""

    offset: int
    tags: dict[int, tuple[int, ...]]

    def find(self, tag: int) -> int:
        """Return the first value of a tag; 0 where there is none."""
        return self.tags.get(tag, (0,))[0]

    @property
    def is_picture(self) -> bool:
        """Whether it is neither a reduced copy nor a transparency mask."""
        is_reduced = self.find(_SUBFILE) & 0b101 or self.find(_OLD_SUBFILE) == 2
        return not is_reduced and self.find(_PHOTOMETRIC) != _MASK

    @property
    def is_raw(self) -> bool:
        """Whether its values are those of a sensor, not colours."""
        is_sensor = self.find(_PHOTOMETRIC) in (_SENSOR, _LINEAR_SENSOR)
        return is_sensor or _DNG_VERSION in self.tags


@dataclass(frozen=True, slots=True)
class TiffPages:
    """What a TIFF consists of.

    Attributes:
        moved_to: offset of the page to decode; None: the first.
    """

    is_raw: bool
    moved_to: int | None = None


def read_pages(stream: IO[bytes]) -> TiffPages:
    """Look through the directories; what is damaged counts as not there."""
    stream.seek(0)
    header = stream.read(16)
    if header[8:10] == b"CR":  # Canon's CR2 says so in its header
        return TiffPages(is_raw=True)
    reader = _Reader(stream, header)
    pages = reader.read_all()
    if any(page.is_raw for page in pages):
        return TiffPages(is_raw=True)
    if not pages or pages[0].is_picture:
        return TiffPages(is_raw=False)
    pictures = [page for page in pages if page.is_picture]
    largest = max(pictures, key=lambda page: page.find(_WIDTH) * page.find(_HEIGHT), default=None)
    return TiffPages(is_raw=False, moved_to=None if largest is None else largest.offset)


def move_first_page(data: bytes, offset: int) -> bytes:
    """Return a TIFF whose first page is the one at `offset`."""
    reader = _Reader(None, data[:16])
    start = reader.first_at
    size = struct.calcsize(reader.order + reader.offset_code)
    return (
        data[:start] + struct.pack(reader.order + reader.offset_code, offset) + data[start + size :]
    )


class _Reader:
    """Reads directories of a classic TIFF or a BigTIFF."""

    def __init__(self, stream: IO[bytes] | None, header: bytes) -> None:
        self._stream, self._header = stream, header
        self.order = "<" if header[:2] == b"II" else ">"
        is_big = 43 in header[2:4]
        self.first_at, self.offset_code = (8, "Q") if is_big else (4, "I")
        self._count_code = "Q" if is_big else "H"

    def read_all(self) -> list[TiffPage]:
        """Return pages in the order of the chain, each followed by its SubIFDs."""
        pages: list[TiffPage] = []
        try:
            waiting = [self._unpack(self.offset_code, self._header, self.first_at)]
        except struct.error:
            return pages
        seen: set[int] = set()
        while waiting and len(pages) < _MOST_PAGES:
            offset = waiting.pop(0)
            if offset in seen or offset < 8:
                continue
            seen.add(offset)
            try:
                page, following = self._read_page(offset)
            except (struct.error, ValueError, OverflowError):
                continue
            pages.append(page)
            waiting = [*page.tags.get(_SUB_PAGES, ()), following, *waiting]
        return pages

    def _read_page(self, offset: int) -> tuple[TiffPage, int]:
        """Return the directory at `offset`, and where the next one is: 0 after the last."""
        count_size = struct.calcsize(self.order + self._count_code)
        count = self._unpack(self._count_code, self._read(offset, count_size))
        if not 0 < count <= _MOST_ENTRIES:
            raise ValueError(count)
        value_size = struct.calcsize(self.order + self.offset_code)
        size = 4 + 2 * value_size
        entries = self._read(offset + count_size, count * size + value_size)
        tags: dict[int, tuple[int, ...]] = {}
        for start in range(0, count * size, size):
            tag = self._unpack("H", entries, start)
            if tag in _TAGS:
                values = self._read_values(entries[start : start + size], value_size)
                if values:
                    tags[tag] = values
        return TiffPage(offset, tags), self._unpack(self.offset_code, entries, count * size)

    def _read_values(self, entry: bytes, value_size: int) -> tuple[int, ...]:
        size, code = _TYPES.get(self._unpack("H", entry, 2), (0, ""))
        count = self._unpack(self.offset_code, entry, 4)
        if not size or not 0 < count <= _MOST_VALUES:
            return ()
        content = entry[4 + value_size :]
        if size * count > value_size:
            content = self._read(self._unpack(self.offset_code, content), size * count)
        return struct.unpack_from(f"{self.order}{count}{code}", content)

    def _read(self, offset: int, size: int) -> bytes:
        assert self._stream is not None
        self._stream.seek(offset)
        return self._stream.read(size)

    def _unpack(self, code: str, content: bytes, start: int = 0) -> int:
        return int(struct.unpack_from(self.order + code, content, start)[0])
