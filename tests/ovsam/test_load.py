import dataclasses

import pytest
import torch

import ovsam
from ovsam.errors import CheckpointError, ConfigError, DownloadError
from ovsam.weights.checkpoint import hash_tensors


def test_nano_is_embedded_and_labels_its_own_words() -> None:
    model = ovsam.load_model("nano")
    assert model.config.trained_on == "nano"
    assert model.has_namer
    assert model.identity


def test_own_file_is_loaded_by_path(tiny_model, tmp_path) -> None:
    path = tmp_path / "tiny.safetensors"
    ovsam.save_checkpoint(tiny_model, path)
    assert ovsam.load_model(path).config == tiny_model.config


def test_released_weights_load_by_name_and_know_their_classes(
    tiny_config, tmp_path, monkeypatch
) -> None:
    torch.manual_seed(5)
    source = ovsam.build_model(tiny_config)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "whole.pth")
    monkeypatch.setattr("ovsam.load.get_config", lambda name: {"rn50x16": tiny_config}[name])
    monkeypatch.setattr("ovsam.model_facts.require", lambda name: (tmp_path / "whole.pth",))
    model = ovsam.load_model("rn50x16-lvis")
    assert model.config == dataclasses.replace(tiny_config, trained_on="lvis")
    assert hash_tensors(model.state_dict()) == hash_tensors(source.state_dict())
    assert not model.training


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("rn50x17", ConfigError, r"unknown weights 'rn50x17'.*give one of"),
        ("missing.safetensors", CheckpointError, r"no weight file at missing.safetensors"),
        ("clip-rn50", CheckpointError, r"'clip-rn50' is a part of a model"),
    ],
)
def test_names_that_give_no_model_are_explained(name, error, message) -> None:
    with pytest.raises(error, match=message):
        ovsam.load_model(name)


def test_weights_not_fetched_yet_name_the_command(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("ovsam.weights.hub.locate", lambda name: None)
    with pytest.raises(DownloadError, match=r"ovsam models fetch rn50x16-lvis"):
        ovsam.load_model("rn50x16-lvis")
