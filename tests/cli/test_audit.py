"""`ovsam audit` as a user types it."""

import json

import pytest
from audit_example import write_asked, write_data, write_found
from fake_labeller import NAMES, make_labeller

from ovsam_pipeline.detectors.build import build_detector
from ovsam_pipeline.labelling import build as builders


def test_the_summary_names_piles_and_the_worst(run_ovsam, tmp_path) -> None:
    data, found, asked = write_data(tmp_path), write_found(tmp_path), write_asked(tmp_path)
    out = tmp_path / "audit"
    done = run_ovsam("audit", data, "--predictions", found, "--asked", asked, "-o", out)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "7 annotations of 3 images compared with 7 objects of ours: 6 findings"
    assert [line.split() for line in lines[1:7]] == [
        ["pile", "kind", "findings", "above", ".5"],
        ["more", "missing", "1", "1"],
        ["fewer", "unsupported", "1", "1"],
        ["different", "box", "1", "1"],
        ["names", "name", "1", "1"],
        ["names", "swapped", "2", "2"],
    ]
    assert lines[7] == "the most suspicious:"
    assert "exchanged?" in lines[8]
    assert f"results: {out}" in lines


def test_json_is_one_object_and_not_asking_is_told(run_ovsam, tmp_path) -> None:
    data, found = write_data(tmp_path), write_found(tmp_path)
    given = ("audit", data, "--predictions", found, "-o", tmp_path / "audit")
    told = json.loads(run_ovsam(*given, "--json").out)
    assert (told["annotations"], told["annotations_asked"], told["exit_code"]) == (7, 0, 0)
    assert "the model was not asked about the annotated boxes" in run_ovsam(*given).out


def test_wrong_data_sets_are_one_sentence(run_ovsam, tmp_path) -> None:
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "cut.json").write_text('{"images": [')
    for arguments, sentence in (
        (("a.json", "b.json"), "expected one DATASET"),
        ((tmp_path / "no.json",), "expected a data set's name or a COCO file"),
        ((tmp_path / "list.json",), "got a list"),
        ((tmp_path / "cut.json",), "the file ends in the middle"),
    ):
        done = run_ovsam("audit", *arguments, "-o", tmp_path / "audit")
        assert done.code == 2
        assert sentence in done.err
        assert "Traceback" not in done.err


@pytest.fixture
def data(images, monkeypatch):
    """A data set of six pictures with the box that the fake detector finds surest, and fakes."""

    def build(config, embedding=None):
        is_asked = config.detector.startswith("gt:")
        settings = {"conf": config.conf, "max_det": config.max_det}
        return make_labeller(
            config, detector=build_detector(config.detector, **settings) if is_asked else None
        )

    monkeypatch.setattr(builders, "build_labeller", build)
    names = sorted(path.name for path in images.iterdir())
    box = [0, 0, 16, 12]
    data = {
        "images": [
            {"id": i, "file_name": name, "height": 24, "width": 31 + i}
            for i, name in enumerate(names, 1)
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": box, "area": 9, "iscrowd": 0}
            for i in range(1, 7)
        ],
        "categories": [{"id": k, "name": name} for k, name in enumerate(NAMES, 1)],
    }
    path = images / "annotations.json"
    path.write_text(json.dumps(data))
    return path


def test_without_predictions_the_images_and_the_boxes_are_labelled(run_command, data, tmp_path):
    command = ("audit", data, "-o", tmp_path / "audit", "--model", "nano", "--least", 0)
    done = run_command(*command, "--worst", 3)
    assert (done.code, done.out.splitlines()[0]) == (
        0, "6 annotations of 6 images compared with 12 objects of ours: 12 findings",
    )  # fmt: skip
    assert len(list((tmp_path / "audit" / "worst").glob("*.jpg"))) == 3
    told = json.loads(run_command(*command, "--worst", 0, "--json").out)
    assert told["annotations_asked"] == 6
    # Nothing is labelled twice.
    assert [run["labelled"] for run in told["labelling"]] == [0, 0]
    assert not list((tmp_path / "audit" / "worst").glob("*"))


def test_a_broken_image_is_left_out_and_told_by_the_exit_code(run_command, data, tmp_path) -> None:
    next(data.parent.glob("*.png")).write_bytes(b"no picture")
    done = run_command("audit", data, "-o", tmp_path / "audit", "--model", "nano")
    assert done.code == 3
    assert "1 image without labels of ours left out" in done.out
