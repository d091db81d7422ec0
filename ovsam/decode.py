"""An image file → upright 8-bit RGB pixels, or an ImageError that says why not.

Labelling and training decode here, so that both see the same pixels of the same file. Every format
goes through Pillow, restricted to the raster formats listed below: it reads 8-bit JPEGs bit for bit
like OpenCV at about its speed (docs/inputs.md has the numbers), reports damage as exceptions, and
writes nothing to stderr, which OpenCV's decoders do. Not done here: resizing (the model and each
detector have their own) and colour profiles (pixel values are taken as sRGB).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import logging
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, _imaging

from ovsam.errors import ImageError, describe_error

DEFAULT_MAX_PIXELS = 256_000_000
# What a folder walk takes for an image. HEIC is not decoded, but a photo that is passed over in
# silence is worse than a failed row with the reason.
# fmt: off
IMAGE_SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".tif",
    ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif", ".heic", ".heif",
))
# fmt: on
# Closed list: Pillow also opens formats that run other programs (EPS) or are not pictures.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")
_STARTS = (
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with `git lfs pull`"),
    (b"<!doctype html", "a web page, not an image: the download failed"),
    (b"<html", "a web page, not an image: the download failed"),
    (b"<svg", "an SVG drawing: export it as PNG"),
    (b"<?xml", "an XML or SVG text: export it as PNG"),
    (b"%pdf", "a PDF: export its pages as PNG"),
)
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG = 0x0112
_STRIP_BYTES = 4 << 20

# Pillow returns its 16 MiB blocks to the system after every image; keeping four saves the page
# faults, a third of the time of a 12-megapixel JPEG.
if _imaging.get_blocks_max() < 4:
    _imaging.set_blocks_max(4)
# Pillow logs some kinds of damage before it raises them.
if logging.getLogger("PIL").level == logging.NOTSET:
    logging.getLogger("PIL").setLevel(logging.CRITICAL)


def decode_file(path: Path, max_pixels: int = DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Read an image file as upright RGB.

    The content decides the format, not the suffix. The first frame of animations and the first page
    of TIFFs is taken; EXIF orientation is applied; transparency is laid on white; 16-bit values
    become their high byte; float and 32-bit images are scaled as docs/inputs.md says. `path`: of a
    file of this machine. `max_pixels`: images with more pixels are refused before they are decoded.
    Returns (H, W, 3) uint8 RGB, C-contiguous, writable, owned by the caller.
    """
    with explain_read_errors(), _open_regular_file(path) as stream:
        return _decode_stream(stream, max_pixels)


def decode_bytes(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Decode the content of an image file; see `decode_file`."""
    with explain_read_errors():
        return _decode_stream(io.BytesIO(data), max_pixels)


@contextlib.contextmanager
def explain_read_errors() -> Iterator[None]:
    """Turn what stops a read or a decode into an ImageError of one sentence."""
    # Pillow reports harmless damage (a broken EXIF block) as Python warnings. The filter is set on
    # each call because `warnings.catch_warnings` is not thread-safe and test runners reset filters.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        yield
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError("file not found: it was moved or deleted, or the list is wrong") from error
    except PermissionError as error:
        raise ImageError("permission denied: the file cannot be read by this user") from error
    except MemoryError as error:
        raise ImageError("not enough memory to decode the image") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in a path
        raise ImageError(f"cannot be read: {describe_damage(error)}") from error


def _open_regular_file(path: Path) -> IO[bytes]:
    """Open a regular file; reading a pipe or a device could wait for ever."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise ImageError("expected an image file, got a folder")
    if not stat.S_ISREG(mode):
        raise ImageError("expected a regular file, got a pipe, socket or device")
    return os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)), "rb")


def _decode_stream(stream: IO[bytes], max_pixels: int) -> np.ndarray:
    image = _identify(stream)
    name = image.format or "image"
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"expected at least one pixel, got a {name} of {width} x {height}")
    if width * height > max_pixels:
        raise ImageError(
            f"expected at most {max_pixels / 1e6:g} megapixels, got a {name} of {width} x {height} "
            f"= {width * height / 1e6:.0f}, maybe a decompression bomb; scale it down or cut it up"
        )
    try:
        image.load()
        return _to_array(_turn_upright(image, _to_rgb(image)))
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # decoders raise all kinds of errors on damaged bytes
        raise ImageError(f"damaged {name}: {describe_damage(error)}") from error


