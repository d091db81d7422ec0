"""An image file → upright 8-bit sRGB pixels, or an ImageError that says why not.

Labelling and training decode here, so that both see the same pixels of the same file. Every format
goes through Pillow, restricted to the raster formats listed below: it reads 8-bit JPEGs bit for bit
like OpenCV at about its speed (docs/inputs.md has the numbers), reports damage as exceptions, and
writes nothing to stderr, which OpenCV's decoders do. HEIC is read by libheif, through pi-heif. Not
done here: resizing (the model and each detector have their own).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import io
import logging
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageFile, _imaging

from ovsam.decoding.colour import ProfileError, to_srgb
from ovsam.decoding.jpeg_rows import MOST_ZEROS, ends_in_grey, recover
from ovsam.decoding.other_formats import PREFIX_BYTES, RAW_FILE, describe_start
from ovsam.decoding.tiff_pages import move_first_page, read_pages
from ovsam.errors import ImageError, describe_error

DEFAULT_MAX_PIXELS = 256_000_000
# Decoders take minutes for a strip that is one pixel wide, and refuse some with other reasons.
MOST_PIXELS_A_SIDE = 1_000_000
# At most, while an image is decoded: what the decoder holds, its conversion, and the result.
DECODING_BYTES_A_PIXEL = 8
# What is decoded, by suffix; and what a folder walk takes for an image on top of it: a photo that
# is passed over in silence is worse than a failed row with the reason.
# fmt: off
READABLE_SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".tif",
    ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif", ".heic", ".heif",
    ".hif",
))
IMAGE_SUFFIXES = READABLE_SUFFIXES | {
    ".jxl", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef",
    ".srw", ".3fr", ".x3f",
}
# fmt: on
# Closed list: Pillow also opens formats that run other programs (EPS) or are not pictures.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "JPEG2000")
_JPEGS = ("JPEG", "MPO")
_AVIF_BRANDS = (b"avif", b"avis")
# fmt: off
_HEIF_BRANDS = (
    b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1",
)
# fmt: on
# An incomplete JPEG is labelled when at least this share of its pixels is there.
_LEAST_SHARE = 0.99
# Called with a sentence about an image that was decoded, but not as it should have been.
Warn = Callable[[str], None]
# Called with the number of pixels before they are decoded; returns when there is memory for them.
Admit = Callable[[int], None]
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
_MOST_FILE_BYTES = 2_000_000_000
_HUGE_BYTES = 200_000_000
_MOST_WEBP_PIXELS = 1 << 28

# Pillow returns its 16 MiB blocks to the system after every image; keeping four saves the page
# faults, a third of the time of a 12-megapixel JPEG.
if _imaging.get_blocks_max() < 4:
    _imaging.set_blocks_max(4)
# Pillow logs some kinds of damage before it raises them.
if logging.getLogger("PIL").level == logging.NOTSET:
    logging.getLogger("PIL").setLevel(logging.CRITICAL)


def decode_file(
    path: Path,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    warn: Warn | None = None,
    admit: Admit | None = None,
) -> np.ndarray:
    """Read an image file as upright sRGB.

    The content decides the format, not the suffix. The first frame of animations and the full-size
    page of TIFFs is taken; EXIF orientation and colour profiles are applied; transparency is laid
    on white; 16-bit values become their high byte; float and 32-bit images are scaled as
    docs/inputs.md says. `path`: of a file of this machine. `max_pixels`: images with more pixels
    are refused before they are decoded. `warn`: told in a sentence what is not quite right: up to
    one percent of a JPEG missing, a broken colour profile. `admit`: told the number of pixels
    before the memory for them is taken; it may wait.
    Returns (H, W, 3) uint8 RGB, C-contiguous, writable, owned by the caller.
    """
    with explain_read_errors(), _open_regular_file(path) as stream:
        pixels = _decode_stream(stream, max_pixels, warn or _ignore, admit or _ignore)
    return _return_memory(pixels)


def decode_bytes(
    data: bytes,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    warn: Warn | None = None,
    admit: Admit | None = None,
) -> np.ndarray:
    """Decode the content of an image file; see `decode_file`."""
    with explain_read_errors():
        stream = io.BytesIO(data)
        pixels = _decode_stream(stream, max_pixels, warn or _ignore, admit or _ignore)
    return _return_memory(pixels)


def _ignore(_: object) -> None:
    pass


def _return_memory(pixels: np.ndarray) -> np.ndarray:
    """Return the pixels; of a huge image, give what decoding took back to the system.

    glibc keeps freed memory for each thread: a gigabyte for each that has decoded such an image.
    """
    if pixels.nbytes > _HUGE_BYTES:
        with contextlib.suppress(OSError, AttributeError):  # not glibc
            ctypes.CDLL(None).malloc_trim(0)
    return pixels


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


def _decode_stream(stream: IO[bytes], max_pixels: int, warn: Warn, admit: Admit) -> np.ndarray:
    # Some of Pillow's plugins refuse more than twice this while they open, and call it damage.
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels, _MOST_WEBP_PIXELS)
    image = _identify(stream)
    name = image.format or "image"
    _check_size(name, *image.size, max_pixels)
    admit(image.width * image.height)
    try:
        image = _load_jpeg(image, stream, warn) if name in _JPEGS else _load(image)
        return _to_array(_turn_upright(image, _to_rgb(image, warn)))
    except ImageError:
        raise
    except Exception as error:  # decoders raise all kinds of errors on damaged bytes
        if not _is_damage(error):
            raise
        raise ImageError(f"damaged {name}: {describe_damage(error)}") from error


def _is_damage(error: Exception) -> bool:
    """Whether the bytes are to blame, not memory, a disk that fails, or too many open files."""
    if isinstance(error, OSError):
        # Pillow's own have no number. A wrong offset in the file makes a seek that is refused.
        return error.errno in (None, errno.EINVAL, errno.EOVERFLOW)
    return not isinstance(error, MemoryError)


def _check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    """Refuse what the header states to be nothing, or too large: the one limit of all formats."""
    if width < 1 or height < 1:
        raise ImageError(f"expected at least one pixel, got a {name} of {width} x {height}")
    if width * height > max_pixels:
        raise ImageError(
            f"expected at most {max_pixels / 1e6:g} megapixels, got a {name} of {width} x {height} "
            f"= {width * height / 1e6:.0f}, maybe a decompression bomb; scale it down, cut it up, "
            "or give ovsam label a larger --max-pixels"
        )
    if max(width, height) > MOST_PIXELS_A_SIDE:
        raise ImageError(
            f"expected at most {MOST_PIXELS_A_SIDE:,} pixels a side, got a {name} of {width} x "
            f"{height}; cut it up"
        )


def _identify(stream: IO[bytes]) -> Image.Image:
    """Open the header with the first format that knows it.

    `Image.open` does the same, but applies a process-wide pixel limit of its own.
    """
    Image.init()
    prefix = stream.read(PREFIX_BYTES)
    if not prefix:
        raise ImageError("file is empty (0 bytes)")
    start = prefix[:16].ljust(16, b"\0")  # some plugins read past the end of shorter ones
    damage = None
    for name in _list_formats(prefix):
        if name not in Image.OPEN and name != "HEIF":  # a Pillow without this format
            continue
        factory, accept = (_open_heif, None) if name == "HEIF" else Image.OPEN[name]
        if accept is not None and accept(start) is not True:
            continue
        if name == "TIFF":
            _silence_libtiff()
            stream = _choose_page(stream)
        stream.seek(0)
        try:
            return _follow_adobe(factory(stream, ""))
        except Exception as error:
            if not _is_damage(error):
                raise
            damage = damage or _describe_refusal(name, describe_damage(error))
    raise ImageError(damage or describe_start(prefix))


def _describe_refusal(name: str, reason: str) -> str:
    """Tell a damaged header from one that states pixels which Pillow does not know."""
    if "unknown pixel mode" in reason or "cannot handle" in reason:
        return (
            f"expected pixels that Pillow reads, got a {name} of others ({reason}): export as PNG"
        )
    return f"damaged {name}: {reason}"


def _list_formats(prefix: bytes) -> tuple[str, ...]:
    """Return which formats to try; those of ISO media files by the brands that they state."""
    if prefix[4:8] != b"ftyp":
        return _FORMATS
    end = min(int.from_bytes(prefix[:4], "big"), len(prefix))
    brands = [prefix[8:12], *(prefix[at : at + 4] for at in range(16, end - 3, 4))]
    # Both kinds of pictures state "mif1", too.
    for brand in (brand for brand in brands if brand not in (b"mif1", b"msf1")):
        if brand in _AVIF_BRANDS:
            return ("AVIF",)
        if brand in _HEIF_BRANDS:
            return ("HEIF",)
    return ("HEIF",) if brands[0] in _HEIF_BRANDS else ()


def _open_heif(stream: IO[bytes], name: str | bytes) -> ImageFile.ImageFile:
    """Open the primary image of a HEIC or HEIF file; of bursts and live photos, the photo shown."""
    from pi_heif import HeifImageFile  # late: libheif is not needed for most folders

    opened: ImageFile.ImageFile = HeifImageFile(stream, name)
    return opened


def _choose_page(stream: IO[bytes]) -> IO[bytes]:
    """Return a TIFF whose first page is the picture: an ImageError where there are raw values."""
    pages = read_pages(stream)
    if pages.is_raw:
        raise ImageError(RAW_FILE)
    if pages.moved_to is None:
        return stream
    return io.BytesIO(move_first_page(_read_whole(stream), pages.moved_to))


def _read_whole(stream: IO[bytes]) -> bytes:
    """Return all bytes of a file, which may be far larger than any picture in it."""
    stream.seek(0)
    data = stream.read(_MOST_FILE_BYTES + 1)
    if len(data) > _MOST_FILE_BYTES:
        raise ImageError(
            f"expected at most {_MOST_FILE_BYTES / 1e9:g} GB of a file that has to be read as a "
            "whole, got more; export the picture as a file of its own"
        )
    return data


def _follow_adobe(image: Image.Image) -> Image.Image:
    """Let a CMYK JPEG mean what it says: only Adobe's are inverted, Pillow inverts all."""
    if image.mode == "CMYK" and image.format in _JPEGS and "adobe" not in image.info:
        image.tile = [tile._replace(args=("CMYK", "")) for tile in image.tile]  # type: ignore[attr-defined]
    return image


