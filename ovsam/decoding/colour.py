"""Pixels in the space of an ICC profile → sRGB, which models and detectors were trained on.

A profile is judged by what it does, not by its name: one that moves no colour by more than two
levels of 255 is sRGB, however it was written, and costs nothing per image.
"""

from __future__ import annotations

import functools
import io

import numpy as np
from PIL import Image, ImageCms

# Pillow mode → the colour space that a profile of such pixels has to be of.
_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
_LEVELS = 9
_MOST_LEVELS_OFF = 2


class ProfileError(Exception):
    """A colour profile cannot be used."""


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an image of mode RGB, L, CMYK or LAB as sRGB, mode RGB.

    `profile`: an ICC profile, or None. One of another colour space than the image (grey pixels with
    an RGB profile) is left aside. A ProfileError where it is broken.
    """
    transform = None
    if image.mode == "LAB":
        transform = _build_lab_transform()
    elif profile and image.mode in _SPACES:
        transform = _build_transform(profile, image.mode)
    if transform is None:
        return image if image.mode == "RGB" else image.convert("RGB")
    return transform.apply(image)


# Keyed by the profile's bytes; calls from several threads at once may build the same one twice.
@functools.lru_cache(maxsize=16)
def _build_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform to sRGB; None where the profile does not fit or changes nothing."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != _SPACES[mode]:
            return None
        transform = _build(source, mode)
        return None if _is_identity(transform, mode) else transform
    except MemoryError:
        raise
    except Exception as error:  # littlecms refuses broken profiles in several ways
        raise ProfileError(str(error)) from error


@functools.cache
def _build_lab_transform() -> ImageCms.ImageCmsTransform:
    return _build(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB")


def _build(source: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    """Build as picture editors do by default: white and black of the source become ours."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return ImageCms.ImageCmsTransform(
        source,
        srgb,
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform leaves a grid of all colours where they are, or almost."""
    if mode == "CMYK":
        return False
    levels = np.linspace(0, 255, _LEVELS if mode == "RGB" else 256).astype(np.uint8)
    if mode == "RGB":
        colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
        image = Image.fromarray(colours.reshape(1, -1, 3))
    else:
        image = Image.fromarray(levels.reshape(1, -1))
    changed = np.asarray(transform.apply(image), np.int16) - np.asarray(image.convert("RGB"))
    return int(np.abs(changed).max()) <= _MOST_LEVELS_OFF