def _identify(stream: IO[bytes]) -> Image.Image:
    """Open the header with the first format that knows it.

    `Image.open` does the same, but applies a process-wide pixel limit of its own.
    """
    Image.init()
    prefix = stream.read(64)
    if not prefix:
        raise ImageError("file is empty (0 bytes)")
    start = prefix[:16].ljust(16, b"\0")  # some plugins read past the end of shorter ones
    damage = None
    for name in _FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        accepted = factory is not None and (accept is None or accept(start))
        if factory is None or accepted is not True:
            continue
        if name == "TIFF":
            _silence_libtiff()
        stream.seek(0)
        try:
            return factory(stream, "")
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001
            damage = damage or f"damaged {name}: {describe_damage(error)}"
    raise ImageError(damage or _describe_start(prefix))


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert any Pillow mode to RGB, transparency on white, more than 8 bits scaled to 8."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(_scale_to_uint8(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema() != (255, 255):
            white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
            rgba = Image.alpha_composite(white, rgba)
        return rgba.convert("RGB")
    return image.convert("RGB")


def _scale_to_uint8(values: np.ndarray) -> np.ndarray:
    """Scale a (H, W) float32 or int32 image to uint8 by the range its values lie in."""
    finite = np.isfinite(values)
    if not finite.any():
        raise ImageError("expected finite pixel values, got only NaN or infinity")
    low, high = float(values[finite].min()), float(values[finite].max())
    numbers = np.where(finite, values, low).astype(np.float64)
    is_float = values.dtype.kind == "f"
    if low >= 0 and high <= 1 and is_float:
        numbers = numbers * 255
    elif low >= 0 and high <= 255:
        pass
    elif low >= 0 and high <= 65535:
        numbers = numbers / 257
    else:
        numbers = (numbers - low) * (255 / max(high - low, np.finfo(np.float64).tiny))
    return np.clip(np.rint(numbers), 0, 255).astype(np.uint8)


def _turn_upright(original: Image.Image, rgb: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; an unreadable EXIF block counts as upright."""
    try:
        orientation = original.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001  broken metadata must not lose a readable image
        orientation = 1
    method = _TRANSPOSE.get(orientation) if isinstance(orientation, int) else None
    return rgb if method is None else rgb.transpose(method)


def _to_array(rgb: Image.Image) -> np.ndarray:
    """Copy the pixels once, in strips: half the peak memory of `numpy.array(image)`."""
    width, height = rgb.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP_BYTES // (width * 3))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        strip = rgb if rows >= height else rgb.crop((0, top, width, bottom))
        data = np.frombuffer(strip.tobytes(), np.uint8)
        pixels[top:bottom] = data.reshape(bottom - top, width, 3)
    return pixels


@functools.cache
def _silence_libtiff() -> None:
    """Remove the handler with which Pillow's libtiff writes to the process's stderr.

    The same errors arrive as exceptions. Where the library cannot be found (not Linux), lines about
    damaged compressed TIFFs are still written; nothing else changes.
    """
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    for library in {line.split(maxsplit=5)[-1] for line in lines if "/libtiff" in line}:
        with contextlib.suppress(OSError, AttributeError):
            set_handler = ctypes.CDLL(library).TIFFSetErrorHandler
            set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            set_handler(None)


def describe_damage(error: BaseException) -> str:
    """Return the reason in an exception, on one line of at most 200 characters."""
    return describe_error(error)[:200]


def _describe_start(prefix: bytes) -> str:
    start = prefix.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for known, meaning in _STARTS:
        if start.startswith(known):
            return f"expected an image, got {meaning}"
    if prefix[4:8] == b"ftyp":
        return "expected an image, got a HEIC photo or a video: convert it to JPEG or PNG"
    return (
        "expected an image (JPEG, PNG, WebP, BMP, TIFF, GIF, PPM, JPEG 2000, AVIF), got a file "
        f"that starts with {prefix[:12]!r}"
    )