def _load(image: Image.Image) -> Image.Image:
    image.load()
    return image


def _load_jpeg(image: Image.Image, stream: IO[bytes], warn: Warn) -> Image.Image:
    """Decode a JPEG, also one that lacks a little of its end: an ImageError where it lacks more."""
    damage = None
    try:
        image.load()
        if not ends_in_grey(image) and not _ends_in_zeros(stream):
            return image
    except Exception as error:  # libjpeg and Pillow raise several
        if not _is_damage(error):
            raise
        damage = error
    try:
        found = recover(_read_whole(stream), _open_jpeg)
    except Exception as error:
        if not _is_damage(error):
            raise
        if damage is None:
            return image
        raise damage from error
    height = image.height
    is_whole = (found.share == 1 and found.has_end) or not found.is_covered
    if damage is None and is_whole:
        return image
    if found.share < _LEAST_SHARE:
        raise ImageError(
            f"damaged JPEG: cut off or overwritten, {found.rows} of {height} rows are whole"
            + ("" if found.is_covered else ", as later scans are missing")
        )
    warn(f"incomplete JPEG: {found.rows} of {height} rows are whole")
    return found.image


def _ends_in_zeros(stream: IO[bytes]) -> bool:
    """Whether a file may have been reserved on disk, and not filled to its end."""
    length = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, length - MOST_ZEROS - 1))
    return not any(stream.read())


