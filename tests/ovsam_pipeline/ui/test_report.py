"""Labels as one self-contained file."""

import base64
import json
import re

import cv2
import numpy as np
import pytest
from reviewed_rows import HEIGHT, WIDTH, answer, make_labelled, make_row, write_output

from ovsam.errors import ConfigError
from ovsam_pipeline.commands.report_page import write_html
from ovsam_pipeline.output.reviews import append_answers
from ovsam_pipeline.records import LabelRecord
from ovsam_pipeline.storage.remote_path import parse_path
from ovsam_pipeline.ui import report
from ovsam_pipeline.ui.gallery.opened import OpenedOutput
from ovsam_pipeline.ui.pictures import encode_picture
from ovsam_pipeline.ui.report import choose_images, shrink_picture, write_labels_report

HOSTILE = "</script><img src=x onerror=alert(1)>\u202e.jpg"
CAT = make_labelled((5, 6, 10, 20), risk=0.25)
DOG = make_labelled((30, 6, 10, 20), "dog", risk=0.75)


def make_output(folder, *names):
    """An output with a cat and a dog in each image; the pictures lie in the folder `pictures`."""
    pictures = folder.parent / "pictures"
    pictures.mkdir(exist_ok=True)
    rows = [make_row(name, CAT, DOG, image_id=n) for n, name in enumerate(names, 1)]
    for number, name in enumerate(names):
        path = pictures / name
        if "/" not in name:
            cv2.imencode(".jpg", np.full((HEIGHT, WIDTH, 3), 40 * number, np.uint8))[1].tofile(path)
    failed = LabelRecord(99, "torn.jpg", None, None, "failed", "torn at byte 7", (), "torn.jpg|1")
    settings = {"sources": [str(pictures)]}
    return write_output(folder, *rows, failed, settings=settings, working_folder="/")


def write(folder, limit=None, sections=()):
    path = folder.parent / "report.html"
    written = write_labels_report(OpenedOutput(folder), path, folder.name, sections, limit)
    return written, path.read_text()


def read_element(page, name):
    return re.search(f'<script type="[a-z/]+" id="{name}">(.*?)</script>', page, re.DOTALL)[1]


def test_images_are_in_the_page_in_the_order_of_the_index(tmp_path) -> None:
    written, page = write(make_output(tmp_path / "labels", "a.jpg", "b.jpg"))
    assert (written.num_images, written.num_all) == (3, 3)
    start = json.loads(read_element(page, "start"))
    assert (start["kind"], start["embedded"], start["can_answer"]) == ("gallery", True, False)
    assert (start["output"], start["images"], start["objects"]) == ("labels", 3, 4)
    images = json.loads(read_element(page, "images"))
    assert [image["row"] for image in images] == [0, 1, 2]
    assert [image["file_name"] for image in images] == ["a.jpg", "b.jpg", "torn.jpg"]
    assert [o["category"] for o in images[0]["objects"]] == ["cat", "dog"]
    assert images[0]["objects"][0]["path"].startswith("M")
    data = base64.b64decode(images[0]["thumbnail"].partition("base64,")[2])
    assert cv2.imdecode(np.frombuffer(data, np.uint8), 1).shape == (HEIGHT, WIDTH, 3)
    assert (images[2]["thumbnail"], images[2]["error"]) == (None, "torn at byte 7")
    header = base64.b64decode(read_element(page, "index"))
    assert b'"first_object"' in header


def test_answers_of_people_are_in_it(tmp_path) -> None:
    folder = make_output(tmp_path / "labels", "a.jpg")
    append_answers(folder, [answer("a.jpg", "dog", reviewed=CAT.segmentation)])
    _, page = write(folder)
    first = json.loads(read_element(page, "images"))[0]["objects"]
    assert [o["category"] for o in first] == ["dog", "dog"]
    assert {o["verdict"] for o in first} == {"renamed", None}


def test_hostile_names_end_no_script(tmp_path) -> None:
    # A name with a slash is no file's: the row is all there is of it.
    _, page = write(make_output(tmp_path / "labels", HOSTILE))
    assert HOSTILE not in page
    image = json.loads(read_element(page, "images"))[0]
    assert (image["file_name"], image["thumbnail"]) == (HOSTILE, None)


def test_a_sample_is_drawn_by_chance_and_always_the_same(tmp_path) -> None:
    assert choose_images(5, None) == [0, 1, 2, 3, 4]
    assert choose_images(5, 9) == [0, 1, 2, 3, 4]
    drawn = choose_images(100_000, 1000)
    assert drawn == sorted(set(drawn)) == choose_images(100_000, 1000)
    assert 45_000 < np.mean(drawn) < 55_000
    written, page = write(make_output(tmp_path / "labels", "a.jpg", "b.jpg"), limit=1)
    assert (written.num_images, written.num_all) == (1, 3)
    assert len(json.loads(read_element(page, "images"))) == 1


@pytest.mark.parametrize("limit", [None, 3000])
def test_too_many_images_are_a_sentence_with_what_to_do(limit) -> None:
    with pytest.raises(ConfigError, match=r"`ovsam view`, or draw .* --limit 2000"):
        choose_images(3000, limit)


def test_an_empty_output_has_a_page(tmp_path) -> None:
    written, page = write(write_output(tmp_path / "labels"))
    assert written.num_images == 0
    assert json.loads(read_element(page, "images")) == []


def test_labels_and_report_on_a_store(tmp_path, s3) -> None:
    folder = make_output(tmp_path / "labels", "a.jpg")
    for path in folder.rglob("*.*"):
        s3.put(f"labels/{path.relative_to(folder)}", path.read_bytes())
    target = f"{s3.uri}/reports/labels.html"
    assert write_html(f"{s3.uri}/labels", target, None, ()).startswith(f"{target}: 2 images, ")
    page = parse_path(target).read_bytes().decode("utf-8")
    assert json.loads(read_element(page, "start"))["output"] == "labels"
    images = json.loads(read_element(page, "images"))
    assert [len(image["objects"]) for image in images] == [2, 0]


def test_pictures_that_are_not_found_are_told(tmp_path, caplog) -> None:
    folder = make_output(tmp_path / "labels", "a.jpg", "b.jpg")
    write_html(str(folder), str(tmp_path / "whole.html"), None, ())
    assert not caplog.text
    (tmp_path / "pictures" / "b.jpg").unlink()
    write_html(str(folder), str(tmp_path / "part.html"), None, ())
    assert "1 image without a picture (" in caplog.text
    assert "--source PLACE" in caplog.text


def test_pictures_take_no_more_than_their_share() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 320, 3), np.uint8)
    large = encode_picture(noise)
    small = shrink_picture(large, 22_000)
    assert len(small.data) <= 22_000 < len(large.data)
    assert shrink_picture(large, 1 << 20) is large


def test_outlines_are_coarser_where_there_are_many(tmp_path, monkeypatch) -> None:
    folder = make_output(tmp_path / "labels", "a.jpg")
    _, exact = write(folder)
    monkeypatch.setattr(report, "_OUTLINE_BYTES", 0)
    monkeypatch.setattr(report, "_OUTLINE_SIDES", (640, 4))
    _, coarse = write(folder)
    assert len(read_element(coarse, "images")) <= len(read_element(exact, "images"))
