"""A stage may give its model another label head; the file it writes says which."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from locations import SCENES

from ovsam.build import build_model, get_config
from ovsam.errors import ConfigError
from ovsam.text.text_tower import build_text_tower
from ovsam.training.data.mixed import DataSettings
from ovsam.training.loop.loop import LoopSettings
from ovsam.training.stages.label import LabelStageSettings, TrainingData, train_labels
from ovsam.training.stages.stage_files import save_stage
from ovsam.training.steps.label import LabelStepSettings
from ovsam.training.steps.model_parts import switch_label_head
from ovsam.weights.checkpoint import load_checkpoint

# Few, as each is embedded.
EACH_SCENE_HAS_ONE = (
    "cheese",
    "sunglasses",
    "cat",
    "axe",
    "dice",
    "christmas tree",
    "gorilla",
    "dog",
    "penguin",
    "pretzel",
    "snail",
    "frog",
    "eye",
    "magnet",
    "red lantern",
)
FILE = {"path": str(SCENES / "annotations.json"), "images": str(SCENES)}


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    model = build_model(replace(get_config("nano"), trained_on=None))
    model.attach_namer(build_text_tower(model.config.clip))
    save_stage(model, folder, "random")
    return folder


def test_a_new_head_keeps_what_it_shares_and_is_drawn_by_the_seed(tiny_model) -> None:
    before = tiny_model.clip2sam.label_mlp.state_dict()
    heads = []
    for seed in (1, 1, 2):
        switch_label_head(tiny_model, "label-token", 0)
        switch_label_head(tiny_model, "label-token+clip", seed)
        heads.append(tiny_model.clip2sam.clip_projection.weight)
    assert tiny_model.config.label_head == "label-token+clip"
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    after = tiny_model.clip2sam.label_mlp.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_head_of_the_same_kind_is_left_as_it_is(tiny_model) -> None:
    head = tiny_model.clip2sam
    switch_label_head(tiny_model, "fpn", 0)
    assert tiny_model.clip2sam is head


def test_an_unknown_head_is_refused(tiny_model) -> None:
    with pytest.raises(ConfigError, match=r"label_head must be one of fpn, .* got 'roi'"):
        switch_label_head(tiny_model, "roi", 0)


def test_a_stage_trains_masks_boxes_and_another_head_together(start, tmp_path) -> None:
    step = LabelStepSettings(images_per_step=1, proposals=2, mask_points=64, reader_threads=1)
    words = tmp_path / "words.txt"
    words.write_text("\n".join(EACH_SCENE_HAS_ONE))
    few = {"classes": "vocabulary", "other_categories": "hide"} | FILE
    settings = LabelStageSettings(
        loop=LoopSettings(steps=2),
        vocabulary=str(words),
        label_head="label-token+clip",
        check_images=1,
        step=step,
        data=(DataSettings(kind="instances", **few), DataSettings(kind="boxes", **few)),
    )
    train_labels(settings, TrainingData(None), start, tmp_path)
    trained = load_checkpoint(tmp_path / "model.safetensors")
    assert trained.config.label_head == "label-token+clip"
    old = load_checkpoint(start / "model.safetensors").clip2sam.label_mlp.state_dict()
    new = trained.clip2sam.label_mlp.state_dict()
    assert any(not torch.equal(old[name], new[name]) for name in old)


def test_masks_alone_cannot_be_learned_from_boxes(start, tmp_path) -> None:
    settings = LabelStageSettings(
        loop=LoopSettings(steps=1),
        step=LabelStepSettings(train_parts=("mask_decoder",)),
        data=(DataSettings(kind="instances", **FILE), DataSettings(kind="boxes", **FILE)),
    )
    with pytest.raises(ConfigError, match="expected masks in every training set"):
        train_labels(settings, TrainingData(None), start, tmp_path)


def test_bad_data_stops_a_stage_before_its_model_is_read(tmp_path) -> None:
    settings = LabelStageSettings(loop=LoopSettings(steps=1), vocabulary="coco", check_images=1)
    data = TrainingData(SCENES / "annotations.json", SCENES)
    with pytest.raises(ConfigError, match="data rejected: 96 of 112 objects have a category"):
        train_labels(settings, data, tmp_path / "no model", tmp_path)
