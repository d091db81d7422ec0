"""Emoji glyphs of one font -> RGBA sprites per class: the only drawings `nano` ever sees.

Input: `ovsam/data/nano/classes.tsv` and a colour bitmap font (Noto Color Emoji).
Output: a `SpriteAtlas`. The font is needed only to regenerate scenes; nothing at run time reads it.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ovsam.errors import ConfigError, describe_error

NOTO_FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
# Where the packages of Debian, Arch, Fedora and a person put it.
_PLACES = (
    NOTO_FONT,
    Path("/usr/share/fonts/noto/NotoColorEmoji.ttf"),
    Path("/usr/share/fonts/google-noto-color-emoji-fonts/NotoColorEmoji.ttf"),
    Path("~/.local/share/fonts/NotoColorEmoji.ttf"),
    Path("~/Library/Fonts/NotoColorEmoji.ttf"),
)
_HOW_TO_GET = (
    "Debian, Ubuntu: apt-get install fonts-noto-color-emoji; every other system: download "
    "fonts/NotoColorEmoji.ttf of https://github.com/googlefonts/noto-emoji and give --font FILE"
)
NOTO_STRIKE_PX = 109  # the only bitmap size in the font; any other size is refused by FreeType


@dataclass(frozen=True)
class NanoClass:
    """One class of the nano world: its words and the glyphs that draw it."""

    name: str
    synonyms: tuple[str, ...]
    codepoints: tuple[int, ...]
    category: str
    split: str


@dataclass(frozen=True)
class SpriteAtlas:
    """Sprites grouped by class.

    Attributes:
        classes: The classes, in the order of their ids (0-based).
        sprites: For each class at least one (H, W, 4) uint8 RGBA picture, trimmed to its alpha.
    """

    classes: tuple[NanoClass, ...]
    sprites: tuple[tuple[np.ndarray, ...], ...]

    def __post_init__(self) -> None:
        """Refuse an atlas in which a class has no drawing."""
        if len(self.classes) != len(self.sprites) or not all(self.sprites):
            raise ConfigError(
                f"expected at least one sprite for each of {len(self.classes)} classes, "
                f"got {[len(group) for group in self.sprites]}; check the code points"
            )


def read_nano_classes() -> tuple[NanoClass, ...]:
    """Read the packaged class list, in id order."""
    table = resources.files("ovsam").joinpath("data/nano/classes.tsv").read_text(encoding="utf-8")
    return tuple(
        NanoClass(
            name=row["name"],
            synonyms=tuple(word for word in row["synonyms"].split("|") if word),
            codepoints=tuple(int(code, 16) for code in row["codepoints"].split("+")),
            category=row["category"],
            split=row["split"],
        )
        for row in csv.DictReader(table.splitlines(), delimiter="\t")
    )


def nano_class_names() -> tuple[str, ...]:
    """Return what scenes show, in id order."""
    return tuple(one.name for one in read_nano_classes())


def render_glyph(font: ImageFont.FreeTypeFont, codepoint: int) -> np.ndarray:
    """Draw one glyph at the font's native size, trimmed to its alpha.

    Returns (H, W, 4) uint8 RGBA.
    """
    canvas = Image.new("RGBA", (192, 192))
    ImageDraw.Draw(canvas).text((16, 16), chr(codepoint), font=font, embedded_color=True)
    bounds = canvas.getchannel("A").getbbox()
    if bounds is None:
        raise ConfigError(
            f"expected a drawing of U+{codepoint:X}, the font draws nothing; use a newer font"
        )
    return np.array(canvas.crop(bounds))


def load_noto_atlas(
    font_path: Path | None = None, classes: Sequence[NanoClass] | None = None
) -> SpriteAtlas:
    """Render the sprites of all nano classes from the Noto colour font.

    `font_path`: None is where a system has it. A file that is not there, or another font, is a
    ConfigError that says how to get it.
    """
    font = _open_font(font_path or _find_font())
    chosen = tuple(read_nano_classes() if classes is None else classes)
    sprites = tuple(tuple(render_glyph(font, code) for code in one.codepoints) for one in chosen)
    return SpriteAtlas(classes=chosen, sprites=sprites)


def _find_font() -> Path:
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - pathlib fails without a home
    places = [home / path.relative_to("~") if path.parts[0] == "~" else path for path in _PLACES]
    for path in places:
        if path.is_file():
            return path
    raise ConfigError(f"the emoji font NotoColorEmoji.ttf is not on this machine; {_HOW_TO_GET}")


def _open_font(path: Path) -> ImageFont.FreeTypeFont:
    if not path.is_file():
        raise ConfigError(f"--font: no such file: {path}; {_HOW_TO_GET}")
    try:
        return ImageFont.truetype(str(path), NOTO_STRIKE_PX)
    except OSError as error:
        raise ConfigError(
            f"expected a font with coloured bitmaps {NOTO_STRIKE_PX} pixels high, got {path} "
            f"({describe_error(error)}); {_HOW_TO_GET}"
        ) from error
