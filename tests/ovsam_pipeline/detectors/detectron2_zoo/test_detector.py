"""Sentences of `detectron2:` that hold with and without detectron2."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from ovsam.errors import CheckpointError, ConfigError, MissingDependencyError
from ovsam_pipeline.detectors.build import build_detector
from ovsam_pipeline.detectors.detectron2_zoo.config import locate_config
from ovsam_pipeline.detectors.detectron2_zoo.detector import (
    _find_trained,
    _load_weights,
)


def test_missing_detectron2_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "detectron2", None)
    reason = r"github.com/facebookresearch/detectron2, by pip with --no-build-isolation.*vitdet"
    with pytest.raises(MissingDependencyError, match=reason):
        build_detector("detectron2:x.yaml")


@pytest.fixture
def package(tmp_path):
    """A folder laid out as the package's, with a model zoo of two."""
    zoo = tmp_path / "detectron2/model_zoo/configs/COCO-Detection"
    zoo.mkdir(parents=True)
    (zoo / "faster_rcnn_R_50_FPN_3x.yaml").write_text("")
    (zoo / "fcos_R_50_FPN_1x.py").write_text("")
    return tmp_path / "detectron2"


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("faster_rcnn_R_50_FPN_3x", ".yaml"), ("faster_rcnn_R_50_FPN_3x.yaml", ""),
     ("fcos_R_50_FPN_1x", ".py")],
)  # fmt: skip
def test_zoo_configurations_are_found_with_and_without_suffix(package, name, suffix):
    path, is_zoo = locate_config(f"COCO-Detection/{name}", package)
    assert is_zoo
    assert path == package / f"model_zoo/configs/COCO-Detection/{name}{suffix}"


def test_a_file_comes_before_the_zoo(package, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("")
    assert locate_config(str(mine), package) == (mine, False)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("COCO-Detection/faster_rcnn_R_50_FPN_1x", r"\(did you mean 'COCO-Detection/faster_rcnn_R"),
        ("", "got ''$"),
    ],
)
def test_unknown_configuration_names_the_nearest(package, name, hint):
    with pytest.raises(ConfigError, match=f"expected a configuration .*{hint}"):
        locate_config(name, package)


def test_own_configuration_takes_the_trained_weights_beside_it(tmp_path):
    with pytest.raises(ConfigError, match=r"behind a comma .* or model_final.pth next to it"):
        _find_trained(tmp_path / "config.yaml")
    (tmp_path / "model_final.pth").write_bytes(b"")
    assert _find_trained(tmp_path / "config.yaml") == tmp_path / "model_final.pth"


def test_weights_of_another_network_are_refused():
    network = nn.Linear(2, 1)
    state = {"weight": torch.zeros(3, 3), "scale": torch.zeros(1)}
    reason = "1 missing, 1 unexpected, 1 of another shape, such as bias"
    with pytest.raises(CheckpointError, match=reason):
        _load_weights(network, state, Path("x.pth"))


def test_anchors_and_pixel_statistics_of_old_files_do_not_matter():
    network = nn.Linear(2, 1)
    state = {"weight": torch.ones(1, 2), "bias": torch.ones(1), "pixel_mean": torch.zeros(3)}
    state["proposal_generator.anchor_generator.cell_anchors.0"] = torch.zeros(3, 4)
    _load_weights(network, state, Path("x.pth"))
    assert network.weight.tolist() == [[1, 1]]
