from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import get_model

from ovsam.errors import ConfigError
from ovsam_pipeline.detectors.base import Detector, DetectorImage
from ovsam_pipeline.detectors.box_rules import clean
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.detectors.torchvision_files import is_cached, locate_weights
from ovsam_pipeline.detectors.torchvision_zoo import (
    TorchvisionDetector,
    build_torchvision_detector,
)
from ovsam_pipeline.errors import DetectorError
from ovsam_pipeline.records import ImageRecord

SMALLEST = "fasterrcnn_mobilenet_v3_large_320_fpn"
CATEGORIES = ("__background__", "person", "N/A", "dog")


class FixedNetwork(nn.Module):
    """Gives the same boxes for every image and notes what it was given."""

    def __init__(self, boxes, scores, labels):
        super().__init__()
        self.roi_heads = SimpleNamespace(score_thresh=0.05, detections_per_img=100)
        self.output = {
            "boxes": torch.tensor(boxes).reshape(-1, 4),
            "scores": torch.tensor(scores),
            "labels": torch.tensor(labels, dtype=torch.int64),
        }
        self.batches = []

    def forward(self, images):
        self.batches.append([tuple(image.shape) for image in images])
        self.last = images[-1]
        return [self.output for _ in images]


def make_detector(boxes=(), scores=(), labels=(), conf=0.3):
    network = FixedNetwork(boxes, scores, labels)
    settings = DetectorSettings(spec="torchvision:fixed", conf=conf, max_det=7)
    return TorchvisionDetector(network, "fixed", CATEGORIES, "0", settings)


def build(name, **settings):
    return build_torchvision_detector(DetectorSettings(spec="", argument=name, **settings))


def make_image(height=20, width=30, value=0):
    rgb = np.full((height, width, 3), value, np.uint8)
    return DetectorImage(ImageRecord(1, "a.jpg", Path("a.jpg")), rgb)


def test_boxes_come_best_first_with_names_and_coco_ids():
    detector = make_detector([[0.0, 0, 9, 9], [1, 1, 5, 5]], [0.5, 0.9], [1, 3])
    (found,) = detector.detect([make_image()])
    assert found.boxes_xyxy.tolist() == [[1, 1, 5, 5], [0, 0, 9, 9]]
    assert found.category_names == ("dog", "person")
    assert found.category_ids.tolist() == [3, 1]
    assert isinstance(detector, Detector)
    assert detector.class_names == ("person", "dog")
    assert detector.name == "torchvision:fixed"


def test_low_scores_slots_without_class_flat_boxes_and_nan_are_dropped():
    boxes = [[0.0, 0, 9, 9], [0, 0, 9, 9], [0, 0, 9, 9], [4, 4, 4, 9], [40, 0, 50, 9]]
    boxes += [[0, 0, float("nan"), 9]]
    scores, labels = [0.3, 0.29, 0.9, 0.9, 0.9, 0.9], [1, 1, 2, 1, 1, 1]
    (raw,) = make_detector(boxes, scores, labels).detect([make_image()])
    found, dropped = clean(raw, (20, 30), conf=0.3)
    assert found.boxes_xyxy.tolist() == [[0, 0, 9, 9]]
    assert found.scores.tolist() == pytest.approx([0.3])
    assert dropped == {
        "below --conf": 1,
        "not finite": 1,
        "no area": 1,
        "outside the image": 1,
    }


def test_thresholds_reach_the_network():
    detector = make_detector(conf=0.3)
    assert detector.network.roi_heads.score_thresh == pytest.approx(0.3, abs=1e-5)
    assert detector.network.roi_heads.score_thresh < 0.3
    assert detector.network.roi_heads.detections_per_img == 7


def test_images_of_one_size_run_together_and_others_apart():
    detector = make_detector()
    images = [make_image(), make_image(40, 30), make_image(), make_image(30, 20)]
    assert len(detector.detect(images)) == 4
    assert [len(batch) for batch in detector.network.batches] == [2, 1, 1]
    assert detector.detect([]) == []


def test_network_is_given_rgb_from_zero_to_one():
    detector = make_detector()
    rgb = np.zeros((20, 30, 3), np.uint8)
    rgb[..., 0] = 255
    rgb[..., 1] = 51
    detector.detect([DetectorImage(make_image().record, rgb)])
    assert detector.network.last.shape == (3, 20, 30)
    assert detector.network.last[:, 3, 4].tolist() == pytest.approx([1.0, 0.2, 0.0])


def test_unknown_model_is_a_configuration_error():
    with pytest.raises(
        ConfigError, match=r"got 'fasterrcnn_resnet50' \(did you mean 'fasterrcnn_resn"
    ):
        build("fasterrcnn_resnet50")


@pytest.fixture
def weights_path(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = locate_weights(SMALLEST)
    path.parent.mkdir(parents=True)
    return path


def test_downloading_says_nothing_on_stdout(weights_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.hub, "urlopen", lambda *_, **__: (_ for _ in ()).throw(URLError("x")))
    with pytest.raises(DetectorError):
        build(SMALLEST)
    assert capsys.readouterr().out == ""


def test_weights_that_cannot_be_fetched_are_explained(weights_path, monkeypatch):
    def refuse(*arguments, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "urlopen", refuse)
    reason = (
        r"cannot fetch .*mobilenet.* from https://download.pytorch.org.*no route to host.*put it"
    )
    with pytest.raises(DetectorError, match=reason):
        build(SMALLEST)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut off"])
def test_damaged_weights_are_explained(weights_path, content):
    weights_path.write_bytes(content)
    with pytest.raises(DetectorError, match=r"a file that does not load .*delete it"):
        build(SMALLEST)


def test_weights_of_another_model_are_explained(weights_path):
    torch.save({"a": torch.zeros(1)}, weights_path)
    with pytest.raises(DetectorError, match=r"a file that does not load .*Missing key"):
        build(SMALLEST)


def test_weights_that_run_code_are_refused(weights_path):
    class Harmful:
        def __reduce__(self):
            return (print, ("code ran",))

    torch.save({"a": Harmful()}, weights_path)
    with pytest.raises(DetectorError, match="a file that does not load"):
        build(SMALLEST)


def test_model_with_weights_from_the_cache_finds_boxes(weights_path):
    torch.manual_seed(0)
    network = get_model(SMALLEST, weights=None, weights_backbone=None, num_classes=91)
    torch.save(network.state_dict(), weights_path)
    assert is_cached(SMALLEST)
    assert not is_cached()
    detector = build(SMALLEST, conf=0.0, max_det=5)
    assert len(detector.class_names) == 80
    rng = np.random.default_rng(0)
    images = [
        DetectorImage(make_image().record, rng.integers(0, 256, (60, 90, 3), dtype=np.uint8))
        for _ in range(2)
    ]
    together = detector.detect(images)
    assert 0 < len(together[0]) <= 5
    for image, found in zip(images, together, strict=True):
        (alone,) = detector.detect([image])
        np.testing.assert_allclose(alone.boxes_xyxy, found.boxes_xyxy, atol=1e-2)
