"""An image inside a tar archive, read where it lies, without unpacking; and the headers' format.

Source: POSIX.1-1988 ustar with the pax (2001) and GNU extensions for long names and large sizes, as
GNU tar's manual describes them under "Basic Tar Format".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ovsam.errors import ImageError
from ovsam_pipeline.records import StoredFile

BLOCK_BYTES = 512
_SIZE = slice(124, 136)
_CHECKSUM = slice(148, 156)


class TarHeader(NamedTuple):
    """One header block.

    Attributes:
        name: as the block holds it; a longer one stands in a block before.
        size: bytes of the body.
        kind: "0" a file, "L" a long name, "x" pax records, …
    """

    name: str
    size: int
    kind: str


def parse_tar_header(block: bytes) -> TarHeader | None:
    """Read a header block of 512 bytes; None where it is none.

    A header is recognised by its checksum: the sum of its bytes with blanks in the checksum's
    place. Some old programs summed signed bytes.
    """
    if len(block) != BLOCK_BYTES:
        return None
    checksum = _parse_number(block[_CHECKSUM])
    size = _parse_number(block[_SIZE])
    if checksum is None or size is None or size < 0:
        return None
    plain = sum(block) - sum(block[_CHECKSUM]) + 8 * 32
    if checksum != plain and checksum != plain - 256 * sum(byte > 127 for byte in block):
        return None
    name = _parse_text(block[:100])
    # Only POSIX's own magic is followed by a prefix; GNU's has times in its place.
    prefix = _parse_text(block[345:500]) if block[257:263] == b"ustar\0" else ""
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


def _parse_text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class TarMember:
    """An image in a tar archive.

    Attributes:
        archive: the archive's file.
        name: of the member.
        offset: of the body's first byte in the archive; its header stands in the block before.
        size: bytes of the body.
    """

    archive: StoredFile
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.archive}/{self.name}"

    def read_bytes(self) -> bytes:
        """Read the body, and its header to know that it is still there.

        Raises:
            OSError: the archive cannot be read.
            ImageError: the archive is cut off, or is another one than was listed.
        """
        with self.archive.open("rb") as stream:
            stream.seek(self.offset - BLOCK_BYTES)
            data = stream.read(self.size + BLOCK_BYTES)
        header = parse_tar_header(data[:BLOCK_BYTES])
        # A file whose size does not fit in its header says so in a block before: no image does.
        if header is None or header.size != self.size:
            raise ImageError("the archive has changed since it was listed: run again")
        if len(data) != BLOCK_BYTES + self.size:
            raise ImageError("the archive ends in the middle of this image: copy it again")
        return data[BLOCK_BYTES:]
