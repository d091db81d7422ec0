"""`ovsam detect`, `--class-map`, `--relabel` as a user types them."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from fake_labeller import make_box_finder, write_images
from locations import DOUBLES, ROOT, SCENES

from ovsam_pipeline.labelling import build as builders
from ovsam_pipeline.output.folder import iterate_rows, list_parts

# pycocotools 2.0.11 with numpy 2.4: its own arrays lack the copy keyword.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def run_detect(run_ovsam, monkeypatch):
    monkeypatch.setattr(builders, "build_box_finder", make_box_finder)
    return lambda *arguments: run_ovsam("detect", *arguments)


def test_detect_says_what_it_did_where_it_is_and_what_comes_next(run_detect, images):
    found = run_detect(images)
    boxes = images.parent / "images_boxes"
    assert found.code == 0
    assert "6 with boxes (12 boxes), 0 empty, 0 failed" in found.out
    assert f", ovsam label SOURCE --detector boxes:{boxes}\n" in found.out
    assert "COCO" not in found.out
    assert "nothing to do: all 6 images have their boxes" in run_detect(images).out


def test_detect_prints_one_json_object_and_exits_3_where_images_failed(run_detect, images):
    (images / "broken.png").write_bytes(b"no picture")
    found = run_detect(images, "--json")
    summary = json.loads(found.out)
    assert (found.code, summary["exit_code"], summary["totals"]["failed"]) == (3, 3, 1)
    (images / "last.png").write_bytes((images / "0000.png").read_bytes())
    assert run_detect(images, "--max-failures", "0", "--retry-failed").code == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--conf", "2"], "expected --conf from 0 to 1, got 2.0"),
        (["--max-det", "0"], "expected --max-det of at least 1, got 0"),
    ],
)
def test_detect_refuses_what_cannot_work(run_detect, images, arguments, message):
    found = run_detect(images, *arguments)
    assert (found.code, found.out) == (2, "")
    assert message in found.err


def test_report_counts_the_classes_of_boxes(run_detect, run_ovsam, images):
    run_detect(images)
    counts = json.loads(run_ovsam("report", images.parent / "images_boxes", "--json").out)
    assert counts["classes"] == {"cat": 6, "wolf": 6}


@pytest.mark.slow
def test_killed_detection_goes_on_and_has_the_rows_of_a_quiet_run(tmp_path):
    write_images(tmp_path / "images", 24)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(DOUBLES)]),
        "FAKE_SECONDS": "0.1",
    }
    program = [sys.executable, DOUBLES / "fake_labeller.py", "detect", tmp_path / "images"]

    def start(name):
        command = [*program, "-o", tmp_path / name, "--part-images", "2"]
        return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    process = start("killed")
    while len(list_parts(tmp_path / "killed")) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    committed = {row["file_name"]: row for row in iterate_rows(tmp_path / "killed")}
    assert 4 <= len(committed) < 24
    assert [start(name).wait() for name in ("killed", "quiet")] == [0, 0]
    rows = list(iterate_rows(tmp_path / "killed"))
    quiet = {row["file_name"]: row for row in iterate_rows(tmp_path / "quiet")}
    assert len(rows) == 24
    assert {row["file_name"]: row for row in rows} == quiet
    assert committed.items() <= quiet.items()


@pytest.mark.slow
def test_detect_label_and_relabel_with_the_embedded_networks(run_command, tmp_path, monkeypatch):
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path / "cache"))
    images = tmp_path / "images"
    images.mkdir()
    for name in ("scene_0000.jpg", "scene_0001.jpg"):
        shutil.copy2(SCENES / name, images)
    boxes, direct, stored, new = (tmp_path / name for name in ("boxes", "direct", "stored", "new"))
    assert (
        run_command("detect", images, "-o", boxes, "--conf", "0.05", "--detector", "nano").code == 0
    )
    label = ("label", images, "--model", "nano")
    assert run_command(*label, "-o", direct).code == 0
    assert run_command(*label, "-o", stored, "--detector", f"boxes:{boxes}").code == 0
    rows = {row["file_name"]: row for row in iterate_rows(direct)}
    assert {row["file_name"]: row for row in iterate_rows(stored)} == rows
    assert sum(len(row["objects"]) for row in rows.values()) > 5
    assert run_command("label", "--relabel", direct, "-o", new).code == 0
    again = {row["file_name"]: row for row in iterate_rows(new)}
    for row in rows.values():
        for item in row["objects"]:
            # The mask comes from disk here: on some processors the last bit of a score differs.
            for name in ("score", "margin", "model_score"):
                item[name] = pytest.approx(item[name], abs=1e-6)
    assert again == rows


def test_names_that_the_vocabulary_lacks_are_listed_mapped_or_passed(
    run_command, tmp_path, monkeypatch
):
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path / "cache"))
    shutil.copy2(SCENES / "scene_0000.jpg", tmp_path)
    result = [{"file_name": "scene_0000.jpg", "bbox": [0, 4, 101, 83], "score": 0.9}]
    data = {
        "images": [{"id": 1, "file_name": "scene_0000.jpg"}],
        "annotations": [{**result[0], "id": 1, "image_id": 1, "category_id": 1}],
        "categories": [{"id": 1, "name": "peeper"}, {"id": 2, "name": "gryphon"}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(data))
    command = ["label", tmp_path / "scene_0000.jpg", "--vocabulary", "nano"]
    command += ["--model", "nano", "--detector", f"boxes:{tmp_path / 'boxes.json'}"]
    assert run_command(*command, "-o", tmp_path / "model").code == 0
    (own,) = next(iterate_rows(tmp_path / "model"))["objects"]
    (tmp_path / "map.yaml").write_text(f"peeper: {own['category']}\n")
    command += ["--labels", "fused"]
    found = run_command(*command, "-o", tmp_path / "a")
    assert (found.code, "are not in the vocabulary nano: peeper, gryphon" in found.err) == (2, True)
    found = run_command(*command, "-o", tmp_path / "a", "--class-map", tmp_path / "map.yaml")
    assert (found.code, "are not in the vocabulary nano: gryphon" in found.err) == (2, True)
    options = ["--class-map", tmp_path / "map.yaml", "--allow-unmatched", "-o", tmp_path / "a"]
    assert run_command(*command, *options).code == 0
    (item,) = next(iterate_rows(tmp_path / "a"))["objects"]
    assert (item["category"], item["detector_category"]) == (own["category"], "peeper")
    assert (item["detector_margin"], item["model_score"]) == (0, own["score"])
    assert item["score"] > item["model_score"]
    assert run_command(*command, "--allow-unmatched", "-o", tmp_path / "b").code == 0
    (item,) = next(iterate_rows(tmp_path / "b"))["objects"]
    assert (item["detector_category"], item["detector_margin"]) == ("peeper", None)
    assert item["score"] == item["model_score"]
    annotation = json.loads((tmp_path / "a" / "annotations.json").read_text())["annotations"][0]
    assert annotation["detector_category"] == "peeper"
    assert annotation["detector_margin"] == 0
    assert annotation["model_category"] == own["category"]
