"""Labelling and training see the same pixels of the same file."""

import cv2
import numpy as np
import pytest
from PIL import Image

from ovsam.decode import decode_bytes, decode_file
from ovsam.errors import ImageError
from ovsam.training.data.picture_files import decode_picture, read_picture
from ovsam_pipeline.sources.read_image import decode_image


def draw(path, mode):
    """A small picture in which what a careless decoder changes is visible."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (24, 32, 3), np.uint8)
    image = Image.fromarray(cv2.GaussianBlur(pixels, (0, 0), 2))
    if mode == "RGBA":
        image.putalpha(Image.fromarray(rng.integers(0, 256, (24, 32), np.uint8)))
    elif mode == "P":
        image = image.quantize(16)
    elif mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, (24, 32), np.uint16))
    elif mode != "RGB":
        image = image.convert(mode)
    image.save(path)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.png", "RGB"), ("a.png", "RGBA"), ("a.png", "LA"), ("a.png", "P"), ("a.png", "I;16"),
        ("a.jpg", "RGB"), ("a.jpg", "CMYK"), ("a.jpg", "L"), ("a.webp", "RGBA"), ("a.tif", "RGB"),
    ],
)  # fmt: skip
def test_training_and_labelling_decode_alike(tmp_path, name, mode) -> None:
    path = tmp_path / name
    draw(path, mode)
    expected = decode_image(path)
    np.testing.assert_array_equal(read_picture(path), expected)
    np.testing.assert_array_equal(decode_picture(path.read_bytes(), name), expected)
    np.testing.assert_array_equal(decode_bytes(path.read_bytes()), expected)


def test_transparency_is_laid_on_white(tmp_path) -> None:
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 0))
    image.putpixel((1, 0), (200, 0, 0, 255))
    image.save(tmp_path / "a.png")
    assert decode_file(tmp_path / "a.png").tolist() == [[[255, 255, 255], [200, 0, 0]]]
    assert read_picture(tmp_path / "a.png")[0, 0].tolist() == [255, 255, 255]


def test_a_picture_that_cannot_be_read_is_named(tmp_path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"cannot read the picture .*a\.jpg \(image 7\): expected"):
        read_picture(tmp_path / "a.jpg", "image 7")
    with pytest.raises(ImageError, match=r"cannot read the picture .*b\.jpg: file not found"):
        read_picture(tmp_path / "b.jpg")
