"""`--model sam-b`, whose objects the detector names, and a nano that cannot name the vocabulary."""

import json
import shutil

import pytest
from locations import SCENES
from tiny_sam import put_tiny_sam

from ovsam_pipeline.output.folder import iterate_rows, list_parts

TRUTH = SCENES / "annotations.json"
OF_THE_MODEL = ("model_category", "model_score", "margin", "detector_margin")

# pycocotools 2.0.11 with numpy 2.4: its own arrays lack the copy keyword.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DETECTOR = """
import numpy as np
from ovsam_pipeline.detectors.base import Detections, Detector


class Mine(Detector):
    name, fingerprint, class_names, device = "mine", "1", NAMES, "cpu"

    def detect(self, images):
        boxes = np.array([[4, 4, 60, 70], [80, 30, 150, 120]], np.float32)
        found = Detections(boxes, np.array([0.9, 0.6], np.float32), NAMES)
        return [found for _ in images]


def build_detector(settings):
    return Mine()
"""


@pytest.fixture
def sam(tmp_path, monkeypatch):
    return put_tiny_sam(tmp_path / "cache", monkeypatch)


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    for path in sorted(SCENES.glob("*.jpg"))[:3]:
        shutil.copy(path, tmp_path / "images")
    return tmp_path / "images"


def write_detector(folder, *names):
    path = folder / "mine.py"
    path.write_text(f"NAMES = {names!r}\n{DETECTOR}")
    return f"python:{path}"


def collect(out):
    return [item for row in iterate_rows(out) for item in row["objects"]]


def test_sam_gives_the_masks_and_the_detector_the_names(run_command, tmp_path, sam, images):
    detector = write_detector(tmp_path, "dog", "gryphon")
    out = tmp_path / "out"
    command = ("label", images, "-o", out, "--model", "sam-b", "--detector", detector)
    found = run_command(*command, "--preview", "1")  # --labels auto is detector for a SAM
    assert found.code == 0, found.err
    assert found.err.count("The detector alone names objects") == 1
    assert "the model sam-b cannot name them" in found.err
    objects = collect(out)
    assert {(x["category"], x["score"]) for x in objects} <= {("dog", 0.9), ("gryphon", 0.6)} | {
        ("dog", 0.8999999761581421), ("gryphon", 0.6000000238418579)
    }  # fmt: skip
    assert len(objects) >= 3
    assert all(item[name] is None for item in objects for name in OF_THE_MODEL)
    run = json.loads((out / "run.json").read_text())
    assert (run["model"]["name"], run["model"]["licence"]) == ("sam-b", "Apache-2.0")
    annotations = json.loads((out / "annotations.json").read_text())["annotations"]
    assert len(annotations) == len(objects)
    assert all(not set(OF_THE_MODEL) & item.keys() for item in annotations)
    assert run_command("report", out).code == 0


def test_sam_by_path_goes_on_where_a_run_by_name_stopped(run_command, tmp_path, sam, images):
    """Names and paths of the same weights have the same fingerprint, and parts are read back."""
    detector, out = write_detector(tmp_path, "dog", "cat"), tmp_path / "out"
    common = ("-o", out, "--detector", detector, "--labels", "detector", "--vocabulary", "coco")
    moved = sorted(images.iterdir())[0]
    moved.rename(tmp_path / moved.name)
    assert run_command("label", images, *common, "--model", "sam-b").code == 0
    before = {path.name for path in list_parts(out)}
    (tmp_path / moved.name).rename(moved)
    found = run_command("label", images, *common, "--model", sam, "--json")
    assert found.code == 0, found.err
    assert json.loads(found.out)["labelled"] + json.loads(found.out)["empty"] == 1
    assert before < {path.name for path in list_parts(out)}
    assert len(list(iterate_rows(out))) == 3


def test_eval_measures_the_masks_of_a_sam(run_command, tmp_path, sam):
    out = tmp_path / "scores"
    command = (
        "eval",
        "--dataset",
        TRUTH,
        "--model",
        "sam-b",
        "--labels",
        "detector",
        "--limit",
        "2",
    )
    found = run_command(*command, "-o", out, "--no-plots", "--worst", "1", "--json")
    assert found.code == 0, found.err
    assert json.loads(found.out)["metrics"]["instances"]["iou"] >= 0
    assert all(item[name] is None for item in collect(out / "predictions") for name in OF_THE_MODEL)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "--labels detector needs a detector that names its boxes"),
        (("--labels", "model"), "--labels model needs a model that names objects, and sam-b is a"),
        (("--labels", "fused"), "give --labels detector and a --detector that names its boxes"),
        (("--labels", "detector", "--allow-unmatched"), "--allow-unmatched needs a model that"),
        (("--labels", "detector"), "--labels detector needs a detector that names its boxes"),
    ],
)
def test_sam_is_refused_where_it_would_have_to_name(
    run_command, tmp_path, sam, images, options, expected
):
    command = ("label", images, "-o", tmp_path / "out", "--model", "sam-b", "--detector", "nano")
    found = run_command(*command, *options)
    assert found.code == 2
    assert expected in found.err
    assert "Traceback" not in found.err


def test_sam_by_path_is_refused_alike(run_command, tmp_path, sam, images):
    found = run_command("label", images, "-o", tmp_path / "out", "--model", sam)
    assert found.code == 2
    assert "is a SAM, which gives masks alone; give --labels detector" in found.err


def test_masks_of_a_sam_get_names_by_relabel_with_a_model_that_names(
    run_command, tmp_path, sam, images
):
    detector, out = write_detector(tmp_path, "dog", "cat"), tmp_path / "out"
    command = ("label", images, "-o", out, "--model", "sam-b", "--detector", detector)
    assert run_command(*command, "--labels", "detector").code == 0
    again = ("label", "--relabel", out, "-o", tmp_path / "again", "--labels", "detector")
    refused = run_command(*again)
    assert refused.code == 2
    assert "--relabel needs a model that names objects, and sam-b is a SAM" in refused.err
    named = run_command(*again, "--model", "nano", "--vocabulary", "nano")
    assert named.code == 0, named.err
    objects = collect(tmp_path / "again")
    assert len(objects) == len(collect(out))
    assert all(item[name] is not None for item in objects for name in OF_THE_MODEL)


def test_nano_leaves_names_that_it_does_not_know_to_the_detector(run_command, tmp_path, images):
    detector, out = write_detector(tmp_path, "dog", "person"), tmp_path / "out"
    command = ("label", images, "-o", out, "--model", "nano", "--detector", detector)
    command += ("--vocabulary", "coco")
    found = run_command(*command, "--labels", "detector")
    assert found.code == 0, found.err
    assert "the model nano cannot name them (the model nano knows only its own" in found.err
    objects = collect(out)
    assert {item["category"] for item in objects} == {"dog", "person"}
    assert all(item[name] is None for item in objects for name in OF_THE_MODEL)
    for options in ((), ("--labels", "fused"), ("--labels", "detector", "--allow-unmatched")):
        refused = run_command(*command, *options, "--on-existing", "overwrite")
        assert refused.code != 0
        assert "knows only its own" in refused.err


def test_nano_keeps_its_own_opinion_where_it_knows_the_names(run_command, tmp_path, images):
    detector, out = write_detector(tmp_path, "dog", "cat"), tmp_path / "out"
    command = ("label", images, "-o", out, "--model", "nano", "--detector", detector)
    found = run_command(*command, "--labels", "detector")
    assert found.code == 0
    assert "alone names objects" not in found.err
    objects = collect(out)
    assert all(item[name] is not None for item in objects for name in OF_THE_MODEL)
