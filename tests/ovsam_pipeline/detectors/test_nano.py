"""The embedded detector on the example scenes."""

import json

import numpy as np
import pytest
from locations import SCENES
from PIL import Image, ImageOps

from ovsam_pipeline.detectors.base import Detector, DetectorImage
from ovsam_pipeline.detectors.box_rules import clean
from ovsam_pipeline.detectors.nano import NanoDetector
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.errors import DetectorError
from ovsam_pipeline.records import ImageRecord


def _read(name: str) -> DetectorImage:
    with Image.open(SCENES / name) as picture:
        rgb = np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    return DetectorImage(ImageRecord(image_id=1, file_name=name, path=SCENES / name), rgb)


def _truth(name: str) -> np.ndarray:
    content = json.loads((SCENES / "annotations.json").read_text())
    image_id = next(image["id"] for image in content["images"] if image["file_name"] == name)
    rows = [row["bbox"] for row in content["annotations"] if row["image_id"] == image_id]
    boxes = np.array(rows)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    return overlap / (areas[0][:, None] + areas[1] - overlap)


def build(weights=None, **settings) -> NanoDetector:
    return NanoDetector(DetectorSettings(spec="nano", **settings), weights)


@pytest.fixture(scope="module")
def detector() -> NanoDetector:
    return build()


def test_detector_keeps_the_protocol(detector):
    assert isinstance(detector, Detector)
    assert detector.class_names is None


def test_most_objects_of_the_examples_are_found(detector):
    names = sorted(path.name for path in SCENES.glob("scene_*"))[:8]
    best = [
        _iou(_truth(name), found.boxes_xyxy).max(axis=1, initial=0)
        for name, found in zip(names, detector.detect([_read(n) for n in names]), strict=True)
    ]
    assert (np.concatenate(best) > 0.5).mean() > 0.75


def test_boxes_stay_inside_and_do_not_depend_on_the_batch(detector):
    images = [_read("scene_0001.jpg"), _read("scene_0003.jpg")]
    together, alone = detector.detect(images), detector.detect(images[1:])
    np.testing.assert_array_equal(together[1].boxes_xyxy, alone[0].boxes_xyxy)
    height, width = images[0].rgb.shape[:2]
    assert (together[0].boxes_xyxy >= 0).all()
    assert (together[0].boxes_xyxy <= [width, height, width, height]).all()


def test_threshold_and_limit_hold(detector):
    image = _read("scene_0001.jpg")
    (raw,) = build(conf=0.9, max_det=2).detect([image])
    strict, _ = clean(raw, image.rgb.shape[:2], conf=0.9)
    assert len(strict) <= len(raw) <= 2
    assert (strict.scores >= 0.9).all()
    assert strict.scores.tolist() == sorted(strict.scores.tolist(), reverse=True)


def test_settings_are_in_the_fingerprint(detector):
    assert build(conf=0.25).fingerprint == detector.fingerprint
    assert build(conf=0.3).fingerprint != detector.fingerprint


def test_no_images_give_no_detections(detector):
    assert detector.detect([]) == []


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(DetectorError, match=r"none\.safetensors"):
        build(weights=tmp_path / "none.safetensors")
