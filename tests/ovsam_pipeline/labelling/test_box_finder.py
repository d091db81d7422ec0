"""`ovsam detect` and what `ovsam label` makes of its boxes, with fakes for the networks."""

import json
from contextlib import contextmanager
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
from fake_labeller import FakeDetector, make_box_finder, make_labeller, write_images

import ovsam_pipeline
from ovsam.errors import ConfigError
from ovsam_pipeline.detectors.base import Detections
from ovsam_pipeline.detectors.build import build_detector
from ovsam_pipeline.errors import OutputError, OutputLockedError
from ovsam_pipeline.export.coco import export_coco
from ovsam_pipeline.labelling import build as builders
from ovsam_pipeline.labelling.build import build_box_finder
from ovsam_pipeline.monitoring.stopping import StopRequest
from ovsam_pipeline.output.folder import OutputFolder, iterate_rows, list_parts
from ovsam_pipeline.output.parts import BOX_SCHEMA
from ovsam_pipeline.runs.api import run_detect
from ovsam_pipeline.settings.label import LabelConfig


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "images", 7)
    write_images(tmp_path / "images", 0, ["empty.png"])
    (tmp_path / "images" / "broken.png").write_bytes(b"no picture")
    return tmp_path / "images"


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    """Fakes for the networks; boxes from files are read in earnest."""

    def build(config, embedding=None):
        if not config.detector.startswith("boxes:"):
            return make_labeller(config)
        read = build_detector(config.detector, conf=config.conf, max_det=config.max_det)
        return make_labeller(config, detector=read)

    monkeypatch.setattr(builders, "build_box_finder", make_box_finder)
    monkeypatch.setattr(builders, "build_labeller", build)


class OddDetector(FakeDetector):
    """Boxes whose corners are no round numbers."""

    def _detect(self, name, rgb):
        dice = np.random.default_rng(len(name))
        starts, sides = dice.random((40, 2)) * 20, dice.random((40, 2)) * 9 + 1e-3
        boxes = np.concatenate([starts, starts + sides], 1).astype(np.float32)
        scores = np.sort(dice.random(40).astype(np.float32))[::-1].copy()
        return Detections(boxes, scores, ("cat", "wolf") * 20, category_ids=np.arange(40))


def read(output):
    return {row["file_name"]: row for row in iterate_rows(output)}


def test_labels_from_stored_boxes_are_those_of_the_detector_itself(images, tmp_path):
    ovsam_pipeline.detect(images, output=tmp_path / "boxes", conf=0.05)
    ovsam_pipeline.label(images, output=tmp_path / "direct")
    detector = f"boxes:{tmp_path / 'boxes'}"
    ovsam_pipeline.label(images, output=tmp_path / "stored", detector=detector)
    direct, stored = read(tmp_path / "direct"), read(tmp_path / "stored")
    assert len(direct) == 9
    assert stored == direct


def test_stored_boxes_scores_and_names_come_back_bit_for_bit(images, tmp_path, monkeypatch):
    odd = OddDetector()
    monkeypatch.setattr(builders, "build_box_finder", partial(make_box_finder, detector=odd))
    ovsam_pipeline.detect(images / "0000.png", output=tmp_path / "boxes", conf=0.0)
    rgb = np.zeros((24, 32, 3), np.uint8)
    (expected,) = [odd._detect("0000.png", rgb)]
    table = build_detector(f"boxes:{tmp_path / 'boxes'}", conf=0.0).table
    np.testing.assert_array_equal(table.boxes_xyxy, expected.boxes_xyxy)
    np.testing.assert_array_equal(table.scores, expected.scores)
    assert table.class_names == ("cat", "wolf")
    (row,) = iterate_rows(tmp_path / "boxes")
    assert [item["detector_category_id"] for item in row["objects"]] == list(range(40))
    assert row["objects"][1]["detector_category"] == "wolf"


def test_a_higher_threshold_needs_no_new_detection(images, tmp_path):
    ovsam_pipeline.detect(images, output=tmp_path / "boxes", conf=0.05)
    detector = f"boxes:{tmp_path / 'boxes'}"
    result = ovsam_pipeline.label(images, output=tmp_path / "out", detector=detector, conf=0.8)
    assert (result.totals.labelled, result.totals.objects) == (7, 7)  # 0.9 and 0.6 each


def test_boxes_have_their_own_schema_and_no_coco_file(images, tmp_path):
    result = ovsam_pipeline.detect(images, output=tmp_path / "boxes")
    assert (result.exit_code, result.totals.objects) == (3, 14)
    assert not (tmp_path / "boxes" / "annotations.json").exists()
    assert "annotations" not in result.to_dict()
    (part,) = list_parts(tmp_path / "boxes")
    assert pq.read_schema(part).equals(BOX_SCHEMA)
    run = json.loads((tmp_path / "boxes" / "run.json").read_text())
    assert (run["task"], run["class_names"]) == ("detect", ["cat", "wolf"])
    (failure,) = (tmp_path / "boxes" / "failures.jsonl").read_text().splitlines()
    assert json.loads(failure)["file_name"] == "broken.png"


