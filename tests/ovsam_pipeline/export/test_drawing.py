import re
from itertools import combinations, pairwise

import cv2
import numpy as np
import pytest

from ovsam_pipeline.export.drawing import (
    BLACK,
    COLOURS,
    WHITE,
    choose_colour,
    choose_contrast,
    draw_label,
    draw_outline,
    draw_point,
    draw_text,
    encode_jpeg,
    find_outline,
    shorten_text,
    wrap_text,
)

GREY, RED = (128, 128, 128), (255, 0, 0)


def make_picture(height=200, width=300):
    return np.full((height, width, 3), GREY, np.uint8)


def has_colour(picture, colour):
    return bool((picture == colour).all(axis=-1).any())


@pytest.mark.parametrize(
    "box",
    [(10, 50, 60, 90), (0, 0, 300, 200), (290, 0, 300, 10), (290, 190, 300, 200), (-9, -9, 0, 0)],
)
def test_labels_do_not_leave_the_picture(box):
    picture = make_picture()
    left, top, right, bottom = draw_label(picture, "a teapot 0.75", box, RED, 0.5, [])
    assert 0 <= left < right <= 300
    assert 0 <= top < bottom <= 200
    assert (picture[[top, bottom - 1], left:right] == RED).all()
    outside = np.ones((200, 300), bool)
    outside[top:bottom, left:right] = False
    assert (picture[outside] == GREY).all()


def test_a_label_stands_above_its_box_where_there_is_room():
    assert draw_label(make_picture(), "cat", (40, 80, 90, 120), RED, 0.5, [])[3] == 80


def test_labels_of_one_box_do_not_cover_each_other():
    picture, plates = make_picture(), []
    for name in ("cat", "dog", "cow"):
        plates.append(draw_label(picture, name, (40, 60, 140, 160), RED, 0.5, plates))
    tops = sorted((top, bottom) for _, top, _, bottom in plates)
    assert all(above[1] <= below[0] for above, below in pairwise(tops))


def test_a_label_wider_than_the_picture_is_shortened():
    picture = make_picture(width=120)
    left, _, right, _ = draw_label(picture, "x" * 100, (0, 50, 120, 90), RED, 0.5, [])
    assert (left, right <= 120) == (0, True)
    draw_label(make_picture(8, 3), "cat", (0, 0, 3, 8), RED, 0.5, [])


def test_text_contrasts_with_its_plate():
    for colour, text_colour in (((255, 255, 0), BLACK), ((0, 0, 120), WHITE)):
        picture = make_picture()
        draw_label(picture, "cat", (40, 80, 90, 120), colour, 1, [])
        assert has_colour(picture, text_colour)


def test_colours_are_apart_and_neighbours_in_the_palette_well_apart():
    rgb = np.array([COLOURS], np.float32) / 255
    places = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0]
    assert min(np.linalg.norm(a - b) for a, b in combinations(places, 2)) > 22
    assert min(np.linalg.norm(places - np.roll(places, 1, axis=0), axis=1)) > 69


def test_a_class_has_one_colour_and_the_next_ids_have_others():
    assert choose_colour(7) == choose_colour(7)
    assert len({choose_colour(category_id) for category_id in range(40)}) == 40


@pytest.mark.parametrize("colour", [*COLOURS, BLACK, WHITE, (119, 119, 119), (0, 0, 128)])
def test_text_is_legible_on_every_colour(colour):
    def luminance(rgb):  # WCAG 2.2, for one pixel in plain Python
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted(
        luminance([v / 255 for v in rgb]) for rgb in (colour, choose_contrast(colour))
    )
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_a_point_is_drawn_on_a_rim_that_contrasts():
    picture = make_picture()
    draw_point(picture, (100, 80), (255, 255, 0), 2)
    assert (picture[80, 100] == (255, 255, 0)).all()
    assert (picture[80, 105] < 64).all()
    assert (picture[80, 110] == GREY).all()


def test_text_is_wrapped_between_words_and_nothing_is_lost():
    text = "we call it penguin, and annotation 2, named penguin, we call cow"
    lines = wrap_text(text, 120, 0.42)
    assert len(lines) > 1
    assert " ".join(lines) == text
    for line in lines:
        assert shorten_text(line, 120, 0.42) == line, "fits"
    assert wrap_text("a/very/long/path/to/an/image.png", 100, 0.42) == [
        "a/very/long/path/to/an/image.png"
    ]
    assert wrap_text("", 100, 0.42) == [""]


def test_text_is_shortened_in_the_middle():
    short = shorten_text("a/very/long/path/to/an/image.png", 100, 0.42)
    assert re.fullmatch(r"a/v.*\.\.\..*png", short)
    assert shorten_text("image.png", 100, 0.42) == "image.png"


@pytest.mark.parametrize("text", ["", "crème brûlée", "猫", "a\tb"])
def test_every_text_can_be_drawn(text):
    draw_text(make_picture(), shorten_text(text, 100, 0.5), (5, 50), 0.5)


def test_outlines_follow_borders_and_holes():
    mask = np.zeros((200, 300), np.uint8)
    mask[50:150, 50:150] = 1
    mask[90:110, 90:110] = 0
    picture = make_picture()
    draw_outline(picture, find_outline(mask), RED, 1)
    is_drawn = (picture != GREY).any(axis=-1)
    assert is_drawn[[50, 100, 89], [100, 50, 100]].all()
    assert not is_drawn[[100, 70, 30], [100, 70, 30]].any()


def test_jpegs_keep_the_order_of_the_channels():
    data = encode_jpeg(np.full((20, 20, 3), RED, np.uint8))
    pixel = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[10, 10]
    assert np.allclose(pixel, RED[::-1], atol=15)
