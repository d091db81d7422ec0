"""The bytes of an incomplete JPEG → its picture, and how much of it is really there.

libjpeg fills what is missing without a word. So the file is decoded twice, with two different ends
in the place of the missing one: pixels that depend on the end are not in the file.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image, ImageChops

_END = b"\xff\xd9"
# A marker: not a stuffed 0xFF, a fill byte, or a restart marker, all of which scans contain.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN, _END_OF_IMAGE, _RESTART_INTERVAL = 0xDA, 0xD9, 0xDD
_WITHOUT_LENGTH = frozenset((0x01, 0xD8))
_NOISE = random.Random(0).randbytes(96).replace(b"\xff", b"\x7f")  # any bytes that form no marker
# Files that were reserved on disk and not filled end in zeros; scans have but a few in a row.
MOST_ZEROS = 16
# Row counts are compared over a few rows only: chroma of the block row below reaches one row up.
_BAND_ROWS = 4


@dataclass(frozen=True, slots=True)
class PartialJpeg:
    """A JPEG with what is there of it; the rest is grey.

    Attributes:
        rows: whole rows from the top; 0 where scans of the whole picture are missing.
        share: pixels that are there, in [0, 1].
        is_covered: whether no scan is missing as a whole.
        has_end: whether there is an end marker.
    """

    image: Image.Image
    rows: int
    share: float
    is_covered: bool = True
    has_end: bool = False


@dataclass
class _Layout:
    """Where a JPEG's data end, and what they cover.

    Attributes:
        end: offset behind the last usable byte; the end marker follows where `has_end`.
        scan: offset of the last scan's data.
        missing: component id → per coefficient how many low bits are still to come.
        block_rows: rows of pixels in a row of MCUs.
    """

    end: int
    scan: int = 0
    missing: dict[int, list[int]] = field(default_factory=dict)
    block_rows: int = 8
    has_restarts: bool = False
    has_end: bool = False

    @property
    def is_covered(self) -> bool:
        """Whether every bit of every coefficient is in some scan."""
        return bool(self.missing) and not any(map(any, self.missing.values()))


def ends_in_grey(image: Image.Image) -> bool:
    """Whether the last block of a decoded JPEG is what libjpeg puts in the place of missing ones.

    Almost no whole picture ends in a block of exactly this grey, so few are decoded twice.
    """
    width, height = image.size
    grey = {"RGB": (128, 128, 128), "L": 128}.get(image.mode)
    corner = image.crop((max(0, width - 8), max(0, height - 8), width, height))
    colours = corner.getcolors(1)
    return grey is not None and colours is not None and colours[0][1] == grey


def recover(data: bytes, open_jpeg: Callable[[bytes], Image.Image]) -> PartialJpeg:
    """Decode a JPEG whose end is missing or was put too early; errors are those of Pillow.

    `open_jpeg`: opens the bytes of a JPEG.
    """
    layout = _read_layout(data)
    body = data[: layout.end]
    image = open_jpeg(body + _END)
    image.load()
    if not layout.is_covered:
        return PartialJpeg(image, 0, 0.0, is_covered=False, has_end=layout.has_end)
    other = open_jpeg(body + _make_noise(body, layout))
    other.load()
    width, height = image.size
    changed = ImageChops.difference(image, other)
    box = changed.getbbox()
    if box is None:
        return PartialJpeg(image, height, 1.0, has_end=layout.has_end)
    top = box[1]
    band = changed.crop((0, top, width, min(top + _BAND_ROWS, height))).getbbox()
    left = band[0] if band else 0
    # A row that only takes some chroma from the blocks below it is not lost.
    first = top + ((top + 1) % layout.block_rows == 0)
    below = min(height, (first // layout.block_rows + 1) * layout.block_rows)
    lost = (width - left) * (below - first) + width * (height - below)
    return PartialJpeg(image, top, 1 - lost / (width * height), has_end=layout.has_end)


def _make_noise(body: bytes, layout: _Layout) -> bytes:
    """Return an end that gives the first missing block, and so all after it, other values."""
    if not layout.has_restarts:
        return _NOISE + _END
    markers = _RESTART.findall(body, layout.scan)
    first = (markers[-1][1] + 1) % 8 if markers else 0
    restarts = (bytes((0xFF, 0xD0 + (first + step) % 8)) + _NOISE for step in range(8))
    return _NOISE + b"".join(restarts) + _END


def _read_layout(data: bytes) -> _Layout:
    """Walk the segments of a JPEG to the end of what can be decoded."""
    layout, position = _Layout(len(data)), 0
    while (found := _MARKER.search(data, position)) is not None:
        start, code = found.start(), data[found.start() + 1]
        is_next_image = code == _START_OF_SCAN and layout.is_covered
        if code == _END_OF_IMAGE or is_next_image:
            layout.end, layout.has_end = start, code == _END_OF_IMAGE
            return layout
        position = start + 2
        if code in _WITHOUT_LENGTH:
            continue
        end = position + int.from_bytes(data[position : position + 2], "big")
        if end > len(data):
            layout.end = start
            return layout
        _note_segment(layout, code, data[position + 2 : end], end)
        position = end
    # No end marker: whatever follows the last scan's data is its end.
    body = data.rstrip(b"\0")
    layout.end = len(body) if len(data) - len(body) > MOST_ZEROS else len(data)
    layout.end -= data[layout.end - 1 : layout.end] == b"\xff"
    return layout


def _note_segment(layout: _Layout, code: int, content: bytes, end: int) -> None:
    """Note what a segment says about size and coverage."""
    if code in _FRAMES and len(content) >= 6:
        parts = [content[at : at + 3] for at in range(6, len(content) - 2, 3)]
        layout.missing = {part[0]: [16] * 64 for part in parts}
        layout.block_rows = 8 * max((part[1] & 15 for part in parts), default=1)
    elif code == _RESTART_INTERVAL:
        layout.has_restarts = any(content)
    elif code == _START_OF_SCAN and content:
        layout.scan = end
        count = content[0]
        names, spectrum = content[1 : 1 + 2 * count : 2], content[1 + 2 * count :]
        if len(spectrum) < 3:
            return
        first, last, low_bits = spectrum[0], spectrum[1], spectrum[2] & 15
        for name in names:
            if name in layout.missing:
                for index in range(first, min(last, 63) + 1):
                    layout.missing[name][index] = low_bits
