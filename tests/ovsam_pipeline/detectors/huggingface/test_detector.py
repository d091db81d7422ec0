"""Sentences of `hf:`; they hold with and without transformers."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from ovsam.errors import ConfigError, MissingDependencyError
from ovsam.text.vocabulary_files import parse_vocabulary
from ovsam_pipeline.detectors.base import Detector, DetectorImage
from ovsam_pipeline.detectors.huggingface import detector as huggingface
from ovsam_pipeline.detectors.huggingface.detector import HuggingFaceDetector, build_hf_detector
from ovsam_pipeline.detectors.huggingface.finder import Candidates
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.errors import DetectorError
from ovsam_pipeline.records import ImageRecord


def build(argument, **settings):
    return build_hf_detector(DetectorSettings(spec=f"hf:{argument}", argument=argument, **settings))


class FakeTransformers:
    """Stands where transformers would: names a model type, or fails."""

    def __init__(self, model_type="", failure=None):
        self.AutoConfig = self
        self.logging = SimpleNamespace(
            get_verbosity=int,
            set_verbosity=lambda level: None,
            set_verbosity_error=lambda: None,
            is_progress_bar_enabled=bool,
            disable_progress_bar=lambda: None,
        )
        self.model_type, self.failure = model_type, failure

    def from_pretrained(self, source, **options):
        if self.failure is not None:
            raise self.failure
        return SimpleNamespace(model_type=self.model_type)


def test_missing_transformers_is_an_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingDependencyError, match="pip install transformers"):
        build("a/b")


@pytest.fixture
def fake(monkeypatch):
    def install(**options):
        monkeypatch.setitem(sys.modules, "transformers", FakeTransformers(**options))

    install()
    return install


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("", "expected a model behind --detector hf:.* got nothing"),
        ("{folder}", "expected a folder .* with a config.json .* without one"),
        ("{folder}/no/such", "got '.*/no/such', which is no folder here"),
        ("./missing", "which is no folder here"),
        ("{folder}/weights.bin", "which is a file"),
    ],
)
def test_wrong_argument_is_explained(tmp_path, fake, argument, reason):
    (tmp_path / "weights.bin").write_bytes(b"x")
    with pytest.raises(ConfigError, match=reason):
        build(argument.format(folder=tmp_path))


def test_model_that_is_no_detector_is_explained(fake):
    fake(model_type="bert")
    with pytest.raises(ConfigError, match=r"'a/b', which is of type bert; known are .*owlv2"):
        build("a/b")


@pytest.mark.parametrize("model_type", ["owlv2", "grounding-dino"])
def test_open_vocabulary_model_needs_a_vocabulary(fake, model_type):
    fake(model_type=model_type)
    with pytest.raises(ConfigError, match=rf"hf:a/b \({model_type}\) .* with --vocabulary"):
        build("a/b")


def test_model_that_cannot_be_fetched_is_explained(fake):
    fake(failure=OSError("We couldn't connect\nto the hub"))
    reason = r"cannot get a/b .*couldn't connect to the hub\): .*`hf download a/b --local-dir"
    with pytest.raises(DetectorError, match=reason):
        build("a/b", vocabulary=parse_vocabulary("cat"))


def test_package_that_a_model_needs_is_named(fake):
    fake(failure=ImportError("requires the timm library"))
    with pytest.raises(MissingDependencyError, match=r"hf:a/b needs a package .* timm library"):
        build("a/b")


def test_incomplete_weights_are_refused():
    report = {"missing_keys": {"b", "a", "c", "d"}, "mismatched_keys": {("e", (1,), (2,))}}
    with pytest.raises(DetectorError, match=r"without 5 of them.*: a, b, c, \.\.\."):
        huggingface._check_weights("x", report)
    huggingface._check_weights("x", {"missing_keys": set(), "mismatched_keys": set()})


class FakeNetwork(nn.Module):
    config = SimpleNamespace(to_dict=dict)

    def forward(self, pixel_values):
        return pixel_values


class FakeFinder:
    """One box per image, in its middle, and a slot without a class; it notes the batches."""

    names = ("cat", None)
    depends_on = ()

    def __init__(self):
        self.network = FakeNetwork()
        self.shapes = []

    def find(self, inputs):
        pixels = inputs["pixel_values"]
        self.shapes.append(tuple(pixels.shape))
        count = len(pixels)
        scores = torch.stack([pixels[:, 0, 0, 0] / 255, torch.ones(count)], dim=1)
        boxes = torch.tensor([0.5, 0.5, 0.5, 1.0]).expand(count, 2, 4)
        return Candidates(scores, torch.tensor([[0, 1]]).expand(count, 2), boxes)

    def measure_frame(self, height, width):
        return float(width), float(height)


def test_images_of_one_size_run_together_and_boxes_come_in_pixels():
    def process(images, **_):
        return {"pixel_values": torch.from_numpy(images[0]).permute(2, 0, 1)[None].float()}

    process.to_dict = dict
    finder = FakeFinder()
    detector = HuggingFaceDetector(finder, process, DetectorSettings(spec="hf:fake"))
    assert isinstance(detector, Detector)
    assert (detector.name, detector.class_names) == ("hf:fake", ("cat",))
    images = [
        DetectorImage(ImageRecord(1, "a.jpg", Path("a.jpg")), np.full((*size, 3), value, np.uint8))
        for size, value in (((20, 40), 51), ((10, 10), 102), ((20, 40), 255))
    ]
    found = detector.detect(images)
    assert finder.shapes == [(2, 3, 20, 40), (1, 3, 10, 10)]
    assert [item.scores.tolist() for item in found] == [[pytest.approx(v)] for v in (0.2, 0.4, 1)]
    assert found[2].boxes_xyxy.tolist() == [[10, 0, 30, 20]]
    assert (found[0].category_names, found[0].category_ids.tolist()) == (("cat",), [0])
