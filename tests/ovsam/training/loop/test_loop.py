"""Loop, schedule, optimiser groups, settings."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from ovsam.errors import ConfigError
from ovsam.strict import build_strict
from ovsam.training.loop.distributed import Ranks, average_gradients
from ovsam.training.loop.loop import LoopSettings, TrainingRun
from ovsam.training.loop.optimiser import OptimiserSettings, build_optimiser, group_parameters
from ovsam.training.loop.schedule import Schedule
from ovsam.training.steps.label import LabelStepSettings

FAST = OptimiserSettings(learning_rate=0.01, clip_norm=1.0)


def _run(folder, steps, stop_at=None):
    """A noisy regression whose every step draws from numpy's and from torch's generators."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    settings = LoopSettings(steps=steps, log_every=2, optimiser=FAST, schedule=Schedule())
    run = TrainingRun({"model": model}, settings, folder)

    def losses(step, progress, random):
        if stop_at is not None and step == stop_at:
            run.save()
            raise KeyboardInterrupt
        inputs = torch.from_numpy(random.shared().normal(size=(16, 4)).astype(np.float32))
        return {"mse": (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()}

    try:
        run.run(losses)
    except KeyboardInterrupt:
        return None
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_stopped_and_resumed_run_equals_an_undisturbed_one(tmp_path):
    whole = _run(tmp_path / "whole", 8)
    assert _run(tmp_path / "cut", 8, stop_at=5) is None
    assert torch.equal(_run(tmp_path / "cut", 8), whole)


def test_finished_run_takes_no_further_step(tmp_path):
    first = _run(tmp_path, 4)
    assert torch.equal(_run(tmp_path, 4), first)


def test_log_has_one_json_object_a_report(tmp_path):
    _run(tmp_path, 6)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert all(line["mse"] > 0 for line in lines)


@pytest.mark.parametrize(
    ("step", "progress", "expected"),
    [(0, 0.0, 0.001), (250, 0.0, 0.5005), (500, 0.0, 1.0), (900, 1.0, 0.01)],
)
def test_cosine_factors(step, progress, expected):
    assert Schedule().factor(step, progress) == pytest.approx(expected)


def test_step_schedule_drops_at_epochs_8_and_11_of_12():
    schedule = Schedule(kind="step", warmup_steps=0)
    factors = [schedule.factor(1, epoch / 12) for epoch in (7.9, 8, 10.9, 11)]
    assert factors == pytest.approx([1.0, 0.1, 0.1, 0.01])


def test_norms_biases_and_embeddings_do_not_decay():
    model = nn.ModuleDict(
        {"conv": nn.Conv2d(2, 2, 3), "norm": nn.LayerNorm(2), "token": nn.Embedding(3, 2)}
    )
    decayed, plain = group_parameters([model], 0.05)
    assert [id(p) for p in decayed["params"]] == [id(model["conv"].weight)]
    assert len(plain["params"]) == 4
    assert plain["weight_decay"] == 0


def test_nothing_to_train_is_refused():
    with pytest.raises(ConfigError, match="nothing to train"):
        build_optimiser([nn.Linear(2, 2).requires_grad_(False)], FAST)


def test_one_process_averages_nothing():
    parameter = nn.Parameter(torch.ones(2))
    average_gradients([parameter], Ranks())
    assert parameter.grad is None


@pytest.mark.parametrize("length", [{}, {"steps": 3, "minutes": 1.0}])
def test_run_needs_exactly_one_length(length):
    with pytest.raises(ConfigError, match=r"either loop\.steps or loop\.minutes"):
        LoopSettings(**length)


def test_settings_name_the_nearest_key():
    with pytest.raises(ConfigError, match="did you mean 'minutes'"):
        build_strict(LoopSettings, {"minuets": 3})


def test_settings_convert_lists_and_nested_mappings():
    settings = build_strict(
        LabelStepSettings, {"train_parts": ["neck"], "augment": {"max_ratio": 1}}
    )
    assert settings.train_parts == ("neck",)
    assert settings.augment.max_ratio == 1.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": "many"}, "expected config.steps as a whole number, got 'many'"),
        ({"schedule": 3}, "expected config.schedule as a mapping, got 3"),
        ({"schedule": {"kind": "linear"}}, "schedule.kind as one of cosine, step, got 'linear'"),
    ],
)
def test_wrong_values_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        build_strict(LoopSettings, values)


def test_unknown_part_is_refused():
    with pytest.raises(ConfigError, match="train_parts must name some of"):
        LabelStepSettings(train_parts=("decoder",))
