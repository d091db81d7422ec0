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
# Of objects side by side in an image. Neighbours in the list differ in hue and in lightness.
COLOURS: tuple[Colour, ...] = (
    (255, 80, 60), (0, 170, 255), (255, 214, 0), (170, 70, 255), (0, 220, 130), (255, 50, 170),
    (110, 240, 255), (255, 140, 0), (190, 255, 60), (90, 110, 255), (255, 170, 210), (0, 170, 150),
)  # fmt: skip
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Rec. 601 luma at which black text becomes easier to read than white.
_LUMA_WEIGHTS, _LIGHT = (0.299, 0.587, 0.114), 130
_JPEG_QUALITY = 90


def find_outline(mask: np.ndarray) -> Sequence[np.ndarray]:
    """Return the borders of an (H, W) mask, those of its holes too."""
    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return lines


def draw_outline(
    picture: np.ndarray, outline: Sequence[np.ndarray], colour: Colour, thickness: int
) -> None:
    """Draw the borders of a mask."""
    cv2.drawContours(picture, outline, -1, colour, thickness, cv2.LINE_AA)


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
    luma = sum(weight * value for weight, value in zip(_LUMA_WEIGHTS, colour, strict=True))
    cv2.rectangle(picture, plate[:2], (plate[2] - 1, plate[3] - 1), colour, cv2.FILLED)
    draw_text(
        picture,
        text,
        (plate[0] + padding, plate[3] - padding - descent),
        scale,
        BLACK if luma > _LIGHT else WHITE,
    )
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
