import base64

import cv2
import numpy as np
import pytest

from ovsam_pipeline.sources.perceptual_hash import NUM_FREQUENCIES, PerceptualHash, compute_phash


def compute(picture: np.ndarray) -> PerceptualHash:
    found = compute_phash(picture)
    assert found is not None
    return found


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
    framed = cv2.copyMakeBorder(picture, 9, 9, 9, 9, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    before = compute(picture)
    assert compute(picture.copy()) == before
    for copy in (half, brighter, framed, cv2.imdecode(encoded, cv2.IMREAD_COLOR)):
        assert count_bits_apart(before.bits, compute(copy).bits) <= 4


def test_another_picture_differs_in_about_half_of_the_bits(picture):
    assert 20 <= count_bits_apart(compute(picture).bits, compute(picture[::-1]).bits) <= 44


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 500), (7, 2), (40_000, 3)])
def test_any_size_has_a_hash_of_64_bits_with_a_sign(size_hw):
    pixels = np.random.default_rng(1).integers(0, 256, (*size_hw, 3), np.uint8)
    found = compute_phash(pixels)
    assert found is None or -(1 << 63) <= found.bits < 1 << 63


def test_half_of_the_bits_are_set_and_the_largest_frequency_is_127(picture):
    bits, detail = compute(picture)
    assert (bits & (1 << 64) - 1).bit_count() == 32
    frequencies = np.frombuffer(base64.b64decode(detail), np.int8)
    assert frequencies.shape == (NUM_FREQUENCIES,)
    assert abs(frequencies).max() == 127


def test_an_image_of_one_colour_has_no_look():
    assert compute_phash(np.full((200, 300, 3), 255, np.uint8)) is None
    assert compute_phash(np.zeros((1, 1, 3), np.uint8)) is None


def test_margins_are_cut_off_where_they_are_at_most_an_eighth(picture):
    narrow = cv2.copyMakeBorder(picture, 30, 30, 40, 40, cv2.BORDER_CONSTANT, value=(9, 9, 9))
    assert compute(narrow) == compute(picture)
    wide = cv2.copyMakeBorder(picture, 80, 80, 90, 90, cv2.BORDER_CONSTANT, value=(9, 9, 9))
    assert count_bits_apart(compute(wide).bits, compute(picture).bits) > 4
