"""Files that tests write byte by byte: colour profiles, JPEG segments, TIFFs of several pages."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image

# Primaries as CIE XYZ adapted to D50, columns red, green, blue; and the decoding gamma.
DISPLAY_P3 = (
    (0.51512, 0.29198, 0.15710),
    (0.24120, 0.69225, 0.06657),
    (-0.00105, 0.04189, 0.78407),
)
ADOBE_RGB = ((0.60974, 0.20528, 0.14919), (0.31111, 0.62567, 0.06322), (0.01947, 0.06087, 0.74457))
D50 = (0.96420, 1.0, 0.82491)


def make_scene(height: int = 96, width: int = 128) -> np.ndarray:
    """A smooth picture without any grey block, (H, W, 3) uint8."""
    rows, columns = np.mgrid[0:height, 0:width].astype(float)
    waves = [np.sin(columns / a + rows / b) for a, b in ((7, 11), (13, 5), (9, 23))]
    return (127 + 90 * np.stack(waves, -1)).astype(np.uint8)


def encode(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


def _gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + b"\0\0"


def make_profile(space: bytes, tags: dict[bytes, bytes], kind=b"mntr", between=b"XYZ ") -> bytes:
    """An ICC profile of version 2."""
    text = b"text\0\0\0\0made for a test\0"
    describing = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": describing, b"cprt": text, b"wtpt": _xyz(D50), **tags}
    table, data = struct.pack(">I", len(tags)), b""
    begin = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", begin + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    size = begin + len(data)
    header = struct.pack(">I4sI4s4s4s", size, b"test", 0x02400000, kind, space, between)
    header += bytes(12) + b"acsp" + bytes(28) + b"".join(map(_fixed, D50)) + bytes(48)
    return header + table + data


def make_rgb_profile(primaries, gamma: float) -> bytes:
    columns = np.array(primaries).T
    tags = {name + b"XYZ": _xyz(c) for name, c in zip((b"r", b"g", b"b"), columns, strict=True)}
    return make_profile(
        b"RGB ", tags | {name + b"TRC": _gamma(gamma) for name in (b"r", b"g", b"b")}
    )


def make_grey_profile(gamma: float) -> bytes:
    return make_profile(b"GRAY", {b"kTRC": _gamma(gamma)})


def make_cmyk_profile(cyan_lab=(55, -37, -50)) -> bytes:
    """Paper is white, black ink is black, and cyan ink has a given colour; all else is black."""
    colours = np.zeros((2, 2, 2, 2, 3))
    colours[..., 1:] = 128
    colours[0, 0, 0, 0] = 255, 128, 128
    colours[1, 0, 0, 0] = cyan_lab[0] * 2.55, cyan_lab[1] + 128, cyan_lab[2] + 128
    straight = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0))
    table += b"".join(_fixed(value) for value in np.eye(3).ravel())
    table += straight * 4 + np.rint(colours).astype(np.uint8).tobytes() + straight * 3
    return make_profile(b"CMYK", {b"A2B0": table}, b"prtr", b"Lab ")


def drop_segments(jpeg: bytes, marker: int) -> bytes:
    """A JPEG without its segments of one kind."""
    kept, at = jpeg[:2], 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        kept += b"" if jpeg[at + 1] == marker else jpeg[at:end]
        at = end
    return kept + jpeg[at:]


def make_pages(pages, *, in_sub_page: bool = False) -> bytes:
    """A TIFF of grey pages (pixels, more tags {tag: (type, value)}); or the last in a SubIFD."""
    data, places = b"II*\0" + bytes(4), []
    for pixels, _ in pages:
        places.append(len(data))
        data += pixels.tobytes() + bytes(pixels.size % 2)
    offsets, size_of = [], lambda tags: 2 + 12 * len(tags) + 4
    directories = []
    for (pixels, more), place in zip(pages, places, strict=True):
        height, width = pixels.shape
        tags = {256: (4, width), 257: (4, height), 258: (3, 8), 259: (3, 1), 262: (3, 1)}
        tags |= {273: (4, place), 277: (3, 1), 278: (4, height), 279: (4, pixels.size)} | more
        directories.append(tags)
    if in_sub_page:
        directories[0][330] = (4, 0)
    at = len(data)
    for tags in directories:
        offsets.append(at)
        at += size_of(tags)
    if in_sub_page:
        directories[0][330] = (4, offsets[-1])
    for index, tags in enumerate(directories):
        data += struct.pack("<H", len(tags))
        data += b"".join(
            struct.pack("<HHII", tag, *tags[tag][:1], 1, tags[tag][1]) for tag in sorted(tags)
        )
        following = index + 1 < len(directories) - in_sub_page
        data += struct.pack("<I", offsets[index + 1] if following else 0)
    return data[:4] + struct.pack("<I", offsets[0]) + data[8:]
