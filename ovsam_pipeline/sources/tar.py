"""Tar archives and WebDataset shards: listed from the headers alone, members read where they lie.

Bodies are skipped, so listing costs a read of 512 bytes per member here, and on an object store one
request for every few megabytes. Compressed archives have no offsets to read at and are refused.

Format: POSIX.1-1988 ustar with the pax (2001) and GNU extensions for long names and large sizes, as
GNU tar's manual describes them under "Basic Tar Format". Python's `tarfile` is not used: it lists
50,000 members in 9 to 12 s, this in 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from ovsam.decode import IMAGE_SUFFIXES
from ovsam.errors import ImageError, explain
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.records import ImageRecord, StoredFile
from ovsam_pipeline.sources.left_out import LeftOut
from ovsam_pipeline.sources.source import make_record, make_relative

_BLOCK_BYTES = 512
_SIZE = slice(124, 136)
_CHECKSUM = slice(148, 156)
_FILE, _LONG_NAME, _PAX, _SPARSE = ("0", "7"), "L", "x", "S"
# Pax records for all members, and the long target of a link: either may follow a long name without
# using it up.
_ASIDE = ("g", "K")
_MAX_NAME_BYTES = 1 << 20
_LOCAL_WINDOW_BYTES = 1 << 12
# On an object store a request costs about what reading this many bytes does.
_WINDOW_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class TarMember:
    """An image in a tar archive: `size` bytes from `offset`, its header in the block before."""

    archive: StoredFile
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.archive}/{self.name}"

    def read_bytes(self) -> bytes:
        """Read the body, and the header to know that the member is still there."""
        with self.archive.open("rb") as stream:
            stream.seek(self.offset - _BLOCK_BYTES)
            data = stream.read(self.size + _BLOCK_BYTES)
        header = parse_tar_header(data[:_BLOCK_BYTES])
        # A size that does not fit in the header is in a pax block before it: above 8 GB.
        if header is None or header.size != self.size:
            raise ImageError("the archive has changed since it was listed: run again")
        if len(data) != _BLOCK_BYTES + self.size:
            raise ImageError("the archive ends in the middle of this image: copy it again")
        return data[_BLOCK_BYTES:]


def list_tar(
    archive: StoredFile, name: str, state: str, left_out: LeftOut
) -> Iterator[ImageRecord]:
    """Yield the images of an archive in its order, without what a folder walk leaves out.

    `name` is that of the archive, in front of its members' names; `state` is the archive's size and
    time, as a member has none of its own.
    """
    with explain("cannot read the archive", archive, SourceError), archive.open("rb") as stream:
        window_bytes = _LOCAL_WINDOW_BYTES if isinstance(archive, Path) else _WINDOW_BYTES
        for header, offset in _Members(stream, str(archive), window_bytes).iterate():
            if header.kind not in _FILE or header.name.endswith("/"):
                continue
            member = make_relative(header.name)
            folders, _, last = member.rpartition("/")
            # "._a.jpg": macOS keeps attributes of a.jpg there.
            if last[:1] == "." or left_out.leaves_parts(folders):
                continue
            if left_out.take_file(member, IMAGE_SUFFIXES):
                place = TarMember(archive, member, offset, header.size)
                version = f"{state}:{offset}:{header.size}"
                yield make_record(f"{name}/{member}", place, header.size, version=version)


class TarHeader(NamedTuple):
    """One header block; `kind` is "0" for a file, "L" a long name, "x" pax records and so on."""

    name: str
    size: int
    kind: str


def parse_tar_header(block: bytes) -> TarHeader | None:
    """Read a header block of 512 bytes; None where it is not one.

    A header is recognised by its checksum: the sum of its bytes with blanks in the checksum's
    place. Some old programs summed signed bytes.
    """
    if len(block) != _BLOCK_BYTES:
        return None
    checksum = _parse_number(block[_CHECKSUM])
    size = _parse_number(block[_SIZE])
    if checksum is None or size is None or size < 0:
        return None
    plain = sum(block) - sum(block[_CHECKSUM]) + 8 * 32
    if checksum != plain and checksum != plain - 256 * sum(byte > 127 for byte in block):
        return None
    name = _decode(block[:100].split(b"\0", 1)[0])
    # Only POSIX's own magic is followed by a prefix; GNU's has times in its place.
    prefix = _decode(block[345:500].split(b"\0", 1)[0]) if block[257:263] == b"ustar\0" else ""
    # Programs before POSIX wrote a zero byte as the kind of a file.
    return TarHeader(f"{prefix}/{name}" if prefix else name, size, chr(block[156] or 48))


def _parse_number(field: bytes) -> int | None:
    """Read octal digits, or GNU's big-endian binary of what does not fit in them."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    try:
        return int(digits or b"0", 8)
    except ValueError:
        return None


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


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
        block = self.read_at(self.position, _BLOCK_BYTES)
        header = parse_tar_header(block)
        if header is None:
            if len(block) == _BLOCK_BYTES and not any(block):
                return None
            if len(block) < _BLOCK_BYTES and self.position:
                raise self.complain("expected a member or the end mark, got the end", self.position)
            raise self.complain(f"expected a tar header, got {block[:8]!r}", self.position)
        self.position += _BLOCK_BYTES
        return header

    def read_body(self, header: TarHeader) -> bytes:
        """Read the body of a block that describes the next member."""
        # A damaged size must not fill the memory.
        if header.size > _MAX_NAME_BYTES:
            raise self.complain("expected a name of at most 1 MiB, got a longer one", self.position)
        body = self.read_at(self.position, header.size)
        self.skip(header)
        return body

    def skip(self, header: TarHeader) -> None:
        """Move to the block after a body: bodies fill whole blocks."""
        if self.position + header.size > self.num_bytes:
            raise self.complain(
                f"expected {header.size} bytes of '{header.name}', got the end", self.position
            )
        self.position += -(-header.size // _BLOCK_BYTES) * _BLOCK_BYTES

    def parse_pax(self, body: bytes, name: str, size: int) -> tuple[str, int]:
        """Return name and size as pax records give them: length, blank, key=value, line end."""
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
