"""The one palette: classes have the same colours in pictures, exports and pages."""

from __future__ import annotations

import zlib

import numpy as np

Colour = tuple[int, int, int]

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
# Any two are 22 apart in CIELAB, those that follow each other 84; to people who do not see red or
# green, those that follow each other are 48 apart, and any two of the first eight 24.
COLOURS: tuple[Colour, ...] = (
    (90, 0, 255), (255, 210, 130), (0, 90, 170), (50, 130, 0), (255, 0, 255), (255, 130, 130),
    (210, 210, 0), (255, 170, 255), (170, 130, 50), (170, 130, 255), (130, 210, 90), (130, 50, 130),
    (0, 170, 0), (210, 90, 255), (130, 170, 90), (130, 0, 210), (255, 90, 50), (0, 130, 255),
    (255, 130, 0), (255, 0, 130), (0, 255, 0), (170, 90, 50), (50, 255, 255), (255, 170, 0),
    (0, 90, 255), (255, 50, 90), (170, 170, 255), (90, 90, 0), (0, 255, 130), (255, 90, 210),
    (255, 0, 0), (0, 210, 170), (170, 0, 0), (170, 255, 170), (170, 50, 90), (170, 170, 50),
    (0, 170, 255), (0, 170, 90), (170, 0, 170), (130, 210, 0),
)  # fmt: skip
# Relative luminance (WCAG 2.2) at which black and white text contrast equally: 4.6 to 1.
_EQUAL_CONTRAST = 0.179


def choose_colour(category_id: int) -> Colour:
    """Return the colour of a class: the same in every picture, far from the next ids' colours."""
    return COLOURS[category_id % len(COLOURS)]


def choose_class_number(name: str | None, category_id: int | None) -> int:
    """Return what `choose_colour` takes: the id of a class, else a number made of its name.

    Detectors may have names without ids; a box may have neither.
    """
    return zlib.crc32(str(name or None).encode()) if category_id is None else category_id


def choose_contrast(colour: Colour) -> Colour:
    """Return black or white, whichever is easier to read on a colour."""
    linear = ((np.array(colour) / 255 + 0.055) / 1.055) ** 2.4
    return BLACK if linear @ (0.2126, 0.7152, 0.0722) > _EQUAL_CONTRAST else WHITE


def to_hex(colour: Colour) -> str:
    """Return a colour as pages and charts write it: #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
