"""A folder with every kind of broken and of odd image file, for the tests of the whole pipeline.

`write_bad_images(folder)` writes it and says of each file what must become of it:
"good" (decoded), "bad" (a failed row), "ignored" (not an image by its suffix: no row).
Needs Pillow and numpy only. All pictures are small.
"""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def make_picture(height: int = 40, width: int = 60) -> np.ndarray:
    """(H, W, 3) uint8 with a different colour in each corner, so that turns and flips show."""
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = rows * 255 // (height - 1), columns * 255 // (width - 1)
    return np.stack([red, green, 255 - red], axis=2).astype(np.uint8)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    # A copy: saving leaves encoder settings on the image that break the next format.
    image.copy().save(stream, kind, **options)
    return stream.getvalue()


def make_png(
    size: tuple[int, int], depth: int, colour_type: int, rows: bytes, chunks: bytes = b""
) -> bytes:
    """A PNG written by hand: kinds that Pillow cannot write, and headers that lie."""
    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + chunks + png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def make_png_rgb16(picture: np.ndarray) -> bytes:
    height, width = picture.shape[:2]
    values = (picture.astype(">u2") * 257).reshape(height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    return make_png((width, height), 16, 2, rows)


def make_tiff(picture: np.ndarray, bits: int, samples: int = 3) -> bytes:
    """Write an uncompressed little-endian RGB TIFF of one strip by hand, 8 or 16 bits a sample."""
    height, width = picture.shape[:2]
    scaled = picture.astype("<u2") * 257 if bits == 16 else picture
    data = scaled.tobytes()
    # 8 header bytes, then three bit depths, then the pixels, then the directory.
    depths_at, data_at = 8, 14
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, depths_at),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, data_at),
        (277, 3, 1, samples),
        (278, 4, 1, height),
        (279, 4, 1, len(data)),
    ]
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    head = b"II*\0" + struct.pack("<I", data_at + len(data)) + struct.pack("<HHH", bits, bits, bits)
    return head + data + directory


