import dataclasses
import re

import pytest
import torch
from tiny import make_tiny_config

from ovsam.build import build_model
from ovsam.errors import CheckpointError
from ovsam.sam import build_sam, teacher_config
from ovsam.text.text_tower import build_text_tower
from ovsam.weights.checkpoint import (
    hash_tensors,
    load_checkpoint,
    load_released_checkpoint,
    load_sam_checkpoint,
    save_checkpoint,
)
from ovsam.weights.metadata import read_metadata

TO_RELEASED = (
    ("image_encoder.visual.conv1.", "backbone.stem.0."),
    ("image_encoder.visual.bn1.", "backbone.stem.1."),
    ("image_encoder.visual.conv2.", "backbone.stem.3."),
    ("image_encoder.visual.bn2.", "backbone.stem.4."),
    ("image_encoder.visual.conv3.", "backbone.stem.6."),
    ("image_encoder.visual.bn3.", "backbone.stem.7."),
    ("image_encoder.visual.attnpool.", "backbone.head."),
    ("image_encoder.visual.", "backbone."),
    ("prompt_encoder.", "pe."),
    ("mask_decoder.label_token.", "mask_decoder.label_token."),
    ("mask_decoder.", "mask_decoder.mask_decoder."),
    ("clip2sam.label_mlp.", "mask_decoder.label_mlp."),
    ("clip2sam.roi_projection.", "mask_decoder.roi_conv.0.conv."),
)


def to_released(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our names -> the released ones, written down independently of the loader's rules."""
    renamed = {}
    for name, tensor in tensors.items():
        new = re.sub(r"^clip2sam\.fpn\.(\w+)\.(\d)\.", r"fpn_neck.\1.\2.conv.", name)
        for ours, theirs in TO_RELEASED:
            if new.startswith(ours):
                new = theirs + new.removeprefix(ours)
                break
        renamed[new] = tensor
    return renamed


def part(tensors: dict[str, torch.Tensor], *prefixes: str) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in tensors.items() if k.startswith(prefixes)}


@pytest.fixture
def source(tiny_config) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return build_model(tiny_config).state_dict()


def assert_same_weights(model, expected) -> None:
    assert hash_tensors(model.state_dict()) == hash_tensors(expected)


def test_one_released_file_fills_the_model(tiny_config, source, tmp_path) -> None:
    torch.save({"state_dict": to_released(source), "meta": {}}, tmp_path / "whole.pth")
    model = load_released_checkpoint(build_model(tiny_config, "meta"), tmp_path / "whole.pth")
    assert_same_weights(model, source)
    assert not model.training
    assert model.identity


def test_several_released_files_clip_and_sam_fill_the_model_together(tiny_config, source) -> None:
    torch.manual_seed(9)
    text = build_text_tower(tiny_config.clip).transformer.state_dict()
    sam = build_sam(teacher_config(tiny_config, width=16, depth=1, heads=2)).state_dict()
    released = to_released(source)
    sam2clip = {
        f"neck_student.{k.removeprefix('neck.')}": v for k, v in part(released, "neck.").items()
    }
    clip2sam = part(released, "mask_decoder.", "fpn_neck.")
    clip = {k.removeprefix("image_encoder."): v for k, v in part(source, "image_encoder.").items()}
    sam |= part(source, "prompt_encoder.")
    clip |= text | {"logit_scale": torch.ones(())}
    model = build_model(tiny_config, "meta")
    load_released_checkpoint(model, [clip2sam, clip, sam, sam2clip])
    assert_same_weights(model, source)
    assert torch.equal(
        model.text_tower.transformer.state_dict()["text_projection"], text["text_projection"]
    )


def test_released_tensors_win_over_sams(tiny_config, source) -> None:
    sam = build_sam(teacher_config(tiny_config, width=16, depth=1, heads=2)).state_dict()
    model = load_released_checkpoint(build_model(tiny_config), [to_released(source), sam])
    assert_same_weights(model, source)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.pop("pe.no_mask_embed.weight"),
            r"missing tensors.*prompt_encoder.no_mask_embed.weight.*SAM-H",
        ),
        (lambda t: t.update({"backbone.layer9.0.w": torch.ones(1)}), "unexpected tensors.*layer9"),
        (lambda t: t.update({"surprise.w": torch.ones(1)}), "unexpected tensor 'surprise.w'"),
        (
            lambda t: t.update({"neck.pos_embed": torch.zeros(1, 2, 2, 16)}),
            r"'neck.pos_embed'.*must have shape \(1, 4, 4, 16\), got \(1, 2, 2, 16\)",
        ),
    ],
    ids=["missing", "unexpected in a part", "unknown", "shape"],
)
def test_a_mismatch_names_the_tensor_and_what_to_do(tiny_config, source, change, message) -> None:
    released = to_released(source)
    change(released)
    with pytest.raises(CheckpointError, match=message):
        load_released_checkpoint(build_model(tiny_config), released)


