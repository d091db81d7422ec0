"""Outlines of masks as SVG paths."""

import re

import cv2
import numpy as np
import pytest
from matplotlib.path import Path

from ovsam.masks import encode_mask
from ovsam_pipeline.ui.outlines import outline_path, outline_paths

SHAPE = (300, 400)


def fill(path, shape=SHAPE):
    """The pixels whose centres a path holds, by the rule evenodd."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    centres = np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], 1)
    inside = np.zeros(len(centres), bool)
    for ring in re.findall(r"M([^Z]*)Z", path):
        points = [[float(number) for number in point.split()] for point in ring.split("L")]
        inside ^= Path([*points, points[0]]).contains_points(centres)
    return inside.reshape(shape)


def measure_iou(mask, path):
    found = fill(path, mask.shape)
    return (found & mask).sum() / (found | mask).sum()


def draw_ring():
    """A disc of two parts: one with a hole in it, that has an island."""
    mask = np.zeros(SHAPE, np.uint8)
    cv2.circle(mask, (150, 150), 120, 1, -1)
    cv2.circle(mask, (160, 140), 60, 0, -1)
    cv2.circle(mask, (160, 140), 20, 1, -1)
    cv2.rectangle(mask, (350, 20), (390, 90), 1, -1)
    return mask.astype(bool)


@pytest.mark.parametrize("tolerance", [0.25, 1, 2])
def test_outline_keeps_holes_islands_and_parts(tolerance):
    mask = draw_ring()
    path = outline_path(encode_mask(mask), tolerance)
    assert path.count("M") == 4
    assert measure_iou(mask, path) > 0.98


def test_rectangle_is_exact():
    mask = np.zeros(SHAPE, bool)
    mask[20:33, 51:60] = True
    path = outline_path(encode_mask(mask), 5.0)
    assert sorted(re.findall(r"[\d.]+ [\d.]+", path)) == ["51 20", "51 33", "60 20", "60 33"]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_specks_keep_their_size(size):
    mask = np.zeros(SHAPE, bool)
    mask[:size, -size:] = True
    mask[-size:, :size] = True
    assert measure_iou(mask, outline_path(encode_mask(mask), 20.0)) == 1


def test_thin_lines_stay():
    mask = np.zeros(SHAPE, bool)
    mask[10:290, 200] = True
    mask[150, 10:390] = True
    assert measure_iou(mask, outline_path(encode_mask(mask), 20.0)) > 0.98


def test_coarser_is_shorter():
    rle = encode_mask(draw_ring())
    assert len(outline_path(rle, 3)) < len(outline_path(rle, 0.25))


def test_whole_image_and_nothing():
    whole, nothing = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
    paths = outline_paths([encode_mask(whole), encode_mask(nothing)], 1.0)
    assert measure_iou(whole, paths[0]) == 1
    assert paths[1] == ""


def test_damaged_mask_is_refused():
    with pytest.raises(ValueError, match="damaged"):
        outline_path({"size": [30, 40], "counts": "zz"}, 1.0)
