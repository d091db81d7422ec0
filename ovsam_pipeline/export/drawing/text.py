"""Text in one font that every installation has: Latin, Greek, Cyrillic, Arabic, Hebrew and more.

The font is DejaVu Sans, which comes with matplotlib. Letters that it lacks (Chinese, Japanese,
Korean, Thai, …) are of the font within OpenCV 5; where that lacks them too, or is older, a symbol
is replaced by its name ("grinning face") and a letter by `UNKNOWN`.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from ovsam_pipeline.export.drawing.colours import Colour

UNKNOWN = "□"
# A name from a file may be a novel.
_MOST_LETTERS = 2000
# A letter of OpenCV's font is as high as one of DejaVu Sans at this share of its size.
_OTHER_SIZE = 1.15
# Joiners and variants of emoji, which show nothing themselves.
_INVISIBLE = {0x200D, 0xFE0E, 0xFE0F}


def to_line(text: str) -> str:
    """Return a text from a file as one line without control characters and marks of direction."""
    kept = (" " if letter.isspace() else letter for letter in text[:_MOST_LETTERS])
    return " ".join("".join(x for x in kept if x == " " or x.isprintable()).split())


def measure_text(text: str, size: int) -> int:
    """Return the width of one line in pixels; `size` is that of the font."""
    return sum(_render_run(run, size, in_font)[0].shape[1] for run, in_font in _split(text))


def get_line_height(size: int) -> int:
    """Return the height of a line in pixels, from the highest accent to the lowest descender."""
    ascent, descent = _load_font(size).getmetrics()
    return int(ascent + descent)


def draw_text(
    picture: NDArray[np.uint8], text: str, start: tuple[int, int], size: int, colour: Colour
) -> int:
    """Write one line whose upper left corner is `start`; return where it ends, in x.

    What lies outside the picture is cut off.
    """
    left, top = start
    for run, in_font in _split(text):
        coverage, rise = _render_run(run, size, in_font)
        _blend(picture, coverage, (left, top + rise), colour)
        left += coverage.shape[1]
    return left


def shorten_text(text: str, width: int, size: int) -> str:
    """Return a text that is at most `width` pixels wide: its middle is elided, or all of it."""
    if measure_text(text, size) <= width:
        return text
    low, high = 0, len(text) // 2
    while low < high:
        middle = (low + high + 1) // 2
        fits = measure_text(f"{text[:middle]}…{text[-middle:]}", size) <= width
        low, high = (middle, high) if fits else (low, middle - 1)
    if low:
        return f"{text[:low]}…{text[-low:]}"
    return "…" if measure_text("…", size) <= width else ""


def wrap_text(text: str, width: int, size: int) -> list[str]:
    """Break text at blanks into lines of at most `width` pixels, where its words allow it."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and measure_text(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def to_drawable(text: str) -> str:
    """Return a line without letters that cannot be drawn; see the head of this file."""
    line = to_line(text)
    if line.isascii():
        return line
    return to_line("".join(_replace(letter) for letter in line))


def _replace(letter: str) -> str:
    if ord(letter) in _INVISIBLE:
        return ""
    if letter.isascii() or _is_in_font(letter) or _is_in_other_font(letter):
        return letter
    if unicodedata.category(letter)[0] == "S":
        return f" {unicodedata.name(letter, UNKNOWN).lower()} "
    return "" if unicodedata.combining(letter) else UNKNOWN


@lru_cache(maxsize=1)
def _find_font_file() -> Path:
    # Without importing matplotlib, which takes longer than a picture.
    spec = find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("expected matplotlib, which pip installs with ovsam, to be installed")
    return Path(spec.submodule_search_locations[0], "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")


@lru_cache(maxsize=16)
def _load_font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_find_font_file()), size)


@lru_cache(maxsize=1)
def _load_letters() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(_find_font_file())).get_charmap())


def _is_in_font(letter: str) -> bool:
    return ord(letter) in _load_letters()


@lru_cache(maxsize=4096)
def _is_in_other_font(letter: str) -> bool:
    """Whether OpenCV's font has a letter: it draws a question mark in place of one it lacks."""
    if not hasattr(cv2, "FontFace"):
        return False
    drawn = _render_other(letter, 24)
    return bool(drawn.any()) and not np.array_equal(drawn, _render_other("?", 24))


def _split(text: str) -> list[tuple[str, bool]]:
    """Return the runs of a text by the font that has their letters: True for DejaVu Sans."""
    if text.isascii():
        return [(text, True)] if text else []
    runs = groupby(text, lambda letter: letter.isascii() or _is_in_font(letter))
    return [("".join(letters), in_font) for in_font, letters in runs]


@lru_cache(maxsize=2048)
def _render_run(run: str, size: int, in_font: bool) -> tuple[NDArray[np.uint8], int]:
    """Return how much of each pixel a run covers, 0 to 255, and how far below the line it begins.

    Its width is what the run takes, its height may be that of its ink.
    """
    if not in_font:
        return _render_other(run, round(size * _OTHER_SIZE)), 0
    font = _load_font(size)
    _, top, right, bottom = font.getbbox(run)
    width = max(1, round(max(font.getlength(run), right)))
    drawn = np.zeros((max(1, round(bottom - top)), width), np.uint8)
    mask, (shift, rise) = font.getmask2(run, "L")
    if 0 not in mask.size:
        ink = np.array(mask, np.uint8).reshape(mask.size[::-1])
        x = max(0, round(shift))
        part = ink[: drawn.shape[0], : width - x]
        drawn[: part.shape[0], x : x + part.shape[1]] = part
    return drawn, round(rise)


def _render_other(run: str, size: int) -> NDArray[np.uint8]:
    """Return a run in OpenCV's font, as high as a line, as `_render_run` does."""
    if not hasattr(cv2, "FontFace"):
        return np.zeros((1, 1), np.uint8)
    face: Any = cv2.FontFace("sans")
    base = round(0.93 * size)
    canvas = np.zeros((round(1.3 * size), 2 * size * (len(run) + 1)), np.uint8)
    end, _ = cv2.putText(canvas, run, (0, base), (255,), face, size)
    width = max(int(end[0]), int(np.flatnonzero(canvas.any(axis=0)).max(initial=0)) + 1)
    return np.ascontiguousarray(canvas[:, :width])


def _blend(
    picture: NDArray[np.uint8], coverage: NDArray[np.uint8], start: tuple[int, int], colour: Colour
) -> None:
    """Lay a colour on a picture where it is covered."""
    left, top = start
    y, x = max(0, -top), max(0, -left)
    ground = picture[max(0, top) : max(0, top + coverage.shape[0])]
    ground = ground[:, max(0, left) : max(0, left + coverage.shape[1])]
    share = coverage[y : y + ground.shape[0], x : x + ground.shape[1], None] / np.float32(255)
    ground[:] = np.rint(ground + (np.array(colour, np.float32) - ground) * share)
