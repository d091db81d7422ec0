"""One batch learned by heart, and what is said where it is not."""

import pytest
import torch
from locations import ROOT, SCENES

from ovsam.errors import TrainingError
from ovsam.training.loop.loop import LoopSettings
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.stages import overfitting
from ovsam.training.stages.label import LabelStageSettings, TrainingData
from ovsam.training.stages.overfitting import OneBatch, keep_still, overfit_labels
from ovsam.training.steps.label import LabelStepSettings

NANO = ROOT / "ovsam" / "data" / "nano" / "model.safetensors"
DATA = TrainingData(SCENES / "annotations.json", SCENES)


def _settings(*parts):
    step = LabelStepSettings(train_parts=parts, images_per_step=1, proposals=4, mask_points=784)
    return LabelStageSettings(loop=LoopSettings(steps=1), step=step)


@pytest.mark.slow
def test_masks_and_labels_of_one_batch_are_learned_by_heart(tmp_path):
    torch.manual_seed(0)
    found = overfit_labels(_settings("mask_decoder", "clip2sam"), DATA, NANO, tmp_path, steps=120)
    assert set(found.last) == {"bce", "dice", "label"}
    assert not found.too_high
    assert all(found.last[name] < found.first[name] for name in found.last)


def test_what_is_not_learned_is_named_with_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(overfitting, "LOG_EVERY", 1)
    with pytest.raises(TrainingError, match=r"label 0\.05 after 1 steps on one batch, got label"):
        overfit_labels(_settings("clip2sam"), DATA, NANO, tmp_path, steps=1)


def test_every_step_draws_the_batch_of_the_first():
    def compute(step, progress, random):
        return {"drawn": torch.tensor(random.of_sample(0, 1).random()), "step": torch.tensor(step)}

    one = OneBatch(compute, None)
    first, later = one(0, 0.0, StepRandom(4, 0)), one(7, 0.5, StepRandom(4, 7))
    assert first == later


def test_nothing_of_an_image_is_random():
    still = keep_still(LabelStepSettings(box_jitter=0.1, reader_threads=2))
    assert (still.augment.min_ratio, still.augment.max_ratio, still.augment.flip) == (1, 1, 0)
    assert (still.box_jitter, still.reader_threads, still.with_bfloat16) == (0.0, 0, False)
