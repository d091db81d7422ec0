import json
import subprocess
import sys

import pytest

from ovsam.errors import ConfigError
from ovsam_pipeline.detectors import build as build_module
from ovsam_pipeline.detectors.build import (
    build_detector,
    choose_detector,
    find_family,
)
from ovsam_pipeline.detectors.official import weights as official_weights
from ovsam_pipeline.errors import DatasetError


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("nanno", r"unknown detector 'nanno' \(did you mean 'nano'"),
        (
            "detik",
            r"unknown detector 'detik' \(did you mean 'detic'.*there are auto, nano, photo, detic",
        ),
        ("vitdet-x#refined", r"unknown detector 'vitdet-x#refined' \(did you mean 'vitdet"),
        ("torchvison:x", "did you mean 'torchvision'"),
        ("", "unknown detector ''"),
        ("boxes", "expected a file after --detector boxes:, got 'boxes'"),
        ("gt:", "expected a file after --detector gt:, got 'gt:'"),
        ("nano:x", "expected --detector nano without more, got 'nano:x'"),
        ("photo:x", "expected --detector photo without more, got 'photo:x'"),
    ],
)
def test_wrong_name_is_a_configuration_error_with_help(spec, reason):
    with pytest.raises(ConfigError, match=reason):
        build_detector(spec)


def test_file_detectors_are_built_with_their_argument(tmp_path):
    path = tmp_path / "x.json"
    row = {"image_id": 1, "bbox": [1, 1, 5, 5], "score": 0.4, "category_id": 1}
    path.write_text(json.dumps([row]))
    assert len(build_detector(f"boxes:{path}", conf=0.4).table.scores) == 1
    assert len(build_detector(f"boxes:{path}", conf=0.5).table.scores) == 0
    with pytest.raises(DatasetError, match="use boxes:FILE"):
        build_detector(f"gt:{path}")


def test_name_and_settings_reach_the_family(monkeypatch):
    given = []
    monkeypatch.setattr(build_module, "_build", lambda _, settings: given.append(settings))
    build_detector("torchvision:ssd", conf=0.1, max_det=7, device="cuda:1", dtype="bf16")
    build_detector("nano")
    first, second = given
    assert (first.spec, first.argument) == ("torchvision:ssd", "ssd")
    assert (first.conf, first.max_det, first.device, first.dtype) == (0.1, 7, "cuda:1", "bf16")
    assert (second.argument, second.conf, second.max_det) == ("", 0.25, 300)


@pytest.mark.parametrize(
    ("spec", "argument"),
    [
        ("detic", ""),
        ("detic#proposals", "#proposals"),
        ("detic:a/b.pth", "a/b.pth"),
        ("vitdet-h-lvis:b.pkl#refined", "b.pkl#refined"),
    ],
)
def test_official_names_take_a_file_and_a_mode(monkeypatch, spec, argument):
    given = []
    monkeypatch.setattr(build_module, "_build", lambda *pair: given.append(pair))
    build_detector(spec)
    ((family, settings),) = given
    assert (settings.spec, settings.argument) == (spec, argument)
    assert official_weights.find_known_detector(family) is not None


def test_unknown_setting_is_a_programming_error():
    with pytest.raises(TypeError, match="'threshold'"):
        build_detector("nano", threshold=1)


def put_file(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Empty caches, and a way to put the files of a detector there."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path / "ovsam"))
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "detectron2"))

    def fill(name):
        if name == "torchvision":
            file_name = "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth"
            put_file(tmp_path / "torch/hub/checkpoints" / file_name)
            return
        found = official_weights.find_known_detector(name)
        put_file(tmp_path / "ovsam/weights" / found.weights.names[0])

    clip = official_weights.CLIP_TEXT_FILE
    find = official_weights.find_file
    is_here = tmp_path / "clip"
    monkeypatch.setattr(
        official_weights, "find_file", lambda file: is_here if file is clip else find(file)
    )
    return fill


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        ((), "photo"),
        (("faster-rcnn",), "faster-rcnn"),
        (("faster-rcnn", "torchvision"), "torchvision"),
        (("torchvision", "vitdet-b"), "vitdet-b"),
        (("vitdet-b", "vitdet-h-lvis"), "vitdet-h-lvis"),
        (("torchvision", "vitdet-h", "detic"), "detic"),
    ],
    ids=str,
)
def test_auto_takes_the_best_that_is_here_unless_the_model_is_nano(caches, here, expected):
    for name in here:
        caches(name)
    assert choose_detector("rn50x16-lvis") == expected
    assert choose_detector("nano") == "nano"
    assert choose_detector("sam-b") == expected


def test_building_imports_no_network_before_it_is_asked_for():
    code = "import sys, ovsam_pipeline.detectors.build as b; print('torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("spec", "family"),
    [
        ("boxes:./ds.json#x.json", "boxes"), ("vitdet", "vitdet-b"), ("vitdet-b:w.pkl", "vitdet-b"),
        ("detic#refined", "detic"), ("hf:some/model", "hf"), ("nano", "nano"),
    ],
)  # fmt: skip
def test_family_is_the_name_without_what_stands_behind_it(spec, family):
    assert find_family(spec) == family
