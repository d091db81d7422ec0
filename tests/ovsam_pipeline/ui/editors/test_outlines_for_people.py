"""Masks as polygons with few corners."""

import cv2
import numpy as np
import pytest
from seven_masks import make_seven_masks

from ovsam.masks import encode_mask
from ovsam_pipeline.export.mask_crops import crop_masks
from ovsam_pipeline.ui.editors.polygons import outline_object


def draw(polygons, shape):
    drawn = np.zeros(shape, np.uint8)
    for polygon in polygons:
        # Pixels are squares; OpenCV takes them as points in their middle.
        cv2.fillPoly(drawn, [np.rint(polygon - 0.5 + 1e-6).astype(np.int32)], 1)
    return drawn.astype(bool)


@pytest.mark.parametrize(("name", "mask"), make_seven_masks().items())
def test_polygons_lie_on_the_mask(name, mask):
    [crop] = crop_masks([encode_mask(mask)])
    polygons = outline_object(crop, pixels=1.0)
    assert len(polygons) == {"two parts": 2, "three parts": 3}.get(name, 1)
    assert all(len(polygon) >= 3 for polygon in polygons)
    found = draw(polygons, mask.shape)
    overlap = (found & mask).sum() / (found | mask).sum()
    assert overlap > (0.2 if name in ("one pixel", "line") else 0.93), overlap


def test_specks_and_pinholes_are_left_out():
    mask = np.zeros((100, 100), bool)
    mask[10:60, 10:60] = True
    mask[30, 30] = False  # a hole of one pixel
    mask[80, 80] = mask[90:92, 5:7] = True
    [crop] = crop_masks([encode_mask(mask)])
    [polygon] = outline_object(crop)
    assert sorted(map(tuple, polygon.tolist())) == [(10, 10), (10, 60), (60, 10), (60, 60)]


def test_object_in_pieces_has_some_of_them():
    mask = np.zeros((200, 200), bool)
    mask[::2, ::2] = True  # ten thousand parts of one pixel
    [crop] = crop_masks([encode_mask(mask)])
    assert 1 <= len(outline_object(crop)) <= 50


def test_a_share_of_the_outline_makes_fewer_corners():
    y, x = np.mgrid[:200, :200]
    [crop] = crop_masks([encode_mask(np.hypot(x - 100, y - 100) < 80)])
    counts = [len(outline_object(crop, share=share)[0]) for share in (0, 0.001, 0.01)]
    assert counts == sorted(counts, reverse=True)
    assert counts[2] < 20 < counts[0]
