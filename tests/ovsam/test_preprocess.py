import numpy as np
import pytest
import torch

from ovsam.errors import ImageError
from ovsam.preprocess import (
    PIXEL_MEAN,
    PIXEL_STD,
    prepare_image,
    resized_size_hw,
    to_network_input,
)


def test_network_input_is_normalised_and_padded_with_zeros() -> None:
    image = np.full((16, 32, 3), 100, np.uint8)
    batch = to_network_input([prepare_image(image, 32)])
    assert batch.shape == (1, 3, 32, 32)
    expected = (100 - np.array(PIXEL_MEAN)) / np.array(PIXEL_STD)
    torch.testing.assert_close(
        batch[0, :, 3, 5].double(), torch.from_numpy(expected), atol=1e-5, rtol=0
    )
    assert batch[0, :, 16:].abs().max() == 0


def test_prepared_image_knows_both_sizes() -> None:
    prepared = prepare_image(np.zeros((10, 20, 3), np.uint8), 64)
    assert prepared.original_size_hw == (10, 20)
    assert prepared.input_size_hw == (32, 64)
    assert prepared.scale_xy == (3.2, 3.2)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"\(H, W, 3\) RGB array, got \(4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "uint8 in 0..255, got float32"),
        (np.zeros((0, 4, 3), np.uint8), "must have pixels, got size 4 x 0"),
        ([[1]], "got <class 'list'>"),
    ],
)
def test_wrong_images_are_refused(image, message) -> None:
    with pytest.raises(ImageError, match=message):
        prepare_image(image, 64)


@pytest.mark.parametrize(
    ("size_hw", "expected"),
    [
        ((480, 640), (768, 1024)),
        ((600, 420), (1024, 717)),
        ((1, 4000), (1, 1024)),
        ((3, 3), (1024, 1024)),
    ],
)
def test_longer_side_becomes_the_input_size(size_hw, expected) -> None:
    assert resized_size_hw(size_hw, 1024) == expected