def test_a_mismatch_leaves_the_model_as_it_was(tiny_config, source) -> None:
    model = build_model(tiny_config)
    before = hash_tensors(model.state_dict())
    released = to_released(source)
    del released["pe.no_mask_embed.weight"]
    with pytest.raises(CheckpointError):
        load_released_checkpoint(model, released)
    assert hash_tensors(model.state_dict()) == before


def test_an_unknown_layout_is_refused(tiny_model) -> None:
    with pytest.raises(CheckpointError, match=r"unknown layout.*first tensors are foo"):
        load_released_checkpoint(tiny_model, {"foo": torch.ones(1)})


def test_own_file_brings_config_text_tower_and_metadata_back(tiny_model, tmp_path) -> None:
    path = tmp_path / "tiny.safetensors"
    tiny_model.attach_namer(build_text_tower(tiny_model.config.clip))
    save_checkpoint(tiny_model, path, {"licence": "Apache-2.0"})
    model = load_checkpoint(path)
    assert model.config == tiny_model.config
    assert_same_weights(model, tiny_model.state_dict())
    assert model.text_tower.identity == tiny_model.text_tower.identity
    assert read_metadata(path)["licence"] == "Apache-2.0"
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.safetensors"]
    assert path.stat().st_mode & 0o444 == 0o444, "other users may read weights"


def test_own_file_given_as_a_source_brings_its_text_tower(tiny_model, tmp_path) -> None:
    tiny_model.attach_namer(build_text_tower(tiny_model.config.clip))
    save_checkpoint(tiny_model, tmp_path / "tiny.safetensors")
    built = build_model(tiny_model.config, "meta")
    model = load_released_checkpoint(built, tmp_path / "tiny.safetensors")
    assert model.text_tower.identity == tiny_model.text_tower.identity


def test_an_incomplete_own_file_is_not_sent_for_other_files(tiny_model, tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    path = tmp_path / "tiny.safetensors"
    save_checkpoint(tiny_model, path, with_text=False)
    tensors, metadata = load_file(path), read_metadata(path)
    del tensors["neck.pos_embed"]
    save_file(tensors, path, metadata)
    with pytest.raises(CheckpointError, match=r"missing tensors.*neck.pos_embed; .* is incomplete"):
        load_checkpoint(path)


@pytest.mark.parametrize("config", ["{", "{}", '{"clip": {"text": {}, "size": 3}}'])
def test_an_own_file_with_an_unknown_config_is_refused(tmp_path, config) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(1)}, path, {"format": "ovsam-1", "config": config})
    with pytest.raises(CheckpointError, match=r"x.safetensors has no usable model config"):
        load_checkpoint(path)


def test_half_precision_file_loads_as_float32(tiny_model, tmp_path) -> None:
    save_checkpoint(tiny_model, tmp_path / "half.safetensors", dtype=torch.float16, with_text=False)
    model = load_checkpoint(tmp_path / "half.safetensors")
    weight = tiny_model.neck.pos_embed
    torch.testing.assert_close(model.neck.pos_embed, weight.half().float())
    assert model.dtype == torch.float32


def test_a_folded_model_is_not_saved(tiny_model, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="folded by prepare_for_inference cannot be saved"):
        save_checkpoint(tiny_model.prepare_for_inference(), tmp_path / "x.safetensors")


def test_a_folder_that_cannot_be_written_is_an_error(tiny_model, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write"):
        save_checkpoint(tiny_model, tmp_path / "file" / "x.safetensors")


def test_a_foreign_safetensors_file_says_how_to_convert(tmp_path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="ovsam models convert"):
        load_checkpoint(tmp_path / "x.safetensors")
    torch.save({"a": torch.ones(1)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"got .*x.pth; convert it: ovsam models convert"):
        load_checkpoint(tmp_path / "x.pth")


def test_sam_checkpoints_load_and_mismatches_are_named(tiny_config) -> None:
    config = teacher_config(tiny_config, width=16, depth=2, heads=2)
    torch.manual_seed(4)
    tensors = build_sam(config).state_dict() | {"pixel_mean": torch.ones(3)}
    sam = load_sam_checkpoint(build_sam(config, "meta"), tensors)
    assert torch.equal(
        sam.state_dict()["image_encoder.pos_embed"], tensors["image_encoder.pos_embed"]
    )
    deeper = build_sam(dataclasses.replace(config, depth=3))
    with pytest.raises(
        CheckpointError, match=r"missing tensors.*image_encoder.blocks.2.*belongs to another model"
    ):
        load_sam_checkpoint(deeper, tensors)


def test_a_label_token_head_needs_no_pyramid(tmp_path) -> None:
    model = build_model(make_tiny_config(label_head="label-token"))
    assert not any("fpn" in name for name in model.state_dict())
    save_checkpoint(model, tmp_path / "x.safetensors", with_text=False)
    assert load_checkpoint(tmp_path / "x.safetensors").config.label_head == "label-token"
