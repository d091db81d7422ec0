import cv2
import numpy as np
import pytest

from ovsam_pipeline.sources.perceptual_hash import compute_phash


def count_bits_apart(first: int, second: int) -> int:
    return ((first ^ second) & (1 << 64) - 1).bit_count()


@pytest.fixture
def picture():
    coarse = np.random.default_rng(5).integers(0, 256, (12, 16, 3), np.uint8)
    return cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC)


def test_a_picture_that_looks_the_same_differs_in_few_bits(picture):
    half = cv2.resize(picture, (160, 120), interpolation=cv2.INTER_AREA)
    brighter = cv2.convertScaleAbs(picture, alpha=0.8, beta=25)
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    before = compute_phash(picture)
    assert compute_phash(picture.copy()) == before
    for copy in (half, brighter, cv2.imdecode(encoded, cv2.IMREAD_COLOR)):
        assert count_bits_apart(before, compute_phash(copy)) <= 4


def test_another_picture_differs_in_about_half_of_the_bits(picture):
    assert 20 <= count_bits_apart(compute_phash(picture), compute_phash(picture[::-1])) <= 44


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 500), (7, 2), (40_000, 3)])
def test_any_size_has_a_hash_of_64_bits_with_a_sign(size_hw):
    pixels = np.random.default_rng(1).integers(0, 256, (*size_hw, 3), np.uint8)
    assert -(1 << 63) <= compute_phash(pixels) < 1 << 63


def test_half_of_the_bits_are_set(picture):
    assert (compute_phash(picture) & (1 << 64) - 1).bit_count() == 32
