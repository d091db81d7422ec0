"""Emoji glyphs of one font -> RGBA sprites per class: the only drawings `nano` ever sees.

Input: `ovsam/data/nano/classes.tsv` and a colour bitmap font (Debian: fonts-noto-color-emoji).
Output: a `SpriteAtlas`. The font is needed only to regenerate scenes; nothing at run time reads it.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ovsam.errors import ConfigError

NOTO_FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
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
    font_path: Path = NOTO_FONT, classes: Sequence[NanoClass] | None = None
) -> SpriteAtlas:
    """Render the sprites of all nano classes from the Noto colour font."""
    if not font_path.is_file():
        raise ConfigError(
            f"expected the emoji font at {font_path}, no such file; "
            "install it (Debian: apt-get install fonts-noto-color-emoji) or name it with --font"
        )
    chosen = tuple(read_nano_classes() if classes is None else classes)
    font = ImageFont.truetype(str(font_path), NOTO_STRIKE_PX)
    sprites = tuple(tuple(render_glyph(font, code) for code in one.codepoints) for one in chosen)
    return SpriteAtlas(classes=chosen, sprites=sprites)
