"""The embedded detector for photographs: its networks, and how their boxes are combined."""

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from ovsam.preprocess import PIXEL_MEAN, PIXEL_STD
from ovsam.text.vocabulary_files import load_vocabulary
from ovsam_pipeline.commands.contents import app
from ovsam_pipeline.detectors.base import Detector, DetectorImage
from ovsam_pipeline.detectors.build import build_detector
from ovsam_pipeline.detectors.photo import detector as photo
from ovsam_pipeline.detectors.photo.detector import PhotoDetector
from ovsam_pipeline.detectors.photo.nanodet import PIXEL_MEAN_BGR, PIXEL_STD_BGR
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.errors import DetectorError
from ovsam_pipeline.labelling.rules import LabelRules
from ovsam_pipeline.records import ImageRecord

ORIGINAL = Path(__file__).with_name("original.npz")


def build(weights=None, **settings) -> PhotoDetector:
    return PhotoDetector(DetectorSettings(spec="photo", **settings), weights)


@pytest.fixture(scope="module")
def detector() -> PhotoDetector:
    return build()


def wrap(rgb: np.ndarray) -> DetectorImage:
    return DetectorImage(ImageRecord(1, "a.png", Path("a.png")), rgb)


def draw_square() -> np.ndarray:
    """A square on grey: salient, and of none of COCO's classes (discs are stop signs)."""
    rgb = np.full((240, 320, 3), 200, np.uint8)
    rgb[60:180, 50:170] = 90, 60, 120
    return rgb


def draw_blocks(size: int) -> np.ndarray:
    """The picture of `scripts/photo/detector.py`."""
    blocks = np.random.default_rng(5).integers(0, 256, (size // 32, size // 32, 3), np.uint8)
    return blocks.repeat(32, axis=0).repeat(32, axis=1)


def normalise(pixels, mean, std) -> torch.Tensor:
    pixels = (pixels - np.array(mean, np.float32)) / np.array(std, np.float32)
    return torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)


def compare(found: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    difference = np.abs(found - expected)
    return float(np.median(difference)), float(difference.max())


@torch.inference_mode()
def test_networks_give_what_the_packages_own_graphs_gave(detector):
    # Recorded from the float graphs; ours differ from them by the bits of the stored weights.
    with np.load(ORIGINAL) as original:
        pixels = normalise(draw_blocks(416)[:, :, ::-1], PIXEL_MEAN_BGR, PIXEL_STD_BGR)
        scores, boxes = (output[0, original["cells"]] for output in detector.nanodet(pixels))
        saliency = detector.saliency(normalise(draw_blocks(320), PIXEL_MEAN, PIXEL_STD))[0]
        median, most = compare(scores.numpy(), original["scores"])
        assert median < 1e-4
        assert most < 0.01
        median, most = compare(boxes.numpy(), original["boxes"])
        assert median < 0.25
        assert most < 5
        median, most = compare(saliency.numpy()[::8, ::8], original["saliency"])
        assert median < 0.002
        assert most < 0.03


def test_detector_keeps_the_protocol_and_has_cocos_classes(detector):
    assert isinstance(detector, Detector)
    assert detector.class_names == load_vocabulary("coco").names
    assert detector.licence == "Apache-2.0"
    assert build_detector("photo").fingerprint == detector.fingerprint


def test_what_is_salient_is_a_box_without_a_class(detector):
    (found,) = detector.detect([wrap(draw_square())])
    assert None in found.category_names
    best = found.select(np.array([found.category_names.index(None)]))
    np.testing.assert_allclose(best.boxes_xyxy[0], [50, 60, 170, 180], atol=6)
    assert 0.4 < best.scores[0] <= 0.5


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 900), (900, 2)])
def test_images_of_any_size_give_boxes_in_their_pixels(detector, size_hw):
    (found,) = detector.detect([wrap(np.full((*size_hw, 3), 90, np.uint8))])
    assert np.isfinite(found.boxes_xyxy).all()


def test_no_images_and_a_blank_one_give_no_boxes(detector):
    assert detector.detect([]) == []
    (found,) = detector.detect([wrap(np.full((200, 300, 3), 128, np.uint8))])
    assert not (found.scores >= 0.25).any()


def test_grey_images_are_looked_at_too(detector):
    grey = cv2.cvtColor(draw_square(), cv2.COLOR_RGB2GRAY)
    (found,) = detector.detect([wrap(np.stack([grey] * 3, axis=2))])
    assert None in found.category_names


