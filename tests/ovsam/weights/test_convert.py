import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import ovsam
from ovsam.errors import CheckpointError, ConfigError, DownloadError, VocabularyError
from ovsam.text.text_tower import build_text_tower
from ovsam.weights.convert import convert_weights


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = ovsam.build_model("nano")
    model.attach_namer(build_text_tower(model.config.clip))
    return model


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """Files that together fill nano: OV-SAM's tensors without CLIP, and an open_clip file."""
    folder = tmp_path_factory.mktemp("weights")
    own = {k: v for k, v in model.state_dict().items() if not k.startswith("image_encoder.")}
    torch.save({"state_dict": own}, folder / "ovsam.pth")
    clip = {f"visual.{k}": v for k, v in model.image_encoder.visual.state_dict().items()}
    clip |= model.text_tower.transformer.state_dict()
    save_file({k: v.contiguous() for k, v in clip.items()}, folder / "open_clip_model.safetensors")
    return [str(folder / "ovsam.pth"), str(folder / "open_clip_model.safetensors")]


@pytest.fixture(scope="module")
def converted(files, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "nano.safetensors"
    return output, convert_weights(files, output, model="nano", trained_on="coco")


def test_converted_file_holds_the_same_model(converted, model):
    loaded = ovsam.load_model(converted[0])
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=0, atol=0)
    texts = ["a photo of a cat."]
    torch.testing.assert_close(loaded.text_tower.encode(texts), model.text_tower.encode(texts))
    assert loaded.config.trained_on == "coco"


def test_metadata_names_licences_and_origins(converted, files):
    _, metadata = converted
    assert "MIT (open_clip_model.safetensors)" in metadata["licence"]
    assert "ask their authors (ovsam.pth)" in metadata["licence"]
    first = json.loads(metadata["provenance"])["files"][0]
    assert first["sha256"] == hashlib.sha256(Path(files[0]).read_bytes()).hexdigest()


def test_half_precision_halves_the_file(files, converted, tmp_path):
    output = tmp_path / "half.safetensors"
    convert_weights(files, output, model="nano", dtype="fp16")
    assert output.stat().st_size < 0.55 * converted[0].stat().st_size


def test_files_without_a_text_tower_are_refused(model, tmp_path):
    torch.save(model.state_dict(), tmp_path / "whole.pth")
    output = tmp_path / "out.safetensors"
    with pytest.raises(CheckpointError, match=r"expected CLIP's text tower among the files"):
        convert_weights([str(tmp_path / "whole.pth")], output, model="nano")
    assert not output.exists()


def test_missing_part_is_refused_and_nothing_written(files, tmp_path):
    output = tmp_path / "out.safetensors"
    with pytest.raises(CheckpointError, match=r"missing tensors in .*give also CLIP's weights"):
        convert_weights(files[:1], output, model="nano")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": None}, ConfigError, r"expected --model with the structure"),
        ({"model": "nona"}, ConfigError, r"unknown model 'nona'"),
        ({"dtype": "int8"}, ConfigError, r"expected --dtype fp32, fp16, bf16, got 'int8'"),
        ({"trained_on": "cocoo"}, VocabularyError, r"unknown vocabulary 'cocoo'"),
    ],
)
def test_wrong_options_are_refused(files, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        convert_weights(files, tmp_path / "a.safetensors", **{"model": "nano", **options})


def test_output_must_be_safetensors(files, tmp_path):
    with pytest.raises(ConfigError, match=r"expected an output named \*\.safetensors, got .*a.pth"):
        convert_weights(files, tmp_path / "a.pth", model="nano")


def test_source_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"got 'gone.pth'; there is no such file"):
        convert_weights(["gone.pth"], tmp_path / "a.safetensors", model="nano")


def test_name_that_was_not_fetched_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(DownloadError, match=r"ovsam models fetch rn50x16-coco"):
        convert_weights(["rn50x16-coco"], tmp_path / "a.safetensors")


def test_own_file_needs_no_conversion(converted, tmp_path):
    with pytest.raises(ConfigError, match=r"already a file of ovsam"):
        convert_weights([str(converted[0])], tmp_path / "a.safetensors", model="nano")
