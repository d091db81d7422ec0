"""Tar archives and WebDataset shards: the members are listed from their headers alone.

Bodies are passed over, so listing costs a read of 512 bytes a member here, and on an object store
one request for every few megabytes. Compressed archives have no offsets to read at: refused.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ovsam.decode import IMAGE_SUFFIXES
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.records import StoredFile
from ovsam_pipeline.sources.entry import Entry, take_image
from ovsam_pipeline.sources.tar_member import BLOCK_BYTES, TarHeader, TarMember, parse_tar_header

_FILE, _LONG_NAME, _PAX, _SPARSE = ("0", "7"), "L", "x", "S"
# Pax records for all members, and the long target of a link: they may stand behind a long name.
_ASIDE = ("g", "K")
_NAME_BYTES = 1 << 20
_LOCAL_WINDOW_BYTES = 1 << 12
# On an object store a request costs about what reading this many bytes does.
_WINDOW_BYTES = 4 << 20


def list_tar(archive: StoredFile, name: str, state: str, passed: Counter[str]) -> Iterator[Entry]:
    """Yield the images of an archive, in its order.

    Args:
        archive: the archive.
        name: of the archive, in front of its members' names.
        state: size and time of the archive: a member has no others.
        passed: counts members that are no images, by suffix.

    Raises:
        SourceError: it cannot be read, is no tar archive, is damaged or cut off.
    """
    try:
        with archive.open("rb") as stream:
            window_bytes = _LOCAL_WINDOW_BYTES if isinstance(archive, Path) else _WINDOW_BYTES
            members = _Members(stream, str(archive), window_bytes)
            for header, offset in members.iterate():
                member = posixpath.normpath(header.name)
                if header.kind not in _FILE or header.name.endswith("/"):
                    continue
                if posixpath.basename(member).startswith("."):
                    continue
                if take_image(member, IMAGE_SUFFIXES, passed):
                    place = TarMember(archive, member, offset, header.size)
                    yield Entry(
                        place, f"{name}/{member}", header.size, 0, f"{state}:{offset}:{header.size}"
                    )
    except OSError as error:
        raise SourceError(
            f"cannot read the archive {archive}: {error.strerror or error}"
        ) from error


class _Members:
    """The headers of one archive, in order, with names and sizes from the blocks before them."""

    def __init__(self, stream: IO[bytes], text: str, window_bytes: int) -> None:
        self.stream = stream
        self.window_bytes = window_bytes
        self.text = text
        self.num_bytes = stream.seek(0, 2)
        self.position = 0
        self.window = b""
        self.window_start = 0

    def iterate(self) -> Iterator[tuple[TarHeader, int]]:
        """Yield each member's header and the offset of its body."""
        name, size = "", -1
        while (header := self.read_header()) is not None:
            body = self.position
            if header.kind == _LONG_NAME:
                name = _decode(self.read_body(header).rstrip(b"\0"))
                continue
            if header.kind == _PAX:
                name, size = self.parse_pax(self.read_body(header), name, size)
                continue
            if header.kind == _SPARSE:
                raise self.complain("expected whole files, got a sparse one", body)
            if size >= 0 or name:
                header = TarHeader(name or header.name, max(header.size, size), header.kind)
            self.skip(header)
            if header.kind not in _ASIDE:
                name, size = "", -1
                yield header, body

    def read_at(self, position: int, num_bytes: int) -> bytes:
        """Read through a window: small members then share one request."""
        start = position - self.window_start
        if start < 0 or start + num_bytes > len(self.window):
            self.stream.seek(position)
            self.window = self.stream.read(max(num_bytes, self.window_bytes))
            self.window_start, start = position, 0
        return self.window[start : start + num_bytes]

    def read_header(self) -> TarHeader | None:
        """Read the next header; None at the end mark."""
        block = self.read_at(self.position, BLOCK_BYTES)
        header = parse_tar_header(block)
        if header is None:
            if len(block) == BLOCK_BYTES and not any(block):
                return None
            if len(block) < BLOCK_BYTES and self.position:
                raise self.complain("expected a member or the end mark, got the end", self.position)
            raise self.complain(f"expected a tar header, got {block[:8]!r}", self.position)
        self.position += BLOCK_BYTES
        return header

    def read_body(self, header: TarHeader) -> bytes:
        """Read the body of a block that describes the next member."""
        if header.size > _NAME_BYTES:
            raise self.complain("expected a name of at most 1 MiB, got a longer one", self.position)
        body = self.read_at(self.position, header.size)
        self.skip(header)
        return body

    def skip(self, header: TarHeader) -> None:
        """Go behind a body: bodies fill whole blocks."""
        if self.position + header.size > self.num_bytes:
            raise self.complain(
                f"expected {header.size} bytes of '{header.name}', got the end", self.position
            )
        self.position += -(-header.size // BLOCK_BYTES) * BLOCK_BYTES

    def parse_pax(self, body: bytes, name: str, size: int) -> tuple[str, int]:
        """Return name and size as pax records tell them: length, blank, key=value, line end."""
        position = 0
        while position < len(body) and body[position]:
            digits, _, _ = body[position : position + 20].partition(b" ")
            length = int(digits) if digits.isdigit() else 0
            if length <= len(digits) + 1:
                raise self.complain("expected pax records, got something else", self.position)
            record = body[position + len(digits) + 1 : position + length - 1]
            key, _, value = record.partition(b"=")
            if key == b"path":
                name = _decode(value)
            elif key == b"size" and value.isdigit():
                size = int(value)
            position += length
        return name, size

    def complain(self, sentence: str, position: int) -> SourceError:
        """Build the error of a damaged archive."""
        return SourceError(
            f"{sentence} at byte {position} of {self.text}: the archive is damaged, cut off or of "
            "another format; copy it again, or name the others only"
        )


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
