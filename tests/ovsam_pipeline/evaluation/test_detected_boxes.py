"""Boxes of `ovsam detect` measured by themselves: what a detector finds, before labelling."""

import json
from dataclasses import replace

import pytest
from fake_labeller import FakeDetector, make_box_finder, write_images

import ovsam_pipeline
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.labelling import build as builders
from ovsam_pipeline.output.folder import iterate_rows


@pytest.fixture
def detect(tmp_path, monkeypatch):
    """Detect boxes on three images; returns the output and a truth of all that was found."""
    write_images(tmp_path / "images", 3)

    def run(**more):
        monkeypatch.setattr(builders, "build_box_finder", lambda config, _: make_box_finder(config))
        output = ovsam_pipeline.detect(tmp_path / "images", output=tmp_path / "boxes").output
        images, annotations, names = [], [], ("wolf", "cat")
        for row in iterate_rows(output):
            size = {"width": row["width"], "height": row["height"]}
            images.append({"id": len(images) + 1, "file_name": row["file_name"], **size, **more})
            for item in row["objects"]:
                box = [float(value) for value in item["bbox"]]
                number = 1 + names.index(item["detector_category"] or "cat")
                ids = {"id": len(annotations) + 1, "image_id": len(images), "category_id": number}
                annotations.append({**ids, "bbox": box, "area": box[2] * box[3]})
        classes = [{"id": k, "name": name} for k, name in enumerate(names, 1)]
        data = {"images": images, "annotations": annotations, "categories": classes}
        (tmp_path / "truth.json").write_text(json.dumps(data))
        return output

    return run


def evaluate(tmp_path, output):
    settings = {"plots": False, "worst": 0, "output": tmp_path / "scores"}
    settings["predictions"] = str(output)
    return ovsam_pipeline.evaluate(tmp_path / "truth.json", **settings).metrics


def test_boxes_with_classes_are_measured_by_class(tmp_path, detect) -> None:
    found = evaluate(tmp_path, detect())
    assert found["metrics"]["bbox"]["AP"] == pytest.approx(1)
    assert found["metrics"]["bbox"]["AR@100"] == pytest.approx(1)
    assert (found["protocol"]["class_agnostic"], list(found["metrics"])) == (False, ["bbox"])
    assert found["matching"] == {"images": 3, "matched": 3, "by": {"name": 3}}


def test_boxes_without_classes_are_measured_whatever_the_class(
    tmp_path, monkeypatch, detect
) -> None:
    detections = FakeDetector.detect

    def detect_without_names(self, images):
        return [replace(found, category_names=None) for found in detections(self, images)]

    monkeypatch.setattr(FakeDetector, "detect", detect_without_names)
    found = evaluate(tmp_path, detect())
    assert found["metrics"]["bbox"]["AR@100"] == pytest.approx(1)
    assert found["protocol"]["class_agnostic"] is True
    assert "counterpart" not in json.dumps(found)  # of classes nothing is said
    detect(neg_category_ids=[])
    with pytest.raises(DatasetError, match="cannot be measured by LVIS's rules"):
        evaluate(tmp_path, tmp_path / "boxes")
