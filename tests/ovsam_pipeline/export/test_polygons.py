"""Masks → polygons → masks, by pycocotools and by OpenCV, on shapes that break tracers."""

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from seven_masks import make_seven_masks

from ovsam_pipeline.export.polygons import trace_edges, trace_points

SEVEN = make_seven_masks()


def make_noise(seed: int) -> np.ndarray:
    """Specks, holes in holes, pixels that touch at corners: (h, w) bool."""
    rng = np.random.default_rng(seed)
    noise = (rng.random(rng.integers(1, 30, 2)) < rng.uniform(0.2, 0.8)).astype(np.uint8)
    return (cv2.morphologyEx(noise, cv2.MORPH_CLOSE, np.ones((3, 3))) if seed % 2 else noise) > 0


def fill_by_edges(pixels: np.ndarray) -> np.ndarray:
    rings = [ring.reshape(-1).astype(float).tolist() for ring in trace_edges(pixels)]
    if not rings:
        return np.zeros_like(pixels)
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(rings, *pixels.shape))) > 0


def fill_by_points(pixels: np.ndarray) -> np.ndarray:
    mask = np.zeros(pixels.shape, np.uint8)
    cv2.fillPoly(mask, [trace_points(pixels)], 1)
    return mask > 0


@pytest.mark.parametrize("name", SEVEN)
def test_edges_of_the_seven_masks_are_exact_for_pycocotools(name):
    assert np.array_equal(fill_by_edges(SEVEN[name]), SEVEN[name])


def test_edges_of_noise_are_exact_one_polygon_a_part():
    for seed in range(150):
        pixels = make_noise(seed)
        assert np.array_equal(fill_by_edges(pixels), pixels), seed
        num_parts = cv2.connectedComponents(pixels.astype(np.uint8), connectivity=4)[0] - 1
        assert len(trace_edges(pixels)) == num_parts


def test_points_of_one_part_are_exact_for_opencv_with_all_holes():
    num_tried = 0
    for seed in range(300):
        pixels = make_noise(seed)
        if cv2.connectedComponents(pixels.astype(np.uint8), connectivity=8)[0] == 2:
            num_tried += 1
            assert np.array_equal(fill_by_points(pixels), pixels), seed
    assert num_tried > 50


def test_points_of_several_parts_lose_only_the_lines_between_them():
    pixels = np.zeros((20, 60), bool)
    pixels[5:15, 5:15] = pixels[5:15, 25:35] = pixels[5:15, 45:55] = True
    extra = fill_by_points(pixels) & ~pixels
    assert not (pixels & ~fill_by_points(pixels)).any()
    assert extra.sum() == 10 + 10


def test_thousands_of_specks_are_joined_once_each():
    pixels = np.zeros((240, 180), bool)
    pixels[::3, ::3] = True
    filled = fill_by_points(pixels)
    assert filled[pixels].all()
    assert cv2.connectedComponents(filled.astype(np.uint8), connectivity=8)[0] == 2


def test_nothing_has_no_polygon():
    assert trace_edges(np.zeros((3, 4), bool)) == []
    assert trace_points(np.zeros((3, 4), bool)).shape == (0, 2)
    assert trace_points(np.zeros((0, 0), bool)).shape == (0, 2)
