"""Text of the pages reads well on every ground, in both themes (WCAG 2.2: 1.4.3, 1.4.11)."""

import re

import pytest
from locations import ROOT

from ovsam_pipeline.ui.start_page import read_static

CSS = read_static("ovsam.css").decode()
SOURCE = ROOT / "ovsam_pipeline" / "ui" / "page" / "src"
TEXTS = ("text", "muted", "accent", "error", "warning", "good")
GROUNDS = ("ground", "raised")


def read_colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\b", block))


def read_themes() -> dict[str, dict[str, str]]:
    blocks = re.findall(r"(:root[^{]*)\{([^}]*)\}", CSS)
    light = read_colours(blocks[0][1])
    return {
        "light": light,
        "dark by the system": light | read_colours(blocks[1][1]),
        "dark by the switch": light | read_colours(blocks[2][1]),
    }


THEMES = read_themes()


def compute_luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def compute_contrast(one: str, other: str) -> float:
    low, high = sorted((compute_luminance(one), compute_luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard():
    assert compute_contrast("#000000", "#ffffff") == pytest.approx(21)
    assert compute_contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=1e-3)


@pytest.mark.parametrize("theme", THEMES)
def test_text_contrasts_with_every_ground(theme):
    colours = THEMES[theme]
    low = {
        (text, ground): round(found, 2)
        for text in TEXTS
        for ground in GROUNDS
        if (found := compute_contrast(colours[text], colours[ground])) < 4.5
    }
    assert not low
    assert compute_contrast(colours["on-accent"], colours["accent"]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_borders_of_fields_and_focus_rings_are_seen(theme):
    colours = THEMES[theme]
    for edge in ("field-line", "focus"):
        assert min(compute_contrast(colours[edge], colours[ground]) for ground in GROUNDS) >= 3


def test_both_dark_themes_are_the_same():
    assert THEMES["dark by the system"] == THEMES["dark by the switch"]
    assert THEMES["light"] != THEMES["dark by the switch"]


# White on a scrim over a picture: on white it is (89, 89, 89), which has a contrast of 7.0.
ON_PICTURES = {"#fff", "rgb(0 0 0 / 65%)", "rgb(0 0 0 / 75%)"}


@pytest.mark.skipif(not SOURCE.is_dir(), reason="needs the page's sources: a checkout")
def test_styles_of_views_take_their_colours_from_the_theme():
    """Else a view would have colours whose contrast nobody checks, or one theme only."""
    pattern = r"(?<![\w-])(?:color|background(?:-color)?): *(#[0-9a-f]+|rgb[^;]*)"
    for path in SOURCE.rglob("*.css"):
        rules = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        if path.name != "theme.css":
            assert set(re.findall(pattern, rules)) <= ON_PICTURES, path.name
    assert compute_contrast("#ffffff", "#595959") >= 7


def test_motion_stops_for_those_who_ask_and_focus_is_drawn():
    """That each control has its ring is seen in a browser: `tests/browser/test_access.py`."""
    assert "prefers-reduced-motion: reduce" in CSS
    assert re.search(r":focus-visible \{\s*outline: 2px solid var\(--focus\)", CSS)
