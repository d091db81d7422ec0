from itertools import combinations

import cv2
import numpy as np
import pytest

from ovsam_pipeline.export.drawing.colours import (
    BLACK,
    COLOURS,
    WHITE,
    choose_colour,
    choose_contrast,
    to_hex,
)

# How people without cones for red, or for green, see linear RGB. Source: Machado, Oliveira and
# Fernandes 2009, severity 1.
SEEN_WITHOUT = {
    "red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998]],
    "green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
              [-0.011820, 0.042940, 0.968881]],
}  # fmt: skip


def measure_lab(matrix=((1, 0, 0), (0, 1, 0), (0, 0, 1))):
    rgb = np.array(COLOURS) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(matrix).T, 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    return cv2.cvtColor(seen.astype(np.float32)[None], cv2.COLOR_RGB2LAB)[0]


def measure_steps(places):
    return np.linalg.norm(places - np.roll(places, 1, axis=0), axis=1)


def test_colours_are_apart_and_neighbours_in_the_palette_well_apart():
    places = measure_lab()
    assert min(np.linalg.norm(a - b) for a, b in combinations(places, 2)) > 22
    assert min(measure_steps(places)) > 84


@pytest.mark.parametrize("cones", SEEN_WITHOUT)
def test_neighbours_differ_to_people_who_do_not_see_red_or_green(cones):
    places = measure_lab(SEEN_WITHOUT[cones])
    assert min(measure_steps(places)) > 48
    assert min(np.linalg.norm(a - b) for a, b in combinations(places[:8], 2)) > 24


def test_a_class_has_one_colour_and_the_next_ids_have_others():
    assert choose_colour(7) == choose_colour(7)
    assert len({choose_colour(category_id) for category_id in range(40)}) == 40


def test_pages_write_colours_in_hexadecimal():
    assert to_hex((255, 0, 10)) == "#ff000a"


@pytest.mark.parametrize("colour", [*COLOURS, BLACK, WHITE, (119, 119, 119), (0, 0, 128)])
def test_text_is_legible_on_every_colour(colour):
    def luminance(rgb):  # WCAG 2.2, for one pixel in plain Python
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted(
        luminance([v / 255 for v in rgb]) for rgb in (colour, choose_contrast(colour))
    )
    assert (high + 0.05) / (low + 0.05) >= 4.5
