"""What is written on a picture: a plate at each object, or its number and a legend below.

Names are written on the picture while they leave most of it visible. Where they would not, or there
is no room for one, every object gets a number, and the legend says what each is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import cv2
import numpy as np
from numpy.typing import NDArray

from ovsam_pipeline.export.drawing.colours import Colour
from ovsam_pipeline.export.drawing.placement import GAP, Place, place_labels
from ovsam_pipeline.export.drawing.shapes import Box, Shape, draw_point, find_inner_point
from ovsam_pipeline.export.drawing.text import (
    draw_text,
    get_line_height,
    measure_text,
    shorten_text,
    to_drawable,
)

# On a plate of this colour and opacity every text colour below has a contrast of 4.5 or more,
# whatever lies under it.
PLATE, PLATE_OPACITY = (20, 20, 22), 0.84
PLAIN, QUIET, DOUBT, CHECKED = (255, 255, 255), (190, 190, 194), (255, 196, 110), (150, 230, 160)
# The same on white, for legends.
PAPER: Colour = (255, 255, 255)
_ON_PAPER: dict[Colour, Colour] = {
    PLAIN: (20, 20, 22), QUIET: (96, 96, 100), DOUBT: (150, 75, 0), CHECKED: (20, 110, 45),
}  # fmt: skip
CHECK_MARK = "✓"
# Of the picture, so much may be under names; more of them are harder to tell apart than numbers.
_MOST_COVERED, _MOST_NAMES = 0.16, 40
# Of the picture's width.
_LONGEST_LABEL = 0.5
# Hiding a pixel of a shape of this share of the picture, or of a smaller one, is worst.
_SMALL = 0.01
_OUTLINE_INK = 0.35


@dataclass(frozen=True)
class Label:
    """What is said of one object.

    Attributes:
        name: of its class.
        notes: what follows the name, each with its colour: PLAIN, QUIET, DOUBT or CHECKED.
        colour: of its class.
        is_faded: its name is written less strongly.
    """

    name: str
    notes: tuple[tuple[str, Colour], ...]
    colour: Colour
    is_faded: bool = False

    def list_pieces(self) -> list[tuple[str, Colour]]:
        """Return the name and the notes, each with its colour on a plate."""
        return [(self.name, QUIET if self.is_faded else PLAIN), *self.notes]


def annotate(
    picture: NDArray[np.uint8],
    shapes: Sequence[Shape],
    labels: Sequence[Label],
    size: int,
    remark: str = "",
) -> NDArray[np.uint8]:
    """Write what each shape is on a picture, in place; return it, with a legend if it needs one.

    Args:
        picture: the (H, W, 3) picture, with its shapes drawn.
        shapes: of the objects.
        labels: of the same.
        size: of the font in pixels.
        remark: a line for the legend.
    """
    labels = [_fit(label, picture.shape[1], size) for label in labels]
    places = _place_names(picture, shapes, labels, size)
    if places is not None:
        _draw_lines(picture, shapes, labels, places)
        for label, place in zip(labels, places, strict=True):
            _draw_plate(picture, place.box, label.list_pieces(), label.colour, size)
        return add_legend(picture, [], size, remark)
    return _number(picture, shapes, labels, size, remark)


def write_remark(picture: NDArray[np.uint8], text: str, size: int) -> NDArray[np.uint8]:
    """Write a line on a plate in the upper left corner, or below where it does not fit."""
    width, height = _measure_plate([(text, QUIET)], size, bar=0)
    if width + 2 * GAP > picture.shape[1] or 4 * height > picture.shape[0]:
        return add_legend(picture, [], size, text)
    box = (2 * GAP, 2 * GAP, 2 * GAP + width, 2 * GAP + height)
    _draw_plate(picture, box, [(text, QUIET)], None, size)
    return picture


def add_legend(
    picture: NDArray[np.uint8], labels: Sequence[Label], size: int, remark: str = ""
) -> NDArray[np.uint8]:
    """Return a picture with a legend below that tells what its numbers are, class by class.

    Labels of one class follow each other; their numbers begin with 1. A picture that is too narrow
    for the legend gets a white margin; without labels and a remark it comes back as it is.
    """
    if not labels and not remark:
        return picture
    height, width = picture.shape[:2]
    margin, line = round(0.6 * size), get_line_height(size) + 4
    # So that the longest piece fits: half of the width is a name, the rest of no more than 12 ems.
    whole_width = max(width, 25 * size)
    lines = _lay_out(labels, whole_width - 2 * margin, size)
    if remark:
        lines.append([_Token(((remark, QUIET),))])
    whole = np.full((height + 2 * margin + line * len(lines), whole_width, 3), PAPER, np.uint8)
    left = (whole_width - width) // 2
    whole[:height, left : left + width] = picture
    for row, tokens in enumerate(lines):
        x, top = margin, height + margin + row * line
        for token in tokens:
            x = _draw_token(whole, token, (x, top), size)
    return whole


@dataclass(frozen=True)
class _Token:
    """A piece of a legend that is not broken: a patch of a class and its name, a number, notes."""

    notes: tuple[tuple[str, Colour], ...]
    number: str = ""
    name: str = ""
    patch: Colour | None = None


def _fit(label: Label, width: int, size: int) -> Label:
    """Return a label whose name can be drawn, and leaves room for others."""
    room = max(6 * size, int(width * _LONGEST_LABEL))
    name = shorten_text(to_drawable(label.name), min(room, 24 * size), size)
    return Label(name, label.notes, label.colour, label.is_faded)


def _place_names(
    picture: NDArray[np.uint8], shapes: Sequence[Shape], labels: Sequence[Label], size: int
) -> list[Place] | None:
    """Return a place for every name; None where they would hide too much, or one has none."""
    sizes = [_measure_plate(label.list_pieces(), size) for label in labels]
    covered = sum(width * height for width, height in sizes)
    if len(labels) > 1 and covered > _MOST_COVERED * picture.shape[0] * picture.shape[1]:
        return None
    if len(labels) > _MOST_NAMES:
        return None
    places = _place(picture, shapes, sizes)
    whole = [place for place in places if place is not None]
    return whole if len(whole) == len(places) else None


def _place(
    picture: NDArray[np.uint8], shapes: Sequence[Shape], sizes: Sequence[tuple[int, int]]
) -> list[Place | None]:
    """Return the places of labels, in the order of the shapes; small shapes choose first."""
    order = sorted(range(len(shapes)), key=lambda index: _measure_box(shapes[index].box))
    chosen = place_labels(
        [sizes[index] for index in order],
        [np.concatenate(shapes[index].outline) for index in order],
        _measure_ink(picture, shapes),
    )
    places: list[Place | None] = [None] * len(shapes)
    for index, place in zip(order, chosen, strict=True):
        places[index] = place
    return places


def _measure_ink(picture: NDArray[np.uint8], shapes: Sequence[Shape]) -> NDArray[np.float32]:
    """Return how bad it is to hide each pixel: (H, W) float32 in [0, 1]."""
    ink = np.zeros(picture.shape[:2], np.float32)
    least = _SMALL * ink.size
    for shape in shapes:
        left, top, right, bottom = shape.box
        ground = ink[top:bottom, left:right]
        weight = min(1.0, least / max(shape.area, 1)) ** 0.5
        np.maximum(
            ground,
            shape.coverage[: ground.shape[0], : ground.shape[1]] * np.float32(weight / 255),
            out=ground,
        )
    for shape in shapes:
        lines = [np.rint(line).astype(np.int32) for line in shape.outline]
        # The plate of a large thing may stand on its border, that of a small one may not.
        cv2.polylines(ink, lines, True, _OUTLINE_INK, 3)
    return ink


def _measure_box(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _measure_plate(
    pieces: Sequence[tuple[str, Colour]], size: int, bar: int | None = None
) -> tuple[int, int]:
    """Return the width and height of a plate."""
    bar = _get_bar(size) if bar is None else bar
    space = round(0.4 * size)
    texts = sum(measure_text(text, size) for text, _ in pieces) + space * (len(pieces) - 1)
    return bar + texts + 2 * space, get_line_height(size) + 2


def _get_bar(size: int) -> int:
    return max(3, round(size / 4))


def _draw_plate(
    picture: NDArray[np.uint8],
    box: Box,
    pieces: Sequence[tuple[str, Colour]],
    colour: Colour | None,
    size: int,
) -> None:
    """Draw a plate with its text; a bar of the colour, if there is one, begins it."""
    left, top, right, bottom = box
    ground = picture[top:bottom, left:right]
    ground[:] = np.rint(ground + (np.array(PLATE, np.float32) - ground) * PLATE_OPACITY)
    bar = 0 if colour is None else _get_bar(size)
    if colour is not None:
        picture[top:bottom, left : left + bar] = colour
    space = round(0.4 * size)
    x = left + bar + space
    for text, text_colour in pieces:
        x = draw_text(picture, text, (x, top + 1), size, text_colour) + space


def _draw_lines(
    picture: NDArray[np.uint8],
    shapes: Sequence[Shape],
    labels: Sequence[Label],
    places: Sequence[Place | None],
) -> None:
    """Draw lines from the objects to those plates that are away from them."""
    for shape, label, place in zip(shapes, labels, places, strict=True):
        if place is None or not place.is_led:
            continue
        x, y = find_inner_point(shape)
        left, top, right, bottom = place.box
        end = min(max(x, left), right - 1), min(max(y, top), bottom - 1)
        cv2.line(picture, (x, y), end, PLATE, 3, cv2.LINE_AA)
        cv2.line(picture, (x, y), end, PLAIN, 1, cv2.LINE_AA)
        draw_point(picture, (x, y), label.colour, 1)


def _number(
    picture: NDArray[np.uint8],
    shapes: Sequence[Shape],
    labels: Sequence[Label],
    size: int,
    remark: str,
) -> NDArray[np.uint8]:
    """Write the number of each object on it, and what it is below.

    Numbers go class by class, as in the legend, and within a class from top to bottom.
    """
    height = get_line_height(size)
    order = sorted(
        range(len(shapes)),
        key=lambda i: (labels[i].name, labels[i].colour, shapes[i].box[1] // height, shapes[i].box),
    )
    shapes, labels = [shapes[i] for i in order], [labels[i] for i in order]
    texts = [[(str(number), PLAIN)] for number in range(1, len(order) + 1)]
    places = _place(picture, shapes, [_measure_plate(text, size) for text in texts])
    _draw_lines(picture, shapes, labels, places)
    for text, label, place in zip(texts, labels, places, strict=True):
        if place is not None:
            _draw_plate(picture, place.box, text, label.colour, size)
    return add_legend(picture, labels, size, remark)


def _lay_out(labels: Sequence[Label], width: int, size: int) -> list[list[_Token]]:
    """Return the lines of a legend: a class begins with its colour and name, and may go on."""
    tokens: list[_Token] = []
    numbered = enumerate(labels, start=1)
    for (name, colour), group in groupby(numbered, key=lambda pair: (pair[1].name, pair[1].colour)):
        for place, (number, label) in enumerate(group):
            first = ("", None) if place else (name, colour)
            tokens.append(_Token(label.notes, str(number), *first))
    lines: list[list[_Token]] = [[]]
    used = 0
    for token in tokens:
        needed = _measure_token(token, size)
        if lines[-1] and used + needed > width:
            lines.append([])
            used = 0
        lines[-1].append(token)
        used += needed
    return lines if tokens else []


def _measure_token(token: _Token, size: int) -> int:
    space = round(0.4 * size)
    width = sum(measure_text(text, size) + space for text, _ in token.notes) + space
    if token.patch:
        width += size + 3 * space + measure_text(token.name, size)
    if token.number:
        width += _measure_plate([(token.number, PLAIN)], size, bar=0)[0] + space
    return width


def _draw_token(whole: NDArray[np.uint8], token: _Token, start: tuple[int, int], size: int) -> int:
    """Draw a piece of a legend; return where the next begins, in x."""
    (x, top), space = start, round(0.4 * size)
    if token.patch:
        x += space
        middle = top + get_line_height(size) // 2
        whole[middle - size // 2 : middle + size // 2, x : x + size] = token.patch
        x = draw_text(whole, token.name, (x + size + space, top), size, _ON_PAPER[PLAIN]) + space
    if token.number:
        # As it is in the picture.
        text = [(token.number, PLAIN)]
        width, height = _measure_plate(text, size, bar=0)
        _draw_plate(whole, (x, top, x + width, top + height - 2), text, None, size)
        x += width + space
    for text_of_note, colour in token.notes:
        x = draw_text(whole, text_of_note, (x, top), size, _ON_PAPER[colour]) + space
    return x + space
