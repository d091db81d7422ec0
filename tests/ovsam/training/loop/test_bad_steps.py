"""Losses that are not finite: the batch is kept, the step skipped or the last."""

import json
import logging

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tiny_run import TinyStep, read_log, train
from torch import nn

from ovsam.errors import TrainingError
from ovsam.training.loop.loop import LoopSettings, TrainingRun


def test_nan_loss_ends_the_run_with_its_batch_saved(tmp_path):
    step = TinyStep(bad_steps=(3,))
    with pytest.raises(TrainingError, match=r"got mse nan, gradient norm nan \(after 0 skipped"):
        train(tmp_path, step=step)
    path = tmp_path / "bad-batch-00000003-rank0.safetensors"
    assert torch.equal(load_file(path)["inputs"], step.report.batch["inputs"])
    with safe_open(path, "pt") as file:
        numbers = json.loads(file.metadata()["numbers"])
    assert numbers["step"] == 3
    assert numbers["losses"]["mse"] == "nan"
    assert len(read_log(tmp_path)) == 3


def test_as_many_bad_steps_as_allowed_are_skipped(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        step, run = train(tmp_path, step=TinyStep(bad_steps=(2, 5)), skip_bad_steps=2)
    assert caplog.text.count("skipped a step whose mse nan") == 2
    assert run.state.step == 12
    assert run.state.skipped == read_log(tmp_path)[-1]["skipped"] == 2
    assert all(torch.isfinite(weight).all() for weight in step.head.parameters())
    assert "mse" not in read_log(tmp_path)[2]


def test_skipped_steps_count_over_a_resumed_run(tmp_path):
    with pytest.raises(TrainingError, match="after 1 skipped"):
        train(tmp_path, step=TinyStep(bad_steps=(2, 8)), skip_bad_steps=1, save_every=3)
    with pytest.raises(TrainingError, match="after 1 skipped"):
        train(tmp_path, step=TinyStep(bad_steps=(8,)), skip_bad_steps=1, save_every=3)


def test_infinite_gradient_of_a_finite_loss_ends_the_run(tmp_path):
    model = nn.Linear(1, 1)
    run = TrainingRun({"model": model}, LoopSettings(steps=2), tmp_path)

    def compute(step, progress, random):
        return {"root": (model.weight * 0).abs().sqrt().sum()}

    with pytest.raises(TrainingError, match=r"got gradient norm nan"):
        run.run(compute)
    assert (tmp_path / "bad-batch-00000000-rank0.safetensors").is_file()