def _open_jpeg(data: bytes) -> Image.Image:
    factory, _ = Image.OPEN["JPEG"]
    return _follow_adobe(factory(io.BytesIO(data), ""))


def _to_rgb(image: Image.Image, warn: Warn) -> Image.Image:
    """Convert any Pillow mode to sRGB, transparency on white, more than 8 bits scaled to 8."""
    alpha = None
    if image.mode.startswith("I;16"):
        colours = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        return Image.fromarray(_scale_to_uint8(np.asarray(image))).convert("RGB")
    elif image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        alpha = rgba.getchannel("A")
        colours = rgba.getchannel("R") if image.mode in ("L", "LA", "1") else rgba.convert("RGB")
    elif image.mode in ("RGB", "L", "CMYK", "LAB"):
        colours = image
    else:
        colours = image.convert("L" if image.mode == "1" else "RGB")
    rgb = _apply_profile(colours, image.info.get("icc_profile"), warn)
    if alpha is None or alpha.getextrema() == (255, 255):
        return rgb
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")


def _apply_profile(image: Image.Image, profile: bytes | None, warn: Warn) -> Image.Image:
    """Convert to sRGB by the image's profile; without one, pixel values are taken as sRGB."""
    try:
        return to_srgb(image, profile)
    except ProfileError:
        warn("broken colour profile: its colours are taken as sRGB")
        return to_srgb(image, None)


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
    """Apply the EXIF orientation; an unreadable EXIF block counts as upright.

    libheif has turned HEIC upright already; of AVIF Pillow states the container's rotation as EXIF.
    """
    if original.format == "HEIF":
        return rgb
    if original.format == "AVIF":
        original.info.pop("xmp", None)  # Pillow would read an orientation that viewers ignore
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
