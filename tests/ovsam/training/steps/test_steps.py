"""Steps of both stages on a tiny model: gradients reach the parts that train, and only those."""

import numpy as np
import pytest
import torch

from ovsam.sam import build_sam, teacher_config
from ovsam.training.data.image_set import PoolImages
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.samples import AugmentSettings, augment_sample
from ovsam.training.scenes.batches import SceneBatchSource
from ovsam.training.scenes.crops import CropSource
from ovsam.training.steps.clip_pretraining import ClipPretrainer, ClipStep, ClipStepSettings
from ovsam.training.steps.distil import DistilStep, TeacherTargets
from ovsam.training.steps.label import (
    LABEL_PARTS,
    MASK_PARTS,
    PAPER_PARTS,
    LabelStep,
    LabelStepSettings,
    freeze_all_but,
)
from ovsam.training.steps.proposals import sample_proposals
from ovsam.training.steps.teacher import TeacherStep

LABELS = np.array([0, 1, -1])
SMALL = {"images_per_step": 2, "proposals": 4, "mask_points": 64, "with_bfloat16": False}


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def _label_step(model, pool, parts):
    freeze_all_but(model, parts)
    embeddings = torch.nn.functional.normalize(torch.randn(2, 1, 16), dim=-1)
    settings = LabelStepSettings(
        train_parts=parts, augment=AugmentSettings(min_ratio=0.9, max_ratio=1.1), **SMALL
    )
    return LabelStep(model, embeddings, pool.sampler(LABELS), settings)


@pytest.mark.parametrize("parts", [MASK_PARTS, LABEL_PARTS, PAPER_PARTS])
def test_gradients_reach_trained_parts_and_only_those(tiny_model, pool, random, parts):
    step = _label_step(tiny_model, pool, parts)
    losses = step(0, 0.0, StepRandom(0, 0))
    torch.stack([v for v in losses.values() if v.requires_grad]).sum().backward()
    reached = {
        name.split(".")[0] for name, p in tiny_model.named_parameters() if p.grad is not None
    }
    assert reached == set(parts)


def test_mask_training_overfits_one_scene(tiny_model, pool, random):
    step = _label_step(tiny_model, pool, MASK_PARTS)
    still = AugmentSettings(min_ratio=1, max_ratio=1, flip=0)
    sample = augment_sample(pool.sample(0, LABELS), 64, still, random)
    chosen = sample_proposals(sample, random, 4)
    optimiser = torch.optim.AdamW([p for p in tiny_model.parameters() if p.requires_grad], lr=3e-3)
    history = []
    for _ in range(40):
        loss = torch.stack(
            list(step.compute_losses([sample], [chosen], StepRandom(0, 0)).values())
        ).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    assert np.mean(history[-5:]) < 0.75 * np.mean(history[:5])


def test_novel_objects_do_not_teach_the_head(tiny_model, pool, random):
    freeze_all_but(tiny_model, LABEL_PARTS)
    embeddings = torch.nn.functional.normalize(torch.randn(1, 1, 16), dim=-1)
    settings = LabelStepSettings(train_parts=LABEL_PARTS, **SMALL)
    step = LabelStep(tiny_model, embeddings, pool.sampler(np.full(3, -1)), settings)
    assert step(0, 0.0, StepRandom(0, 0))["label"].item() == 0


def test_proposals_are_half_boxes_half_points_of_their_objects(pool, random):
    sample = pool.sample(1, LABELS)
    chosen = sample_proposals(sample, random)
    assert len(chosen.object_index) == 40
    assert len(chosen.boxes_xyxy) == len(chosen.points_xy) == 20
    assert set(chosen.object_index) == set(range(len(sample.masks)))
    assert np.array_equal(chosen.boxes_xyxy, sample.boxes_xyxy()[chosen.object_index[:20]])
    for index, (x, y) in zip(chosen.object_index[20:], chosen.points_xy[:, 0], strict=True):
        assert sample.masks[index][int(y), int(x)] == 1


def test_augmented_masks_stay_on_their_objects(pool, random):
    sample = pool.sample(0, LABELS)
    flipped = augment_sample(sample, 128, AugmentSettings(min_ratio=1, max_ratio=1, flip=1), random)
    assert np.array_equal(flipped.pixels, sample.pixels[:, ::-1])
    assert np.array_equal(flipped.masks, sample.masks[:, :, ::-1])


def test_enlarged_image_is_cropped_and_small_masks_are_dropped(pool, random):
    sample = pool.sample(0, LABELS)
    large = augment_sample(sample, 64, AugmentSettings(min_ratio=3, max_ratio=3), random)
    small = augment_sample(sample, 8, AugmentSettings(min_ratio=0.5, max_ratio=0.5), random)
    assert large.pixels.shape[:2] == (64, 64)
    assert len(small.masks) == len(small.labels) == 0


def test_distillation_moves_the_neck_towards_the_teacher(tiny_model, pool, random):
    config = teacher_config(tiny_model.config, width=16, depth=1, heads=2)
    teacher = build_sam(config).requires_grad_(False)
    freeze_all_but(tiny_model, ("neck",))
    step = DistilStep(tiny_model, TeacherTargets(teacher), PoolImages(pool), 2)
    optimiser = torch.optim.AdamW(tiny_model.neck.parameters(), lr=3e-3)
    history = []
    for _ in range(25):
        loss = step(0, 0.0, StepRandom(0, 0))["mse"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    assert history[-1] < 0.6 * history[0]


def test_teacher_step_trains_every_part_of_sam(tiny_model, pool, random):
    sam = build_sam(teacher_config(tiny_model.config, width=16, depth=1, heads=2)).train()
    settings = LabelStepSettings(
        train_parts=MASK_PARTS, augment=AugmentSettings(min_ratio=1, max_ratio=1), **SMALL
    )
    losses = TeacherStep(sam, pool.sampler(LABELS), settings)(0, 0.0, StepRandom(0, 0))
    torch.stack(list(losses.values())).sum().backward()
    for part in (sam.image_encoder, sam.prompt_encoder, sam.mask_decoder):
        assert any(p.grad is not None and p.grad.any() for p in part.parameters())


@pytest.mark.parametrize("progress", [0.1, 0.5, 0.95], ids=["small crops", "crops", "scenes"])
def test_tower_curriculum_gives_gradients_at_every_part(tiny_model, pool, random, progress):
    tower = tiny_model.image_encoder.requires_grad_(True)
    model = ClipPretrainer(tower, tiny_model.config.clip.channels, 3, 16).train()
    settings = ClipStepSettings(
        small_until=0.2, crops_until=0.6, small_batch=4, crop_batch=4, scene_batch=2
    )
    step = ClipStep(model, CropSource(pool), SceneBatchSource(pool), settings)
    losses = step(0, progress, StepRandom(0, 0))
    torch.stack([v for v in losses.values() if v.requires_grad]).sum().backward()
    assert tower.visual.conv1.weight.grad.abs().sum() > 0
    assert model.prototypes.grad.abs().sum() > 0
