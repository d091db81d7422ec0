from itertools import product

import numpy as np
import pytest

from ovsam_pipeline.export.drawing.labels import (
    _ON_PAPER,
    CHECKED,
    DOUBT,
    PAPER,
    PLAIN,
    PLATE,
    PLATE_OPACITY,
    QUIET,
    Label,
    add_legend,
    annotate,
    write_remark,
)
from ovsam_pipeline.export.drawing.shapes import shape_of_box

RED = (255, 0, 0)


def make_picture(height=480, width=640):
    return np.full((height, width, 3), 128, np.uint8)


def make_shapes(count, height=480, width=640, seed=0):
    rng = np.random.default_rng(seed)
    shapes = []
    for _ in range(count):
        x, y = int(rng.integers(0, width - 40)), int(rng.integers(0, height - 40))
        shapes.append(shape_of_box((x, y, x + 40, y + 40)))
    return shapes


def label(name="cat", colour=RED):
    return Label(name, ((".50", QUIET), ("risk .71", DOUBT)), colour)


def measure_contrast(one, other):  # WCAG 2.2
    light = []
    for colour in (one, other):
        share = np.array(colour) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        light.append(float(linear @ (0.2126, 0.7152, 0.0722)) + 0.05)
    return max(light) / min(light)


@pytest.mark.parametrize("colour", [PLAIN, QUIET, DOUBT, CHECKED])
def test_every_text_contrasts_with_its_plate_on_any_ground_and_with_paper(colour):
    for ground in product((0, 255), repeat=3):
        mixed = np.array(ground) * (1 - PLATE_OPACITY) + np.array(PLATE) * PLATE_OPACITY
        assert measure_contrast(colour, tuple(mixed)) >= 4.5
    assert measure_contrast(_ON_PAPER[colour], PAPER) >= 4.5


def test_few_names_are_written_on_the_picture_and_many_below_it():
    few = annotate(make_picture(), make_shapes(5), [label()] * 5, 12)
    many = annotate(make_picture(), make_shapes(100), [label()] * 100, 12)
    assert few.shape == (480, 640, 3)
    assert many.shape[1] == 640
    assert many.shape[0] > 500
    assert (many[480:483] == 255).all()


def test_a_name_too_long_for_the_picture_is_shortened():
    picture = annotate(make_picture(), make_shapes(1), [label("x" * 500)], 12)
    changed = (picture != 128).any(axis=(0, 2)).sum()
    assert 100 < changed < 640 * 0.8


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (320, 8)])
def test_a_picture_without_room_for_text_has_it_below(size):
    picture = annotate(make_picture(*size), [shape_of_box((0, 0, 1, 1))], [label()], 12)
    assert picture.shape[0] > size[0] + 12
    assert picture.shape[1] >= 200
    assert (write_remark(make_picture(*size), "no objects", 12) < 128).any()


def test_a_legend_has_a_patch_of_each_class_and_its_numbers():
    blue = (0, 0, 255)
    whole = add_legend(make_picture(10, 640), [label("cat")] * 2 + [label("dog", blue)], 12)
    for colour in (RED, blue):
        assert (whole[10:] == colour).all(axis=-1).sum() == 144
    assert len(add_legend(make_picture(10, 640), [label()] * 60, 12)) > len(whole)
    assert add_legend(make_picture(10, 640), [], 12).shape == (10, 640, 3)


@pytest.mark.parametrize("width", [1, 100, 290, 310, 640])
def test_the_longest_name_leaves_room_for_the_rest_of_its_piece(width):
    shapes = [shape_of_box((0, 0, width, 40))] * 120
    long = Label("W" * 300, ((".50", QUIET), ("risk .71", DOUBT)), RED)
    whole = annotate(make_picture(40, width), shapes, [long] * 120, 12)
    assert (whole[45:, -7:] == 255).all()
    assert (whole[45:] != 255).any()


def test_a_remark_of_no_objects_stands_in_a_corner():
    picture = write_remark(make_picture(), "no objects", 12)
    assert (picture[:30, :90] < 64).all(axis=-1).any()
    assert (picture[100:] == 128).all()
