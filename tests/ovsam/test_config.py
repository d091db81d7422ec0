import dataclasses
import json
import time

import pytest
import torch
from safetensors.torch import save_file
from tiny import make_tiny_config

from ovsam.build import get_config
from ovsam.config import ModelConfig
from ovsam.errors import CheckpointError, ConfigError
from ovsam.weights.checkpoint import FORMAT, load_checkpoint


@pytest.mark.parametrize(
    "name", ["hf-hub:someone/model", "hf_hub:a/b", "local-dir:/tmp/x", "resnet50", "convnext_a/b"]
)
def test_a_stored_config_cannot_make_timm_look_elsewhere(name):
    clip = get_config("convnext-b").clip
    assert clip.timm_name == "convnext_base"
    with pytest.raises(ConfigError, match="expected timm_name as convnext_"):
        dataclasses.replace(clip, timm_name=name)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"decoder_depth": 2**40}, "expected it.decoder_depth from 0 to 200, got 1099511627776"),
        ({"neck": {"depth": 2**40}}, "expected it.neck.depth from 0 to 200"),
        ({"neck": {"heads": 0}}, "is 0 that must not be"),
        ({"input_size": -32}, "expected it.input_size from 0 to 131072"),
        ({"logit_scale": float("nan")}, "expected it.logit_scale from 0"),
        ({"neck": {"global_blocks": [1] * 1000}}, "as a short list, got 1000 values"),
        ({"unknown": 1}, "unknown key 'unknown'"),
    ],
)
def test_numbers_that_no_model_has_are_refused_at_once(changes, sentence):
    values = {**make_tiny_config().to_dict(), **changes}
    start = time.monotonic()
    with pytest.raises(ConfigError, match=sentence):
        ModelConfig.from_json(json.dumps(values))
    assert time.monotonic() - start < 1


def list_places(values, place=()):
    for key, value in values.items():
        yield (*place, key)
        if isinstance(value, dict):
            yield from list_places(value, (*place, key))


@pytest.mark.parametrize("wrong", [0, 2**40, -1, 1e300, "x", None, {}, [2, 3]])
def test_a_file_with_a_changed_config_is_a_sentence(tmp_path, wrong):
    path = tmp_path / "model.safetensors"
    for place in list_places(make_tiny_config().to_dict()):
        values = json.loads(json.dumps(make_tiny_config().to_dict()))
        inner = values
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = wrong
        metadata = {"format": FORMAT, "config": json.dumps(values)}
        save_file({"a": torch.zeros(1)}, str(path), metadata)
        with pytest.raises(CheckpointError, match=r"usable model config|tensors in"):
            load_checkpoint(path)


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 100_000, "{", '{"name": 1}'])
def test_a_config_that_is_none_is_a_sentence(tmp_path, text):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, str(path), {"format": FORMAT, "config": text})
    with pytest.raises(CheckpointError, match="no usable model config"):
        load_checkpoint(path)
