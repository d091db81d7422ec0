"""Pictures of rows, reduced and kept."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from ovsam.errors import ImageError
from ovsam_pipeline.ui import pictures
from ovsam_pipeline.ui.pictures import Pictures

ORIENTATION = 0x0112


def write_photo(path, size=(1200, 800), orientation=1):
    """A photo whose left half is red."""
    image = Image.new("RGB", size, "white")
    image.paste("red", (0, 0, size[0] // 2, size[1]))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image.save(path, exif=exif)
    return path


def open_picture(picture):
    return Image.open(io.BytesIO(picture.data))


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_picture_is_upright_and_small(tmp_path, suffix):
    path = write_photo(tmp_path / f"a{suffix}", orientation=6)
    picture = Pictures().get(path, 100)
    opened = open_picture(picture)
    assert (opened.size, opened.format) == ((67, 100), "WEBP")
    red, white = opened.getpixel((30, 10)), opened.getpixel((30, 90))
    assert red[1] < 60
    assert white[1] > 200


def test_large_picture_is_a_jpeg_and_never_enlarged(tmp_path):
    path = write_photo(tmp_path / "a.png")
    opened = open_picture(Pictures().get(path, 5000))
    assert (opened.size, opened.format) == ((1200, 800), "JPEG")


def test_gone_picture_is_a_sentence_and_may_come_back(tmp_path):
    kept, path = Pictures(), tmp_path / "a.jpg"
    with pytest.raises(ImageError, match="moved or deleted"):
        kept.get(path, 100)
    write_photo(path)
    assert kept.get(path, 100).data


def test_cut_jpeg_is_left_to_the_decoder(tmp_path):
    path = write_photo(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ImageError):
        Pictures().get(path, 100)


def test_least_recent_pictures_go(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(pictures, "read_pixels", lambda place, side: made.append(place) or PIXELS)
    one = len(pictures.encode_picture(PIXELS).data)
    kept = Pictures(most_bytes=2 * one)
    for name in "abacab":
        kept.get(tmp_path / name, 100)
    assert [place.name for place in made] == ["a", "b", "c", "b"]


def test_two_who_ask_at_once_wait_for_one(tmp_path, monkeypatch):
    made = []

    def read(place, side):
        made.append(place)
        return PIXELS

    monkeypatch.setattr(pictures, "read_pixels", read)
    kept = Pictures()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: kept.get(tmp_path / "a", 100), range(32)))
    assert len(made) == 1
    assert len({picture.data for picture in found}) == 1


PIXELS = np.zeros((20, 30, 3), np.uint8)