def test_interrupted_and_taken_up_again_it_has_the_rows_of_a_quiet_run(images, tmp_path):
    config = LabelConfig(sources=(str(images),), output=str(tmp_path / "boxes"), part_images=2)
    stop = StopRequest()
    seen = []

    class Stopping(FakeDetector):
        def _detect(self, name, rgb):
            seen.append(name)
            if len(seen) == 3:
                stop.set()
            return super()._detect(name, rgb)

    @contextmanager
    def stopping():
        yield stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builders, "build_box_finder", partial(make_box_finder, detector=Stopping()))
        first = run_detect(config, stopping=stopping())
    assert first.exit_code == 130
    assert 0 < first.summary.done < 9
    second = run_detect(config)
    assert second.summary.done == 9 - first.summary.done
    ovsam_pipeline.detect(images, output=tmp_path / "quiet")
    assert read(tmp_path / "boxes") == read(tmp_path / "quiet")
    assert run_detect(config).summary.done == 0


def test_new_images_alone_are_looked_at(images, tmp_path):
    ovsam_pipeline.detect(images, output=tmp_path / "boxes")
    write_images(images, 0, ["later.png"])
    result = ovsam_pipeline.detect(images, output=tmp_path / "boxes")
    assert (result.summary.done, result.totals.images) == (1, 10)


def test_other_settings_into_the_same_boxes_are_refused(images, tmp_path):
    ovsam_pipeline.detect(images, output=tmp_path / "boxes")
    expected = (
        r"boxes was made with other settings: conf \(0.25 before, 0.05 now\).*to detect every"
    )
    with pytest.raises(ConfigError, match=expected):
        ovsam_pipeline.detect(images, output=tmp_path / "boxes", conf=0.05)
    with pytest.raises(ConfigError, match="holds boxes of `ovsam detect`"):
        ovsam_pipeline.label(images, output=tmp_path / "boxes")


def test_stored_boxes_go_by_content_and_not_by_path(images, tmp_path):
    ovsam_pipeline.detect(images, output=tmp_path / "boxes")
    (tmp_path / "there").symlink_to(tmp_path / "boxes")
    specs = [f"boxes:{tmp_path / name}" for name in ("boxes", "there")]
    first, second = (
        build_box_finder(LabelConfig(sources=("x",), detector=spec, device="cpu")) for spec in specs
    )
    assert first.facts.fingerprint == second.facts.fingerprint
    assert first.facts.depends_on["detector"] == "boxes"
    assert [finder.facts.provenance["detector"]["name"] for finder in (first, second)] == specs


def test_two_runs_do_not_write_one_folder(images, tmp_path):
    with OutputFolder(tmp_path / "boxes"), pytest.raises(OutputLockedError):
        ovsam_pipeline.detect(images, output=tmp_path / "boxes")


def test_an_image_that_the_detector_failed_on_is_not_one_without_objects(tmp_path):
    write_images(tmp_path / "images", 0, ["detector_bug.png", "good.png"])
    ovsam_pipeline.detect(tmp_path / "images", output=tmp_path / "boxes")
    detector = f"boxes:{tmp_path / 'boxes'}"
    ovsam_pipeline.label(tmp_path / "images", output=tmp_path / "out", detector=detector)
    rows = read(tmp_path / "out")
    assert rows["good.png"]["status"] == "labelled"
    assert rows["detector_bug.png"]["status"] == "failed"
    assert "no boxes in boxes:" in rows["detector_bug.png"]["error"]
    assert "KeyError" in rows["detector_bug.png"]["error"]


def test_boxes_of_a_run_that_did_not_end_are_used_with_a_warning(images, tmp_path, caplog):
    ovsam_pipeline.detect(images, output=tmp_path / "boxes")
    run_file = tmp_path / "boxes" / "run.json"
    run_file.write_text(json.dumps(json.loads(run_file.read_text()) | {"state": "running"}))
    build_detector(f"boxes:{tmp_path / 'boxes'}")
    assert "are not complete (running): run the same ovsam detect again" in caplog.text


def test_points_and_annotation_ids_are_stored_and_come_back(images, tmp_path, monkeypatch):
    class Pointing(FakeDetector):
        def _detect(self, name, rgb):
            found = super()._detect(name, rgb)
            if not len(found):
                return found
            points = np.array([[3, 4], [20.5, 6]], np.float32)
            return Detections(
                found.boxes_xyxy, found.scores, found.category_names, points, None,
                np.array([71, 72]),
            )  # fmt: skip

    monkeypatch.setattr(builders, "build_box_finder", partial(make_box_finder, detector=Pointing()))
    ovsam_pipeline.detect(images / "0000.png", output=tmp_path / "boxes")
    table = build_detector(f"boxes:{tmp_path / 'boxes'}").table
    assert table.points_xy.tolist() == [[3, 4], [20.5, 6]]
    assert table.prompt_ids.tolist() == [71, 72]


def test_a_folder_of_boxes_is_no_folder_of_labels(images, tmp_path):
    ovsam_pipeline.detect(images, output=tmp_path / "boxes")
    with pytest.raises(OutputError, match="holds boxes of ovsam detect and no labels"):
        export_coco(tmp_path / "boxes", tmp_path / "coco.json")
    with pytest.raises(ConfigError, match="holds boxes of ovsam detect and no masks to keep"):
        ovsam_pipeline.label(relabel=str(tmp_path / "boxes"))
