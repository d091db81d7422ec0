"""What the stage functions write into a model file, beside its weights."""

from dataclasses import replace
from pathlib import Path

import pytest
from locations import SCENES

from ovsam.build import build_model, get_config
from ovsam.text.text_tower import build_text_tower
from ovsam.training.loop.loop import LoopSettings
from ovsam.training.stages.label import LabelStageSettings, TrainingData, train_labels
from ovsam.training.stages.nano import merge_stages
from ovsam.training.stages.stage_files import save_stage
from ovsam.training.steps.label import LabelStepSettings
from ovsam.weights.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    """A model whose head was trained on nothing yet."""
    folder = tmp_path_factory.mktemp("start")
    model = build_model(replace(get_config("nano"), trained_on=None))
    model.attach_namer(build_text_tower(model.config.clip))
    save_stage(model, folder, "random")
    return folder


@pytest.mark.parametrize(("part", "trained_on"), [("clip2sam", "nano"), ("mask_decoder", None)])
def test_a_trained_head_names_its_vocabulary(start, tmp_path, part, trained_on) -> None:
    step = LabelStepSettings(train_parts=(part,), images_per_step=1, proposals=2, mask_points=64)
    settings = LabelStageSettings(loop=LoopSettings(steps=1), step=step)
    data = TrainingData(SCENES / "annotations.json", SCENES)
    train_labels(settings, data, start, tmp_path)
    assert load_checkpoint(tmp_path / "model.safetensors").config.trained_on == trained_on


def test_merged_file_names_the_vocabulary_of_its_head(start, tmp_path) -> None:
    head = load_checkpoint(start / "model.safetensors")
    head.config = replace(head.config, trained_on="nano")
    save_stage(head, tmp_path, "head")
    merge_stages(start, tmp_path, tmp_path / "merged.safetensors", "test")
    assert load_checkpoint(tmp_path / "merged.safetensors").config.trained_on == "nano"
