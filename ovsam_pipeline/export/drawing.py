"""Draw masks, boxes and text, for previews and for eval's pictures of the worst instances.

Pictures are (H, W, 3) uint8 RGB arrays, changed in place; colours are RGB, boxes are left, top,
right, bottom in whole pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
# Any two are 22 apart in CIELAB, those that follow each other 70.
COLOURS: tuple[Colour, ...] = (
    (170, 50, 90), (210, 90, 255), (170, 255, 170), (255, 130, 0), (255, 0, 130), (170, 170, 255),
    (0, 170, 0), (50, 255, 255), (170, 130, 50), (130, 0, 210), (0, 170, 90), (0, 170, 255),
    (255, 210, 130), (0, 90, 255), (130, 210, 0), (255, 90, 50), (170, 0, 170), (90, 90, 0),
    (0, 90, 170), (255, 50, 90), (130, 210, 90), (90, 0, 255), (255, 90, 210), (0, 255, 0),
    (130, 170, 90), (170, 0, 0), (130, 50, 130), (255, 170, 0), (50, 130, 0), (255, 130, 130),
    (170, 130, 255), (0, 210, 170), (210, 210, 0), (170, 90, 50), (0, 130, 255), (255, 0, 255),
    (0, 255, 130), (255, 170, 255), (170, 170, 50), (255, 0, 0),
)  # fmt: skip
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Relative luminance (WCAG 2.2) at which black and white text contrast equally: 4.6 to 1.
_EQUAL_CONTRAST = 0.179
_JPEG_QUALITY = 90


def choose_colour(category_id: int) -> Colour:
    """Return the colour of a class: the same in every picture, far from the next ids' colours."""
    return COLOURS[category_id % len(COLOURS)]


def choose_contrast(colour: Colour) -> Colour:
    """Return black or white, whichever is easier to read on a colour."""
    linear = ((np.array(colour) / 255 + 0.055) / 1.055) ** 2.4
    return BLACK if linear @ (0.2126, 0.7152, 0.0722) > _EQUAL_CONTRAST else WHITE


def find_outline(mask: np.ndarray) -> Sequence[np.ndarray]:
    """Return the borders of an (H, W) mask, those of its holes too."""
    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return lines


def draw_outline(
    picture: np.ndarray, outline: Sequence[np.ndarray], colour: Colour, thickness: int
) -> None:
    """Draw the borders of a mask, on a thin rim that shows them on their own colour, too."""
    rim = choose_contrast(colour)
    cv2.drawContours(picture, outline, -1, rim, thickness + 2, cv2.LINE_AA)
    cv2.drawContours(picture, outline, -1, colour, thickness, cv2.LINE_AA)


def draw_point(picture: np.ndarray, place: tuple[int, int], colour: Colour, thickness: int) -> None:
    """Draw a point prompt as a disc on a rim of three times the line's thickness."""
    cv2.circle(picture, place, 3 * thickness, choose_contrast(colour), cv2.FILLED, cv2.LINE_AA)
    cv2.circle(picture, place, 2 * thickness, colour, cv2.FILLED, cv2.LINE_AA)


def draw_label(
    picture: np.ndarray, text: str, box: Box, colour: Colour, scale: float, taken: Sequence[Box]
) -> Box:
    """Write `text` on a plate of `colour` at a box, inside the picture; return the plate's place.

    Of the places above, in and below the box the first is used that covers the least of `taken`,
    the plates that are drawn already.
    """
    height, width = picture.shape[:2]
    padding = max(2, round(6 * scale))
    text = shorten_text(text, width - 2 * padding, scale)
    (text_width, ascent), descent = _measure(text, scale)
    plate_width, plate_height = text_width + 2 * padding, ascent + descent + 2 * padding
    left, top, right, bottom = box
    corners = [
        (max(0, min(x, width - plate_width)), max(0, min(y, height - plate_height)))
        for x in (left, right - plate_width)
        for y in (top - plate_height, top, bottom - plate_height, bottom)
    ]
    plates = [(x, y, x + plate_width, y + plate_height) for x, y in corners]
    plate = min(plates, key=lambda place: sum(_count_common_pixels(place, t) for t in taken))
    cv2.rectangle(picture, plate[:2], (plate[2] - 1, plate[3] - 1), colour, cv2.FILLED)
    start = plate[0] + padding, plate[3] - padding - descent
    draw_text(picture, text, start, scale, choose_contrast(colour))
    return plate


def draw_text(
    picture: np.ndarray, text: str, start: tuple[int, int], scale: float, colour: Colour = BLACK
) -> None:
    """Write one line whose base line begins at `start`; at `scale` 1 letters are 22 pixels high."""
    cv2.putText(picture, text, start, _FONT, scale, colour, _choose_weight(scale), cv2.LINE_AA)


def shorten_text(text: str, width: int, scale: float) -> str:
    """Shorten text to `width` pixels by eliding the middle."""
    half = len(text) // 2
    short = text
    while half > 1 and _measure(short, scale)[0][0] > width:
        half -= 1
        short = f"{text[:half]}...{text[-half:]}"
    return short


def wrap_text(text: str, width: int, scale: float) -> list[str]:
    """Break text at blanks into lines of at most `width` pixels, where its words allow it."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and _measure(longer, scale)[0][0] > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def encode_jpeg(picture: np.ndarray) -> bytes:
    """Return the content of a JPEG file."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality)
    return data.tobytes()


def _measure(text: str, scale: float) -> tuple[tuple[int, int], int]:
    """Return the width of a line and its height above the base line, then that below it."""
    (width, ascent), descent = cv2.getTextSize(text, _FONT, scale, _choose_weight(scale))
    return (width, ascent), descent


def _choose_weight(scale: float) -> int:
    return max(1, round(1.6 * scale))


def _count_common_pixels(one: Box, other: Box) -> int:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0, width) * max(0, height)