def make_good_images() -> dict[str, bytes]:
    """Odd but valid files, by name; all show `make_picture()` or part of it."""
    picture = make_picture()
    rgb = Image.fromarray(picture)
    grey = rgb.convert("L")
    alpha = Image.fromarray(np.dstack([picture, np.full(picture.shape[:2], 128, np.uint8)]))
    palette = rgb.quantize(16)
    exif = Image.Exif()
    exif[0x0112] = 6
    grey16 = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    float01 = Image.fromarray(np.asarray(grey).astype(np.float32) / 255)
    turned = rgb.transpose(Image.Transpose.ROTATE_180)
    jpeg = encode(rgb, "JPEG", quality=95)
    return {
        "plain.jpg": jpeg,
        "plain.png": encode(rgb, "PNG"),
        "plain.bmp": encode(rgb, "BMP"),
        "plain.tif": encode(rgb, "TIFF"),
        "plain.webp": encode(rgb, "WEBP", quality=95),
        "plain.ppm": encode(rgb, "PPM"),
        "UPPER.JPG": jpeg,
        "progressive.jpeg": encode(rgb, "JPEG", progressive=True),
        "grey.jpg": encode(grey, "JPEG"),
        "no_end.jpg": jpeg[:-2],
        "cmyk.jpg": encode(rgb.convert("CMYK"), "JPEG", quality=95),
        "exif_6.jpg": encode(rgb.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif),
        "exif_broken.jpg": encode(rgb, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"),
        "trailing_bytes.jpg": jpeg + b"trailing bytes of a bad uploader",
        "really_a_png.jpg": encode(rgb, "PNG"),
        "really_a_jpeg.png": jpeg,
        "animated.gif": encode(rgb, "GIF", save_all=True, append_images=[turned.copy()]),
        "animated.png": encode(rgb, "PNG", save_all=True, append_images=[turned.copy()]),
        "animated.webp": encode(rgb, "WEBP", save_all=True, append_images=[turned.copy()]),
        "two_pictures.mpo": encode(rgb, "MPO", save_all=True, append_images=[turned.copy()]),
        "two_pages.tiff": encode(rgb, "TIFF", save_all=True, append_images=[turned.copy()]),
        "one_bit.png": encode(grey.convert("1"), "PNG"),
        "palette.png": encode(palette, "PNG"),
        "palette_clear.png": encode(palette, "PNG", transparency=0),
        "alpha.png": encode(alpha, "PNG"),
        "grey_alpha.png": encode(alpha.convert("LA"), "PNG"),
        "grey_16_bit.png": encode(grey16, "PNG"),
        "grey_16_bit.tif": encode(grey16, "TIFF"),
        "rgb_16_bit.png": make_png_rgb16(picture),
        "rgb_16_bit.tif": make_tiff(picture, 16),
        "float.tif": encode(float01, "TIFF"),
        "lzw.tif": encode(rgb, "TIFF", compression="tiff_lzw"),
        "one_pixel.png": encode(rgb.resize((1, 1)), "PNG"),
        "one_row.png": encode(rgb.resize((200, 1)), "PNG"),
        "names/späce and ünïcode 猫.jpg": jpeg,
        "folder.jpg/inside.jpg": jpeg,
        "a/same.jpg": jpeg,
        "b/same.jpg": jpeg,
    }


def make_bad_images() -> dict[str, bytes]:
    """Files that cannot be decoded, by name."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    jpeg, png = encode(noise, "JPEG", quality=90), encode(noise, "PNG")
    webp, gif, tiff = encode(noise, "WEBP"), encode(noise, "GIF"), encode(noise, "TIFF")
    lzw, bmp = encode(noise, "TIFF", compression="tiff_lzw"), encode(noise, "BMP")
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF
    middle = len(jpeg) // 2
    blank_rows = b"\0" * 100
    return {
        "bad_empty.jpg": b"",
        "bad_one_byte.png": b"\x89",
        "bad_text.jpg": b"this is not an image, but somebody renamed it\n",
        "bad_web_page.jpg": b"<!DOCTYPE html><html><body>404 not found</body></html>",
        "bad_git_lfs.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "bad_svg.png": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "bad_pdf.png": b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n",
        "bad_heic.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
        "bad_zip.jpg": b"PK\x03\x04" + bytes(200),
        "bad_random.jpg": rng.bytes(3000),
        "bad_zeros.png": bytes(3000),
        "bad_header_only.jpg": jpeg[:20],
        "bad_truncated.jpg": jpeg[:middle],
        "bad_middle.jpg": jpeg[:middle] + b"\xff\xc0\0\x0b" * 50 + jpeg[middle + 200 :],
        "bad_truncated.png": png[: len(png) // 2],
        "bad_checksum.png": bytes(flipped),
        "bad_missing_rows.png": make_png((64, 64), 8, 2, blank_rows),
        "bad_no_pixels.png": make_png((0, 0), 8, 2, b""),
        "bad_no_width.png": make_png((0, 8), 8, 2, b""),
        "bad_bomb.png": make_png((60_000, 60_000), 8, 2, blank_rows),
        "bad_truncated.webp": webp[: len(webp) // 2],
        "bad_truncated.gif": gif[: len(gif) // 2],
        "bad_truncated.bmp": bmp[: len(bmp) // 2],
        "bad_truncated.tif": tiff[: len(tiff) // 2],
        "bad_samples.tif": make_tiff(make_picture(), 8, samples=300),
        "bad_damaged_lzw.tif": lzw[:200] + rng.bytes(900) + lzw[1100:],
    }


def write_bad_images(folder: Path) -> dict[str, str]:
    """Write the folder.

    Returns:
        Relative POSIX name → "good", "bad" or "ignored"; every file that a walk meets is in it.
    """
    kinds: dict[str, str] = {}
    for kind, files in (("good", make_good_images()), ("bad", make_bad_images())):
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            kinds[name] = kind
    for name in ("notes.txt", "labels.json", "Thumbs.db", "README"):
        (folder / name).write_bytes(b"{}")
        kinds[name] = "ignored"
    (folder / "bad_dangling_link.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "bad_circular_link.jpg").symlink_to(folder / "bad_circular_link.jpg")
    os.mkfifo(folder / "bad_pipe.jpg")
    for name in ("bad_dangling_link.jpg", "bad_circular_link.jpg", "bad_pipe.jpg"):
        kinds[name] = "bad"
    return kinds
