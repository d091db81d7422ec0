"""Drawings of another artist: a package of two icons, made here."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from ovsam.errors import ConfigError
from ovsam.training.scenes.iconify import SPRITE_SIDE, add_styles, load_iconify_sprites
from ovsam.training.scenes.sprites import NanoClass, SpriteAtlas

CLASSES = (
    NanoClass("disc", (), (0x1F534,), "shape", "base"),
    NanoClass("bar", (), (0x1F7E6, 0x1F7E9), "shape", "novel"),
)


@pytest.fixture
def package(tmp_path) -> Path:
    icons = {
        "disc": {"body": '<circle cx="8" cy="8" r="8" fill="#f00"/>'},
        # An icon with a frame of its own: 32 wide, its drawing in the right half.
        "bar": {"body": '<rect x="16" width="16" height="8" fill="#00f"/>', "width": 32},
    }
    (tmp_path / "icons.json").write_text(json.dumps({"icons": icons, "width": 16, "height": 16}))
    (tmp_path / "chars.json").write_text(json.dumps({"1f534": "disc", "1f7e6": "bar"}))
    return tmp_path


def test_icons_are_drawn_and_trimmed_and_missing_ones_left_out(package) -> None:
    disc, bar = load_iconify_sprites(package, CLASSES)
    assert [picture.shape for picture in disc] == [(SPRITE_SIDE, SPRITE_SIDE, 4)]
    assert tuple(disc[0][64, 64]) == (255, 0, 0, 255)
    assert disc[0][0, 0, 3] == 0
    assert [picture.shape for picture in bar] == [(SPRITE_SIDE // 4, SPRITE_SIDE // 2, 4)]
    assert tuple(bar[0][5, 5]) == (0, 0, 255, 255)


def test_icons_without_code_points_are_found_by_their_unicode_name(package) -> None:
    icons = json.loads((package / "icons.json").read_text())
    bodies = icons["icons"]
    icons["icons"] = {"large-red-circle": bodies["disc"], "largebluesquare": bodies["bar"]}
    (package / "icons.json").write_text(json.dumps(icons))
    (package / "chars.json").write_text("{}")
    assert [len(group) for group in load_iconify_sprites(package, CLASSES)] == [1, 1]


def test_a_package_of_other_icons_is_refused(package) -> None:
    (package / "chars.json").write_text("{}")
    with pytest.raises(ConfigError, match="found none of 2 among 2 icons"):
        load_iconify_sprites(package, CLASSES)


def test_styles_stand_beside_the_atlas_own_drawings(package) -> None:
    own = np.full((3, 3, 4), 255, np.uint8)
    atlas = add_styles(SpriteAtlas(CLASSES, ((own,), (own, own))), [package, package])
    assert [len(group) for group in atlas.sprites] == [3, 4]
    assert atlas.sprites[0][0] is own


def test_a_folder_that_is_no_package_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"expected an unpacked @iconify-json package .*npm pack"):
        load_iconify_sprites(tmp_path, CLASSES)


def test_what_is_missing_is_named(package, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(ConfigError, match=r"needs resvg_py, .* pip install"):
        load_iconify_sprites(package, CLASSES)
