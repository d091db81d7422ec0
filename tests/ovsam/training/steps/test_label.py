"""The label step draws by sample, divides by what all processes have, and trains every head."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from ovsam.clip2sam import CLIP2SAM
from ovsam.errors import ConfigError
from ovsam.training.data.sample_reader import SampleReader
from ovsam.training.loop.distributed import Ranks
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.samples import AugmentSettings, TrainingSample, augment_sample, draw_sample
from ovsam.training.steps import losses
from ovsam.training.steps.label import PAPER_PARTS, LabelStep, LabelStepSettings, freeze_all_but
from ovsam.training.steps.proposals import sample_proposals

LABELS = np.array([0, 1, -1])


@pytest.fixture
def mixed(pool):
    """Scenes with masks, and every third one with boxes alone."""
    load = pool.sampler(LABELS)

    def load_mixed(random: np.random.Generator) -> TrainingSample:
        sample = load(random)
        if random.random() < 0.34:
            return TrainingSample(sample.pixels, None, sample.labels, sample.boxes_xyxy())
        return sample

    return load_mixed


def make_step(model, load_sample, images: int, **changes) -> LabelStep:
    freeze_all_but(model, PAPER_PARTS)
    embeddings = torch.nn.functional.normalize(torch.arange(32.0).view(2, 1, 16).cos(), dim=-1)
    settings = LabelStepSettings(
        images_per_step=images,
        proposals=5,
        mask_points=64,
        with_bfloat16=False,
        augment=AugmentSettings(min_ratio=0.9, max_ratio=1.3),
        **changes,
    )
    return LabelStep(model, embeddings, load_sample, settings)


def losses_and_gradients(step: LabelStep, random: StepRandom):
    losses = step(random.step, 0.0, random)
    torch.stack([value for value in losses.values() if value.requires_grad]).sum().backward()
    gradients = {
        name: parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        for name, parameter in step.model.named_parameters()
        if parameter.requires_grad
    }
    return {name: value.detach() for name, value in losses.items()}, gradients


def average_between_threads(value: torch.Tensor, ranks: Ranks, meeting, values: dict):
    """What `average_scalar` does, between two threads instead of two processes."""
    if ranks.world_size == 1:
        return value
    values[ranks.rank] = value
    meeting.wait(timeout=20)
    mean = torch.stack([values[0], values[1]]).mean()
    meeting.wait(timeout=20)
    return mean


def switch_head(model, kind: str):
    model.config = replace(model.config, label_head=kind)
    model.clip2sam = CLIP2SAM(model.config)
    return model


@pytest.mark.parametrize("kind", ["fpn", "label-token", "label-token+clip"])
def test_two_ranks_with_half_a_batch_equal_one_with_the_whole(
    tiny_model, mixed, monkeypatch, kind
) -> None:
    model = switch_head(tiny_model, kind)
    meeting, values = threading.Barrier(2), {}
    monkeypatch.setattr(
        losses,
        "average_scalar",
        lambda value, ranks: average_between_threads(value, ranks, meeting, values),
    )
    halves = [make_step(copy.deepcopy(model), mixed, 2) for _ in range(2)]
    whole = make_step(model, mixed, 4)
    expected, gradients = losses_and_gradients(whole, StepRandom(3, 5))
    with ThreadPoolExecutor(2) as threads:
        randoms = [StepRandom(3, 5, Ranks(rank, 2)) for rank in range(2)]
        found = list(threads.map(losses_and_gradients, halves, randoms))
    for name, value in expected.items():
        mean = (found[0][0][name] + found[1][0][name]) / 2
        assert torch.allclose(mean, value, atol=1e-5), name
    for name, value in gradients.items():
        mean = (found[0][1][name] + found[1][1][name]) / 2
        assert torch.allclose(mean, value, atol=1e-5), name
    assert sum(float(value.abs().sum()) for value in gradients.values()) > 1


def test_ranks_of_that_test_have_unequal_numbers_of_masks(mixed) -> None:
    counts = [
        sum(
            draw_sample(mixed, 64, AugmentSettings(), random.of_sample(i, 2)).masks is not None
            for i in range(2)
        )
        for random in (StepRandom(3, 5, Ranks(rank, 2)) for rank in range(2))
    ]
    assert counts[0] != counts[1]


@pytest.mark.parametrize("kind", ["fpn", "label-token", "label-token+clip"])
def test_every_head_of_table_6_learns_a_batch(tiny_model, pool, kind) -> None:
    model = switch_head(tiny_model, kind)
    step = make_step(model, pool.sampler(LABELS), 2)
    optimiser = torch.optim.AdamW(model.clip2sam.parameters(), lr=5e-3)
    history = []
    for _ in range(25):
        losses = step(0, 0.0, StepRandom(0, 0))
        optimiser.zero_grad()
        losses["label"].backward()
        optimiser.step()
        history.append(float(losses["label"].detach()))
    assert history[-1] < 0.7 * history[0]


def test_boxes_without_masks_train_the_class_loss_alone(tiny_model, pool) -> None:
    load = pool.sampler(LABELS)

    def load_boxes(random: np.random.Generator) -> TrainingSample:
        sample = load(random)
        return TrainingSample(sample.pixels, None, sample.labels, sample.boxes_xyxy())

    step = make_step(tiny_model, load_boxes, 2)
    losses, gradients = losses_and_gradients(step, StepRandom(0, 0))
    assert float(losses["bce"]) == float(losses["dice"]) == 0
    assert float(losses["label"]) > 0
    assert not any(g.any() for name, g in gradients.items() if name.startswith("mask_decoder"))


def test_objects_without_masks_are_prompted_by_box_alone(pool) -> None:
    sample = pool.sample(0, LABELS)
    boxes = TrainingSample(sample.pixels, None, sample.labels, sample.boxes_xyxy())
    chosen = sample_proposals(boxes, np.random.default_rng(0), 6)
    assert len(chosen.boxes_xyxy) == 6
    assert len(chosen.points_xy) == 0


@pytest.mark.parametrize("seed", range(4))
def test_boxes_move_as_masks_do(seed) -> None:
    """Filled rectangles, so that what is left after the crop has the clipped box."""
    boxes = np.array([[3, 5, 60, 50], [20, 60, 100, 90]], np.float32)
    masks = np.zeros((2, 100, 120), np.uint8)
    masks[0, 5:50, 3:60] = masks[1, 60:90, 20:100] = 1
    pixels, labels = np.zeros((100, 120, 3), np.uint8), np.array([4, 7])
    settings = AugmentSettings(min_ratio=0.8, max_ratio=1.5)
    by_mask, by_box = (
        augment_sample(sample, 128, settings, np.random.default_rng(seed))
        for sample in (
            TrainingSample(pixels, masks, labels),
            TrainingSample(pixels, None, labels, boxes),
        )
    )
    assert by_box.labels.tolist() == by_mask.labels.tolist() == [4, 7]
    assert np.abs(by_mask.boxes_xyxy() - by_box.boxes_xyxy()).max() <= 1


def test_a_sample_has_masks_or_boxes() -> None:
    with pytest.raises(ValueError, match="either masks or boxes"):
        TrainingSample(np.zeros((2, 2, 3), np.uint8), None, np.zeros(0, np.int64))


def test_data_whose_objects_all_vanish_is_refused(pool) -> None:
    tiny = AugmentSettings(min_ratio=0.02, max_ratio=0.02)
    with pytest.raises(ConfigError, match=r"none in 1000 images; give larger augment\.min_ratio"):
        draw_sample(pool.sampler(LABELS), 64, tiny, np.random.default_rng(0))


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (2, 7), (3, 20)])
def test_threads_change_nothing_that_is_drawn(threads, ahead) -> None:
    ranks = Ranks(1, 2)

    def prepare(random: np.random.Generator) -> float:
        return random.random()

    plain = SampleReader(prepare, 3)
    ahead_of_time = SampleReader(prepare, 3, threads, ahead)
    for step in (0, 1, 2, 7, 8, 3):  # a resumed run jumps
        random = StepRandom(4, step, ranks)
        assert ahead_of_time.read(random) == plain.read(random)
    ahead_of_time.close()


def test_an_error_of_a_reader_thread_reaches_the_step() -> None:
    def prepare(random: np.random.Generator) -> float:
        raise ConfigError("no such picture")

    reader = SampleReader(prepare, 2, 1, 1)
    with pytest.raises(ConfigError, match="no such picture"):
        reader.read(StepRandom(0, 0))
    reader.close()


def test_a_negative_number_of_threads_is_refused() -> None:
    with pytest.raises(ConfigError, match="reader_threads >= 0 and read_ahead >= 1, got -1 and 32"):
        LabelStepSettings(reader_threads=-1)
