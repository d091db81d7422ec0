"""The image of an example → a picture of the part around its object, or of all of it."""

from __future__ import annotations

import numpy as np

from ovsam.errors import ImageError
from ovsam_pipeline.sources.read_image import decode_image
from ovsam_pipeline.ui.pictures import MOST_SIDE, Picture, encode_picture, reduce_pixels
from ovsam_pipeline.ui.results.data import CROP_SIDE, ExamplePicture


def read_crop(shown: ExamplePicture) -> Picture:
    """Return the window of an example; its longer side has at most `CROP_SIDE` pixels.

    Raises:
        ImageError: the image is gone, cannot be decoded, or has another size than when measured.
    """
    left, top, width, height = shown.window
    pixels = _read_pixels(shown)[top : top + height, left : left + width]
    if not pixels.size:
        raise ImageError(f"{shown.path.name} is smaller than what was measured of it")
    return encode_picture(reduce_pixels(pixels, CROP_SIDE))


def read_whole(shown: ExamplePicture) -> Picture:
    """Return the image of an example, at most 2,048 pixels a side; raises as `read_crop`."""
    return encode_picture(reduce_pixels(_read_pixels(shown), MOST_SIDE))


def _read_pixels(shown: ExamplePicture) -> np.ndarray:
    """Return (H, W, 3) uint8 RGB pixels, upright; those that truth and prediction are of."""
    pixels = decode_image(shown.path)
    height, width = pixels.shape[:2]
    if shown.size not in (None, (width, height)):
        raise ImageError(
            f"{shown.path.name} has {width} x {height} pixels, and another size in the annotations"
        )
    return pixels
