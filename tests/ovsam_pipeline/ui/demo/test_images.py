"""Which images a demo has: those of its sources, and dropped files, here and on a store."""

import io

import numpy as np
import pytest
from PIL import Image

from ovsam.errors import ConfigError, ImageError
from ovsam_pipeline.storage.remote_path import parse_path
from ovsam_pipeline.ui.demo.images import DemoImages


def draw(colour=9, kind="PNG"):
    stream = io.BytesIO()
    Image.new("RGB", (6, 4), (colour, 2, 3)).save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def held():
    return []


def begin(output, held, sources=(), exclude=()):
    images = DemoImages(output, lambda: held.append(1))
    images.list_sources(sources, None, exclude)
    return images


def list_names(images):
    return [record.file_name for record in images.records]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("cat.png", "cat-"),
        ("../../etc/passwd", "passwd-"),
        ("C:\\photos\\cat.PNG", "cat-"),
        ("<img src=x onerror=alert(1)>.png", "_img src=x onerror=alert(1)_-"),
        ("-rf.png", "rf-"),
        (".hidden.png", "hidden-"),
        ("", "_-"),
        ("\u202egnp.exe\n.png", "gnp.exe_-"),
        ("x" * 500 + ".png", "x" * 60 + "-"),
        ("con.png", "_con-"),
    ],
)
def test_name_of_a_dropped_file_is_safe(tmp_path, held, given, kept):
    images = begin(tmp_path / "out", held)
    name = images.get(images.add_upload(given, draw())).file_name
    assert name.startswith(kept)
    assert name.endswith(".png")
    assert [path.name for path in (tmp_path / "out" / "uploads").iterdir()] == [name]


def test_suffix_is_that_of_the_content_where_it_says_nothing(tmp_path, held):
    images = begin(tmp_path / "out", held)
    names = [
        images.get(images.add_upload("scan.dat", draw(kind=kind))).file_name
        for kind in ("PNG", "JPEG", "WEBP")
    ]
    assert [name.rpartition(".")[2] for name in names] == ["png", "jpeg", "webp"]


def test_file_that_is_no_picture_leaves_nothing(tmp_path, held):
    images = begin(tmp_path / "out", held)
    with pytest.raises(ImageError):
        images.add_upload("a.png", b"no picture")
    assert (held, (tmp_path / "out").exists()) == ([], False)


def test_dropped_files_come_after_the_sources_and_come_again(tmp_path, held):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("b.png", "a.png", "left_out.png"):
        (folder / name).write_bytes(draw())
    images = begin(tmp_path / "out", held, [str(folder)], ["left_out.png"])
    assert list_names(images) == ["a.png", "b.png"]
    row = images.add_upload("a.png", draw(7))
    assert images.add_upload("other.png", draw(8)) == row + 1
    assert images.add_upload("a.png", draw(7)) == row
    assert held == [1, 1]
    assert images.read(row)(lambda _: None)[0, 0].tolist() == [7, 2, 3]
    again = begin(tmp_path / "out", held, [str(folder)], ["left_out.png"])
    assert sorted(list_names(again)) == sorted(list_names(images))
    for number in (-1, 4):
        with pytest.raises(ConfigError, match="expected an image from 0 to 3"):
            again.get(number)


def test_store(s3, held):
    s3.put("photos/a.png", draw())
    out = parse_path(f"{s3.uri}/out")
    images = begin(out, held, [f"{s3.uri}/photos"])
    row = images.add_upload("b.png", draw(7))
    assert images.read(row)(lambda _: None)[0, 0].tolist() == [7, 2, 3]
    assert np.array_equal(images.read(0)(lambda _: None)[0, 0], [9, 2, 3])
    assert list_names(begin(out, held, [f"{s3.uri}/photos"])) == list_names(images)
