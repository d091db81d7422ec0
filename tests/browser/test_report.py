"""Results and reports in a browser: read, clicked, printed; a file asks for nothing."""

import csv
import json

import cv2
import numpy as np
import pytest
from hostile_names import make_class_names
from reviewed_rows import HEIGHT, WIDTH, make_labelled, make_row, write_output
from scored_folder import make_scores

from ovsam_pipeline.ui.gallery.opened import OpenedOutput
from ovsam_pipeline.ui.report import write_labels_report, write_results_report
from ovsam_pipeline.ui.report_page import Section
from ovsam_pipeline.ui.results.data import read_results
from ovsam_pipeline.ui.results.routes import build_results_routes
from ovsam_pipeline.ui.security import Security
from ovsam_pipeline.ui.server import build_app

NUM_IMAGES = 40


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """A report of 40 images: each third has a dog, the first object of each is a cat."""
    folder = tmp_path_factory.mktemp("labels")
    rows = []
    for number in range(NUM_IMAGES):
        name = f"{number:02d}.jpg"
        cv2.imwrite(str(folder / name), np.full((HEIGHT, WIDTH, 3), 6 * number, np.uint8))
        objects = [make_labelled((5, 6, 10, 20), risk=number / NUM_IMAGES)]
        if number % 3 == 0:
            objects.append(make_labelled((30, 6, 10, 20), "dog", risk=0.1))
        rows.append(make_row(name, *objects, image_id=number + 1))
    settings = {"sources": [str(folder)]}
    output = write_output(folder / "out", *rows, settings=settings, working_folder="/")
    file = folder / "labels.html"
    section = Section("Classes", header=("class", "objects"), rows=[("<b>cat</b>", "40")])
    write_labels_report(OpenedOutput(output), file, "out", [section])
    return file


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    return make_scores(tmp_path_factory.mktemp("results") / "scores")


@pytest.fixture
def open_file(open_page):
    """Open a file; what it asks for, itself aside, is in `page.asked`."""

    def open_file(file, **options):
        page = open_page("about:blank", **options)
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(file.as_uri())
        page.asked.remove(file.as_uri())
        return page

    return open_file


def list_requests(page):
    return [url for url in page.asked if not url.startswith("data:")]


def test_a_report_of_labels_filters_from_the_disk(labels, open_file, shoot) -> None:
    page = open_file(labels)
    head = page.get_by_test_id("report-head")
    assert "<b>cat</b>" in head.inner_text()
    counts = page.get_by_test_id("counts")
    counts.get_by_text(f"{NUM_IMAGES} of {NUM_IMAGES} images").wait_for()
    drawn = page.locator(".card img").first
    drawn.wait_for()
    assert drawn.evaluate("image => image.decode().then(() => image.naturalWidth)") == WIDTH
    page.get_by_label("dog").first.check()
    counts.get_by_text(f"14 of {NUM_IMAGES} images").wait_for()
    shoot(page, "report_labels")
    assert list_requests(page) == []


def test_every_card_is_printed_with_its_masks(labels, open_file) -> None:
    page = open_file(labels)
    page.get_by_test_id("counts").get_by_text("40 of 40 images").wait_for()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    printed = page.locator(".print-grid .card")
    assert printed.count() == NUM_IMAGES
    assert page.locator(".print-grid .card path.mask").count() >= NUM_IMAGES
    assert page.locator(".gallery .filters").is_hidden()
    assert len(page.pdf(format="A4")) > 10_000
    assert list_requests(page) == []


def test_a_report_of_results_opens_curves_and_confusions(scores, open_file, shoot) -> None:
    file = scores.parent / "results.html"
    write_results_report(read_results(scores), file)
    page = open_file(file, width=390)
    check_results(page)
    shoot(page, "report_results_390", full_page=True)
    assert list_requests(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_results_from_the_server(scores, serve_app, open_page, shoot) -> None:
    page = open_page(serve_app(build_app(*build_results_routes(scores), Security.create())))
    check_results(page)
    # The dialog of the example: the whole image, or the part around the object.
    picture = page.locator(".example-dialog img")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 100
    page.get_by_test_id("closer").click()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 66
    shoot(page, "results_example")
    page.keyboard.press("Escape")
    page.get_by_test_id("pair-dialog").get_by_role("button", name="Close").click()
    shoot(page, "results", full_page=True)


def check_results(page) -> None:
    """Sort and filter classes, read a curve, open the example of a confusion."""
    rows = page.get_by_test_id("class-row")
    assert rows.locator("th").all_inner_texts() == ["cat", "dog, small"]
    page.get_by_role("button", name="IoU", exact=True).click()
    assert rows.locator("th").all_inner_texts() == ["dog, small", "cat"]
    page.get_by_test_id("class-filter").fill("dog")
    assert rows.count() == 1
    rows.get_by_role("button").click()
    assert page.get_by_test_id("curve-title").inner_text().endswith(": dog, small")
    page.get_by_test_id("class-filter").fill("cat")
    rows.get_by_role("button").click()
    page.get_by_label("Recall to read precision at").fill("25")
    reading = page.get_by_test_id("curve-reading").inner_text()
    # Of two cats one is found exactly and one is half, after a dog that was named cat.
    assert "At recall 25 %, precision at IoU .50: 100.0, IoU .75: 100.0" in reading
    page.get_by_test_id("pair").click()
    page.get_by_test_id("pair-dialog").get_by_test_id("example").click()
    facts = page.get_by_test_id("example-dialog").inner_text()
    assert "dog, small" in facts
    assert "cat 0.80" in facts
    shown = page.locator(".example-dialog [data-key]")
    assert sorted(shown.evaluate_all("all => all.map(one => one.dataset.key)")) == [
        "prediction",
        "truth",
    ]


def write_hostile_names(folder):
    """Give an evaluation 200 hostile classes, all confused with each other, in hostile files."""
    names = make_class_names()
    with (folder / "per_class.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["category_id", "name", "split", "frequency", "annotations", "iou"])
        writer.writerows([n, name, "base", "", 5, 0.5] for n, name in enumerate(names))
    path = folder / "examples.json"
    found = json.loads(path.read_text())
    [example] = found["confusions"][0]["examples"]
    found["images"][example["image"]]["file_name"] = names[0]
    found["confusions"] = [
        {"truth": name, "predicted": other, "count": 1, "examples": [example]}
        for name, other in zip(names, reversed(names), strict=True)
    ]
    counts = [[1] * 30] * 30
    found["matrix"] = {
        "classes": names[:30],
        "counts": counts,
        "others": [0] * 30,
        "missed": [0] * 30,
    }
    path.write_text(json.dumps(found))
    return names


def test_hostile_names_of_classes_and_files_stay_text(tmp_path, open_file, shoot) -> None:
    folder = make_scores(tmp_path / "scores")
    names = write_hostile_names(folder)
    file = tmp_path / "results.html"
    write_results_report(read_results(folder), file)
    page = open_file(file, width=390)
    page.get_by_test_id("classes").wait_for()
    shown = page.get_by_test_id("class-row").locator("bdi").all_text_contents()
    assert sorted(shown) == sorted(names)
    pairs = page.get_by_test_id("pair").locator("bdi").all_text_contents()
    assert sorted(pairs) == sorted([*names, *names])
    page.get_by_test_id("pair").first.click()
    page.get_by_test_id("pair-dialog").get_by_test_id("example").click()
    assert names[0] in page.get_by_test_id("example-dialog").locator("bdi").all_text_contents()
    shoot(page, "hostile_results_390")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("window.__ran") is None
    assert list_requests(page) == []
