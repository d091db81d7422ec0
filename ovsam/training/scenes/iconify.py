"""Drawings of another artist: an unpacked @iconify-json package of emoji -> RGBA sprites per class.

Such packages (`npm pack @iconify-json/twemoji`, `fluent-emoji-flat`, `openmoji`, `noto`) hold
`icons.json` (SVG bodies by name) and `chars.json` (names by code point), which is empty in some
(`noto-v1`, `fxemoji`); there an icon is found by its character's Unicode name.
"""

from __future__ import annotations

import importlib
import io
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ovsam.checked_json import parse_json
from ovsam.errors import ConfigError, describe_error
from ovsam.training.scenes.sprites import NanoClass, SpriteAtlas

SPRITE_SIDE = 128  # pixels that an icon is drawn at, before its border is cut off


def load_iconify_sprites(
    folder: Path, classes: Sequence[NanoClass]
) -> tuple[tuple[np.ndarray, ...], ...]:
    """Draw the glyphs of classes in a package's style.

    Returns for each class (H, W, 4) uint8 RGBA pictures, trimmed to their alpha; none of a glyph
    that the package does not have.
    """
    icons, names = _read(folder, "icons.json"), _read(folder, "chars.json")
    bodies: Mapping[str, Any] = icons.get("icons", {})
    found = [
        [name for code in one.codepoints if (name := _find_name(code, names, bodies))]
        for one in classes
    ]
    if not any(found):
        raise ConfigError(
            f"expected drawings of nano's classes in {folder / 'icons.json'}, found none of "
            f"{len(classes)} among {len(bodies)} icons; give a package of emoji"
        )
    return tuple(tuple(_render(icons, bodies[name]) for name in group) for group in found)


def _find_name(code: int, names: Mapping[str, str], icons: Mapping[str, Any]) -> str | None:
    """Return the name of a code point's icon, if the package has it."""
    words = unicodedata.name(chr(code), "").lower().replace(" ", "-")
    candidates = (names.get(f"{code:x}", ""), words, words.replace("-", ""))
    return next((name for name in candidates if name in icons), None)


def add_styles(atlas: SpriteAtlas, folders: Sequence[Path]) -> SpriteAtlas:
    """Return an atlas extended by the drawings of more packages."""
    styles = [load_iconify_sprites(folder, atlas.classes) for folder in folders]
    groups = zip(atlas.sprites, *styles, strict=True)
    return SpriteAtlas(atlas.classes, tuple(sum(group, ()) for group in groups))


def _read(folder: Path, name: str) -> dict[str, Any]:
    try:
        return parse_json((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"expected an unpacked @iconify-json package in {folder}, but {name} cannot be read "
            f"({describe_error(error)}); get one by `npm pack @iconify-json/twemoji` and unpack it"
        ) from error


def _render(icons: Mapping[str, Any], icon: Mapping[str, Any]) -> np.ndarray:
    """Draw one icon; an icon's own frame goes before the package's."""
    try:
        resvg = importlib.import_module("resvg_py")
    except ImportError as error:
        raise ConfigError(
            "drawing SVG needs resvg_py, which is not installed; pip install resvg-py"
        ) from error
    frame = {key: icon.get(key, icons.get(key)) for key in ("left", "top", "width", "height")}
    left, top = frame["left"] or 0, frame["top"] or 0
    width, height = frame["width"] or 16, frame["height"] or 16
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{SPRITE_SIDE}" height="{SPRITE_SIDE}" viewBox="{left} {top} {width} {height}">'
        f"{icon['body']}</svg>"
    )
    picture = Image.open(io.BytesIO(bytes(resvg.svg_to_bytes(svg_string=svg)))).convert("RGBA")
    return np.array(picture.crop(picture.getchannel("A").getbbox()))
