"""Micro-batches, the moving average, and what trains and what does not."""

import numpy as np
import pytest
import torch
from tiny_run import TinyStep, read_log, train
from torch import nn

from ovsam.training.loop.ema import MovingAverage
from ovsam.training.loop.loop import LoopSettings, TrainingRun
from ovsam.training.loop.optimiser import clip_gradients
from ovsam.training.loop.step_random import StepRandom


def test_micro_batches_equal_one_batch_as_large_as_all(tmp_path):
    large, _ = train(tmp_path / "large", step=TinyStep(batch=12), steps=5)
    parts, _ = train(tmp_path / "parts", step=TinyStep(batch=4), steps=5, accumulate=3)
    for one, other in zip(large.head.parameters(), parts.head.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6, rtol=0)
    pairs = zip(read_log(tmp_path / "large"), read_log(tmp_path / "parts"), strict=True)
    for one, other in pairs:
        assert one["mse"] == pytest.approx(other["mse"], abs=1e-6)


def test_micro_batches_draw_different_samples():
    drawn = set()
    random = StepRandom(0, 0, num_parts=2)
    for _ in range(4):
        drawn |= {random.of_sample(index, 2).integers(1 << 60) for index in range(2)}
        random = random.following()
    assert len(drawn) == 8
    assert random == StepRandom(0, 2, num_parts=2)


def test_moving_average_follows_the_weights_by_its_decay():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    average = MovingAverage({"m": model}, 0.5)
    nn.init.constant_(model.weight, 3.0)
    average.update(1000)
    assert average.tensors["m.weight"].item() == pytest.approx(2.0)
    average.update(1)  # early: (1 + 1) / (10 + 1)
    assert average.tensors["m.weight"].item() == pytest.approx(2 * 2 / 11 + 3 * 9 / 11)


def test_moving_average_is_float32_of_what_trains_alone():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).to(torch.bfloat16)
    model[0].requires_grad_(False)
    average = MovingAverage({"m": model}, 0.9)
    assert set(average.tensors) == {"m.1.weight", "m.1.bias"}
    assert {tensor.dtype for tensor in average.tensors.values()} == {torch.float32}


def test_averages_are_evaluated_and_left_behind(tmp_path):
    step = TinyStep()
    loop = LoopSettings(steps=6, ema_decay=0.9, evaluate_every_s=0.0, log_every=1)
    run = TrainingRun({"head": step.head}, loop, tmp_path)
    seen, trained = [], []

    def evaluate():
        seen.append(step.head[0].weight.detach().clone())
        return {"error": 0.0}

    def compute(number, progress, random):
        trained.append(step.head[0].weight.detach().clone())
        return step(number, progress, random)

    run.run(compute, evaluate)
    last = run.parts.average.tensors["head.0.weight"]
    assert torch.equal(seen[-1], last)
    assert torch.equal(step.head[0].weight, last)
    assert not torch.equal(seen[0], trained[1])  # training went on with the weights themselves


def test_frozen_parts_take_no_gradient_no_optimiser_state_and_do_not_move(tmp_path):
    step = TinyStep()
    before = {name: value.clone() for name, value in step.frozen.state_dict().items()}
    _, run = train(tmp_path, step=step)
    assert all(parameter.grad is None for parameter in step.frozen.parameters())
    trained = {id(parameter) for parameter in step.head.parameters()}
    assert {id(parameter) for parameter in run.parts.optimiser.state} == trained
    after = step.frozen.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)  # BatchNorm's too


@pytest.mark.parametrize(("most", "expected"), [(1.0, 1.0), (0.0, 5.0), (9.0, 5.0)])
def test_gradients_are_clipped_together_and_the_norm_before_is_returned(most, expected):
    parameters = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0]), torch.tensor([4.0])
    assert clip_gradients(parameters, most) == pytest.approx(5.0)
    norm = np.hypot(*(parameter.grad.item() for parameter in parameters))
    assert norm == pytest.approx(expected, rel=1e-5)
