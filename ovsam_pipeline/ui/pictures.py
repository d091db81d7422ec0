"""The picture of a row → what a page shows: a thumbnail or a display picture, upright, in sRGB.

Encoded pictures are kept, the least recently shown ones go first; pixels are not. Names and sizes
of files come from others: everything is decoded by `ovsam/decode.py`'s rules.
"""

from __future__ import annotations

import io
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageOps

from ovsam.decoding.colour import to_srgb
from ovsam_pipeline.sources.read_image import decode_image
from ovsam_pipeline.ui.shared_cache import SharedCache

if TYPE_CHECKING:
    from ovsam_pipeline.records import ImagePlace

THUMBNAIL_SIDE, MOST_SIDE = 256, 2048
# Above it a JPEG is encoded ten times as fast as a WebP, and as small as it need be on one machine.
_MOST_WEBP_SIDE = 512
_WEBP_QUALITY, _JPEG_QUALITY = 80, 88
# A tenth larger than by the usual 4, in a third of the time.
_WEBP_METHOD = 1
_MOST_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture, ready to be sent."""

    data: bytes
    media_type: str


class Pictures:
    """Pictures of any places, reduced and encoded once; at most `most_bytes` of them are kept.

    Safe to be called from several threads: what two of them ask for at once is made once, and as
    many pictures are decoded at a time as there are processors.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._cache: SharedCache[tuple[str, int], Picture] = SharedCache(
            most_bytes, lambda picture: len(picture.data)
        )
        self._decoding = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))

    def get(self, place: ImagePlace, side: int) -> Picture:
        """Return a picture whose longer side is at most `side` pixels, never enlarged.

        Raises:
            ImageError: it is gone or cannot be decoded; the message says why.
        """
        key = (f"{type(place).__name__} {place}", min(max(side, 1), MOST_SIDE))

        def make() -> Picture:
            with self._decoding:
                return encode_picture(read_pixels(place, key[1]))

        return self._cache.get(key, make)


def read_pixels(place: ImagePlace, side: int) -> np.ndarray:
    """Return an image, reduced to a longer side of at most `side` pixels: (H, W, 3) uint8 RGB.

    An ImageError where it is gone or cannot be decoded.
    """
    pixels = _read_small_jpeg(place, side) if isinstance(place, Path) else None
    if pixels is None:
        pixels = decode_image(place)
    return reduce_pixels(pixels, side)


def reduce_pixels(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return (H, W, 3) pixels with a longer side of at most `side`; never enlarged."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def encode_picture(pixels: np.ndarray) -> Picture:
    """Return (H, W, 3) uint8 RGB pixels as WebP, large ones as JPEG."""
    if max(pixels.shape[:2]) > _MOST_WEBP_SIDE:
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)
        return Picture(data.tobytes(), "image/jpeg")
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", quality=_WEBP_QUALITY, method=_WEBP_METHOD)
    return Picture(stream.getvalue(), "image/webp")


def _read_small_jpeg(path: Path, side: int) -> np.ndarray | None:
    """Return a JPEG that its decoder reduced by 2, 4 or 8, at least `side` large; None for others.

    It takes a fraction of the time of all pixels. Whatever is odd about a file is left to the one
    decoder that knows what to do about it.
    """
    if not path.is_file():
        return None
    try:
        with Image.open(io.BytesIO(path.read_bytes()), formats=("JPEG",)) as image:
            if image.mode not in ("RGB", "L") or min(image.size) < 2 * side:
                return None
            image.draft(None, (side, side))
            upright = ImageOps.exif_transpose(to_srgb(image, image.info.get("icc_profile")))
            return np.asarray(upright)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  see above
        return None
