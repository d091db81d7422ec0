"""An image, wherever it lies → upright 8-bit RGB pixels, or an ImageError that says why not.

Files of this machine are decoded from disk; all else is read into memory first. The decoding
itself is `ovsam/decode.py`, which training shares.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ovsam.decode import (
    DEFAULT_MAX_PIXELS,
    Admit,
    Warn,
    decode_bytes,
    decode_file,
    describe_damage,
    explain_read_errors,
)
from ovsam.decoding.other_formats import is_web_page
from ovsam.errors import ImageError
from ovsam_pipeline.outcomes import STORAGE_FAILED, STORAGE_REFUSED
from ovsam_pipeline.records import ImagePlace, ImageRecord
from ovsam_pipeline.storage.remote_path import RemotePath
from ovsam_pipeline.storage.web_file import HttpFile


def decode_image(
    source: ImageRecord | ImagePlace | str,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    warn: Warn | None = None,
    admit: Admit | None = None,
) -> np.ndarray:
    """Read one image as `ovsam.decode.decode_file` does, whatever kind of place it lies in.

    A record, a path, or another place that an image is read from. Images that are read into memory
    (all but files of this machine) may have 8 bytes per pixel of `max_pixels`.
    """
    place = source.path if isinstance(source, ImageRecord) else source
    if isinstance(place, Path | str):
        return decode_file(Path(place), max_pixels, warn, admit)
    with explain_read_errors():
        data = _read_place(source, place, max_pixels)
    if isinstance(place, HttpFile) and is_web_page(data):
        # A login or an error page that came in the place of the image, for now.
        raise ImageError(f"{STORAGE_FAILED}: the server sent a web page in place of the image")
    return decode_bytes(data, max_pixels, warn, admit)


def _read_place(
    source: ImageRecord | ImagePlace | str, place: ImagePlace, max_pixels: int
) -> bytes:
    """Read an encoded image into memory, unless it is larger than any image that is allowed."""
    # 16-bit RGBA without compression, and a little for the headers.
    max_bytes = 8 * max_pixels + (1 << 20)
    if isinstance(source, ImageRecord) and source.size_bytes > max_bytes:
        raise ImageError(
            f"expected at most {max_bytes / 1e6:.0f} MB for the largest image allowed, got "
            f"{source.size_bytes / 1e6:.0f} MB"
        )
    try:
        if isinstance(place, HttpFile):
            return place.read_bytes(max_bytes)
        if isinstance(place, RemotePath) and isinstance(source, ImageRecord):
            return place.read_bytes(source.size_bytes)
        return place.read_bytes()
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise ImageError(f"{STORAGE_REFUSED}: {describe_damage(error)}") from error
    except OSError as error:
        raise ImageError(f"{STORAGE_FAILED}: {describe_damage(error)}") from error
