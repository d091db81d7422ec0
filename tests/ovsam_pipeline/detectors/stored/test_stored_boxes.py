"""Boxes of an earlier run of ours that are labelled, and labelled again as the images grow."""

import json
import shutil
from dataclasses import replace

import pytest
from fake_labeller import FakeDetector, make_box_finder, make_labeller, write_images

import ovsam
import ovsam_pipeline
from ovsam.model_facts import ModelFacts
from ovsam_pipeline.detectors.build import build_detector
from ovsam_pipeline.labelling import build as builders
from ovsam_pipeline.labelling.provenance import describe_parts
from ovsam_pipeline.output.folder import iterate_rows
from ovsam_pipeline.settings.label import LabelConfig


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "images", 3)
    return tmp_path / "images"


def depend_on(config, detector):
    """What run.json says of the settings, as far as boxes are concerned."""
    values = {"detector": detector.name, "conf": config.conf, "max_det": config.max_det}
    return {**values, "detector_hash": detector.fingerprint}


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    def build(config, embedding=None):
        detector = FakeDetector()
        if config.detector.startswith("boxes:"):
            detector = build_detector(config.detector, conf=config.conf, max_det=config.max_det)
        return make_labeller(config, detector=detector, depends_on=depend_on(config, detector))

    def find(config, embedding):
        run = make_box_finder(config)
        settings = {"task": "detect", **depend_on(config, run.detector)}
        return replace(run, facts=replace(run.facts, depends_on=settings))

    monkeypatch.setattr(builders, "build_labeller", build)
    monkeypatch.setattr(builders, "build_box_finder", find)


def read(output):
    return {row["file_name"]: row for row in iterate_rows(output)}


def test_a_photo_that_was_added_and_detected_is_the_only_one_labelled(images, tmp_path):
    boxes, out = tmp_path / "boxes", tmp_path / "out"
    settings = {"output": out, "detector": f"boxes:{boxes}"}
    ovsam_pipeline.detect(images, output=boxes)
    assert ovsam_pipeline.label(images, **settings).summary.done == 3
    write_images(images, 0, ["later.png"])
    assert ovsam_pipeline.detect(images, output=boxes).summary.done == 1
    result = ovsam_pipeline.label(images, **settings)
    assert (result.summary.done, result.totals.labelled) == (1, 4)


def test_a_photo_that_was_not_detected_yet_fails_and_is_retried(images, tmp_path):
    boxes, out = tmp_path / "boxes", tmp_path / "out"
    settings = {"output": out, "detector": f"boxes:{boxes}"}
    ovsam_pipeline.detect(images, output=boxes)
    write_images(images, 0, ["later.png"])
    result = ovsam_pipeline.label(images, **settings)
    assert (result.totals.labelled, result.totals.failed) == (3, 1)
    assert "was not looked at there; run the same command" in read(out)["later.png"]["error"]
    ovsam_pipeline.detect(images, output=boxes)
    result = ovsam_pipeline.label(images, **settings, retry_failed=True)
    assert (result.summary.done, result.totals.labelled) == (1, 4)


def test_fingerprint_of_an_output_follows_its_settings_and_the_runs(images, tmp_path):
    def build(name, conf=0.5):
        return build_detector(f"boxes:{tmp_path / name}", conf=conf).fingerprint

    ovsam_pipeline.detect(images, output=tmp_path / "a")
    ovsam_pipeline.detect(images, output=tmp_path / "b", conf=0.3)
    ovsam_pipeline.label(images, output=tmp_path / "labels")
    assert len({build("a"), build("b"), build("labels"), build("a", 0.6)}) == 4
    assert build("a/parts") == build("a")
    shutil.copytree(tmp_path / "a/parts", tmp_path / "copy")
    assert build("copy") not in (build("a"), build("b"))


def test_labels_know_every_class_of_their_detector_and_so_do_their_boxes(images, tmp_path):
    class Detector(FakeDetector):
        class_names = ("cat", "wolf", "laptop")

    vocabulary, model = ovsam.Vocabulary(["cat"]), ModelFacts("nano", "1")
    parts = describe_parts(LabelConfig(sources=("x",), model="nano"), model, vocabulary, Detector())
    assert parts["class_names"] == ["cat", "wolf", "laptop"]
    Detector.class_names = None
    without = describe_parts(
        LabelConfig(sources=("x",), model="nano"), model, vocabulary, Detector()
    )
    assert without["class_names"] is None

    ovsam_pipeline.label(images, output=tmp_path / "out")
    run_file = tmp_path / "out" / "run.json"
    run_file.write_text(json.dumps(json.loads(run_file.read_text()) | parts))
    for where in ("out", "out/parts"):
        assert build_detector(f"boxes:{tmp_path / where}").class_names == ("cat", "wolf", "laptop")


def test_asking_for_more_than_was_stored_is_one_warning(images, tmp_path, caplog):
    ovsam_pipeline.detect(images, output=tmp_path / "boxes", conf=0.3)
    caplog.clear()
    spec = f"boxes:{tmp_path / 'boxes'}"
    build_detector(spec, conf=0.3, max_det=300)
    build_detector(spec, conf=0.5, max_det=20)
    assert caplog.text == ""
    build_detector(spec, conf=0.05, max_det=1000)
    (record,) = caplog.records
    assert record.getMessage().endswith(
        "begin at --conf 0.3, so --conf 0.05 finds no more and were made with --max-det 300, "
        "not 1000"
    )


def test_boxes_that_are_not_handed_out_are_counted_in_the_run(images, tmp_path):
    names = ["0000.png", "0001.png"]
    bboxes = [[0, 0, 9, 9], [500, 0, 9, 9], [float("nan"), 0, 9, 9], [0, 0, 0, 5], [1, 2]]
    rows = [{"file_name": name, "bbox": bbox, "score": 0.9} for name in names for bbox in bboxes]
    rows += [{"file_name": "elsewhere.png", "bbox": [1, 2]}]
    rows += [{"file_name": "0002.png", "bbox": [i / 9, 0, 9, 9], "score": 0.5} for i in range(25)]
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    settings = {"detector": f"boxes:{tmp_path / 'boxes.json'}", "max_det": 2}
    expected = {
        "not finite": 2, "no area": 2, "not four numbers and a score": 2, "outside the image": 2,
        "beyond --max-det": 5,
    }  # fmt: skip
    result = ovsam_pipeline.label(images, output=tmp_path / "out", **settings)
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    for dropped in (result.to_dict()["dropped_boxes"], run["dropped_boxes"]):
        assert expected.items() <= dropped.items()
    again = ovsam_pipeline.label(images, output=tmp_path / "out", **settings)
    assert (again.summary.done, again.dropped) == (0, {})


def test_stored_annotations_have_no_limits_to_warn_of(images, tmp_path, caplog):
    ovsam_pipeline.detect(images, output=tmp_path / "boxes", conf=0.3)
    run_file = tmp_path / "boxes" / "run.json"
    named = json.loads(run_file.read_text()) | {"detector": {"name": "gt:truth.json"}}
    run_file.write_text(json.dumps(named))
    caplog.clear()
    build_detector(f"boxes:{tmp_path / 'boxes'}", conf=0.05, max_det=1000)
    assert caplog.text == ""
