import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from ovsam_pipeline.export.drawing.shapes import (
    draw_outline,
    draw_point,
    encode_jpeg,
    fill_shape,
    find_inner_point,
    resize_picture,
    shape_of_box,
    shape_of_mask,
)

GREY, RED = (128, 128, 128), (255, 0, 0)
HW = (200, 300)


def make_picture(height=200, width=300):
    return np.full((height, width, 3), GREY, np.uint8)


def encode(mask):
    return coco_mask.encode(np.asfortranarray(mask, np.uint8))


def make_ring():
    mask = np.zeros((200, 300), np.uint8)
    mask[50:150, 50:150] = 1
    mask[90:110, 90:110] = 0
    return mask


@pytest.mark.parametrize(
    "window", [None, (0, 0, 300, 200), (60, 40, 155, 95), (149, 149, 151, 151)]
)
def test_a_mask_of_the_picture_s_size_is_covered_where_it_was(window):
    mask = make_ring()
    left, top, right, bottom = window or (0, 0, 300, 200)
    shape = shape_of_mask(encode(mask), HW, (right - left, bottom - top), window)
    found = np.zeros((bottom - top, right - left), np.uint8)
    x0, y0, x1, y1 = shape.box
    found[y0:y1, x0:x1] = shape.coverage
    assert (found == 255 * mask[top:bottom, left:right]).all()
    assert shape.area == mask[top:bottom, left:right].sum()


def test_a_mask_that_the_window_does_not_show_has_no_shape():
    ring = encode(make_ring())
    assert shape_of_mask(ring, HW, (20, 20), (90, 90, 110, 110)) is None
    assert shape_of_mask(ring, HW, (20, 20), (200, 0, 220, 20)) is None
    assert shape_of_mask(encode(np.zeros((5, 5))), (5, 5), (5, 5)) is None


def test_a_mask_keeps_its_place_and_area_in_pictures_of_other_sizes():
    for scale in (0.25, 0.5, 3):
        size = round(300 * scale), round(200 * scale)
        shape = shape_of_mask(encode(make_ring()), HW, size)
        assert np.allclose(shape.box, np.array([50, 50, 150, 150]) * scale, atol=1)
        assert shape.area == pytest.approx(9600 * scale**2, rel=0.03)


def test_a_damaged_mask_is_refused():
    with pytest.raises(ValueError, match="damaged"):
        shape_of_mask({"size": [5, 5], "counts": "zzz"}, (5, 5), (5, 5))


def test_a_mask_of_another_image_is_refused_before_its_pixels_take_memory():
    vast = {"size": [10**7, 10**7], "counts": coco_mask.encode(np.zeros((1, 1), np.uint8, "F"))}
    with pytest.raises(ValueError, match="300 x 200 pixels"):
        shape_of_mask(vast, HW, (300, 200))


def test_a_mask_thinner_than_a_pixel_of_the_picture_has_a_border():
    mask = np.zeros((400, 400), np.uint8)
    mask[10:300, 200] = 1
    shape = shape_of_mask(encode(mask), (400, 400), (40, 40))
    assert np.concatenate(shape.outline)[:, 1].max() > 25


def test_outlines_follow_borders_and_holes():
    picture = make_picture()
    draw_outline(picture, shape_of_mask(encode(make_ring()), HW, (300, 200)), RED, 1)
    is_drawn = (picture != GREY).any(axis=-1)
    assert is_drawn[[50, 100, 89], [100, 50, 100]].all()
    assert not is_drawn[[100, 70, 30], [100, 70, 30]].any()


@pytest.mark.parametrize("ground", [0, 128, 255])
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), RED, (128, 128, 128)])
def test_outlines_show_on_every_ground(ground, colour):
    picture = np.full((200, 300, 3), ground, np.uint8)
    draw_outline(picture, shape_of_mask(encode(make_ring()), HW, (300, 200)), colour, 2)
    assert np.ptp(picture[46:56, 100].astype(int), axis=0).max() > 60


def test_dashes_leave_gaps_in_the_colour_but_not_in_the_rim():
    shape = shape_of_mask(encode(make_ring()), HW, (300, 200))
    pictures = [make_picture(), make_picture()]
    draw_outline(pictures[0], shape, RED, 2)
    draw_outline(pictures[1], shape, RED, 2, is_dashed=True)
    solid, dashed = ((p[50, 60:140] == RED).all(axis=-1).mean() for p in pictures)
    assert solid > 0.95
    assert 0.3 < dashed < 0.8
    assert (pictures[1][50, 60:140] != GREY).any(axis=-1).all()


def test_specks_of_a_mask_have_no_outline_but_a_mask_of_specks_has():
    mask = make_ring()
    mask[10:13, 10:13] = 1
    assert len(shape_of_mask(encode(mask), HW, (300, 200)).outline) == 2
    specks = np.zeros((200, 300), np.uint8)
    specks[10:13, 10:13] = 1
    assert len(shape_of_mask(encode(specks), HW, (300, 200)).outline) == 1


def test_a_fill_lets_the_picture_through():
    picture = make_picture()
    fill_shape(picture, shape_of_mask(encode(make_ring()), HW, (300, 200)), RED, 0.25)
    assert picture[70, 70].tolist() == [160, 96, 96]
    assert (picture[100, 100] == GREY).all(), "the hole"


def test_a_box_is_outlined_and_not_filled():
    picture = make_picture()
    shape = shape_of_box((20, 30, 120, 90))
    fill_shape(picture, shape, RED, 1)
    assert (picture == GREY).all()
    draw_outline(picture, shape, RED, 2)
    assert ((picture[[30, 60, 60], [60, 20, 119]] != GREY).any(axis=-1)).all()


def test_lines_lead_to_a_pixel_inside_the_shape():
    mask = make_ring()
    x, y = find_inner_point(shape_of_mask(encode(mask), HW, (300, 200)))
    assert mask[y, x]
    assert find_inner_point(shape_of_box((0, 0, 10, 20))) == (5, 10)


def test_a_point_is_drawn_on_a_rim_that_contrasts():
    picture = make_picture()
    draw_point(picture, (100, 80), (255, 255, 0), 2)
    assert (picture[80, 100] == (255, 255, 0)).all()
    assert (picture[80, 105] < 64).all()
    assert (picture[80, 110] == GREY).all()


def test_pixels_stay_pixels_where_a_picture_is_enlarged_a_lot():
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0] = 255
    assert set(np.unique(resize_picture(image, (60, 60)))) == {0, 255}
    assert len(np.unique(resize_picture(image, (8, 8)))) > 2


def test_jpegs_keep_the_order_of_the_channels():
    data = encode_jpeg(np.full((20, 20, 3), RED, np.uint8))
    pixel = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[10, 10]
    assert np.allclose(pixel, RED[::-1], atol=15)