def test_boxes_do_not_depend_on_the_batch(detector):
    images = [wrap(draw_square()), wrap(draw_blocks(416)), wrap(draw_square()[::-1].copy())]
    together, alone = detector.detect(images), detector.detect(images[1:2])
    np.testing.assert_array_equal(together[1].boxes_xyxy, alone[0].boxes_xyxy)
    np.testing.assert_array_equal(together[1].scores, alone[0].scores)


def test_a_higher_conf_only_leaves_out_boxes(detector):
    image = wrap(draw_square())
    (low,), (high,) = build(conf=0.02).detect([image]), build(conf=0.3).detect([image])
    kept = low.select(np.flatnonzero(low.scores >= 0.25))
    same = high.select(np.flatnonzero(high.scores >= 0.25))
    assert len(low) > len(kept)
    np.testing.assert_array_equal(kept.boxes_xyxy, same.boxes_xyxy)
    assert kept.category_names == same.category_names


def test_saliency_is_left_out_where_it_could_add_nothing(monkeypatch, detector):
    def refuse(*_):
        raise AssertionError("the saliency network ran")

    monkeypatch.setattr(photo, "find_salient_boxes", refuse)
    build(conf=0.6).detect([wrap(draw_square())])  # no salient box scores that much
    whole = (np.array([[0, 0, 320, 200]], np.float32), np.array([0.3], np.float32), ("cat",))
    monkeypatch.setattr(detector, "_find_named", lambda _: whole)
    (found,) = detector.detect([wrap(draw_square())])
    assert found.category_names == ("cat",)


@pytest.mark.parametrize(
    ("box", "is_kept"),
    [((55, 62, 165, 178), False), ((0, 0, 250, 200), False), ((0, 60, 90, 180), True)],
    ids=["nearly the same", "around it", "less than half of it"],
)
def test_salient_boxes_that_a_confident_box_explains_are_left_out(
    monkeypatch, detector, box, is_kept
):
    monkeypatch.setattr(photo, "MOST_COVERED", 2.0)
    named = (np.array([box], np.float32), np.array([0.4], np.float32), ("cat",))
    monkeypatch.setattr(detector, "_find_named", lambda _: named)
    (found,) = detector.detect([wrap(draw_square())])
    assert (None in found.category_names) == is_kept


def test_settings_are_in_the_fingerprint(detector):
    assert build(conf=0.25, max_det=5).fingerprint == detector.fingerprint
    assert build(conf=0.3).fingerprint != detector.fingerprint


def test_weights_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(DetectorError, match=r"weights of the photo detector in .*none\.safet"):
        build(weights=tmp_path / "none.safetensors")


def test_boxes_without_a_class_are_the_models_to_name(detector):
    (found,) = detector.detect([wrap(draw_square())])
    coco = load_vocabulary("coco")
    matched = {name: index for index, name in enumerate(coco.names)}
    kept = {}
    for labels, passes in (("model", False), ("detector", False), ("detector", True)):
        rules = LabelRules(
            coco, labels=labels, detector_labels=matched, passes_unmatched=passes, conf=0.25
        )
        boxes, _ = rules.choose_boxes(found, (240, 320))
        kept[labels, passes] = None in boxes.category_names
    assert kept == {("model", False): True, ("detector", False): False, ("detector", True): True}


def test_the_command_labels_what_has_no_class_and_stores_it(tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(draw_square()).save(tmp_path / "images/square.png")

    def run(*command):
        result = CliRunner().invoke(app, [*map(str, command)])
        assert result.exit_code == 0, result.output

    images, boxes, out = (tmp_path / name for name in ("images", "boxes", "out"))
    run("detect", images, "-o", boxes, "--detector", "photo")
    (row,) = pq.read_table(boxes / "parts").to_pylist()
    assert None in [item["detector_category"] for item in row["objects"]]
    run("label", images, "-o", out, "--model", "nano", "--detector", f"boxes:{boxes}")
    (row,) = pq.read_table(out / "parts").to_pylist()
    (item,) = [item for item in row["objects"] if item["detector_category"] is None]
    assert item["category"] == item["model_category"]
    run("label", "--relabel", out, "-o", tmp_path / "again", "--vocabulary", "nano")
    names = list(load_vocabulary("coco").names)
    assert json.loads((boxes / "run.json").read_text())["class_names"] == names
    assert list(build_detector(f"boxes:{boxes}").class_names) == names
