from itertools import combinations

import numpy as np
import pytest

from ovsam_pipeline.export.drawing.placement import place_labels


def make_border(left, top, right, bottom):
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)


def make_layout(seed, count, size_wh):
    rng = np.random.default_rng(seed)
    width, height = size_wh
    borders = []
    for _ in range(count):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        w, h = rng.uniform(1, 1 + width / 3), rng.uniform(1, 1 + height / 3)
        borders.append(make_border(x, y, min(x + w, width), min(y + h, height)))
    sizes = [(int(rng.integers(12, 130)), 16) for _ in range(count)]
    return sizes, borders, rng.random((height, width)).astype(np.float32)


def overlap(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


SIZES = [(640, 480), (480, 640), (3200, 320), (200, 200), (100, 40), (1, 1)]


@pytest.mark.parametrize("size_wh", SIZES)
@pytest.mark.parametrize("count", [1, 12, 100])
def test_labels_never_overlap_nor_leave_the_picture(count, size_wh):
    for seed in range(2):
        sizes, borders, ink = make_layout(seed, count, size_wh)
        places = place_labels(sizes, borders, ink)
        boxes = [place.box for place in places if place is not None]
        assert not any(overlap(a, b) for a, b in combinations(boxes, 2))
        for place, size in zip(places, sizes, strict=True):
            if place is not None:
                left, top, right, bottom = place.box
                assert (right - left, bottom - top) == size
                assert min(left, top) >= 0
                assert (right <= size_wh[0], bottom <= size_wh[1]) == (True, True)


@pytest.mark.parametrize("seed", range(5))
def test_every_label_has_a_place_while_they_cover_an_eighth_of_the_picture(seed):
    sizes, borders, ink = make_layout(seed, 40, (640, 480))
    assert sum(w * h for w, h in sizes) > 640 * 480 / 8
    assert None not in place_labels(sizes, borders, ink)


def test_a_label_stands_at_its_object_without_a_line_where_there_is_room():
    place = place_labels([(40, 16)], [make_border(100, 100, 200, 150)], np.zeros((300, 300)))[0]
    assert (place.box[3], place.is_led) == (98, False)


def test_a_label_avoids_what_must_be_seen():
    ink = np.zeros((300, 300), np.float32)
    ink[60:100, :] = 1
    place = place_labels([(40, 16)], [make_border(100, 100, 200, 150)], ink)[0]
    assert place.box[1] >= 100


def test_a_line_leads_to_a_label_that_finds_no_room_at_its_object():
    border = make_border(100, 100, 110, 110)
    places = place_labels([(60, 40)] * 12, [border] * 12, np.zeros((300, 300), np.float32))
    assert [place.is_led for place in places[:3]] == [False] * 3
    assert places[-1].is_led


def test_a_label_larger_than_the_picture_has_no_place():
    assert place_labels([(50, 9)], [make_border(0, 0, 9, 9)], np.zeros((10, 40))) == [None]
