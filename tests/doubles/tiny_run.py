"""A training of a second or two, also as a program of its own: `tiny_run.py OUT KEY=VALUE ...`.

A small network with a frozen BatchNorm part, a trained one with dropout, and inputs that are drawn
sample by sample, so that processes and micro-batches can share a batch.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ovsam.training.loop.distributed import join_ranks, leave_ranks
from ovsam.training.loop.loop import LoopSettings, TrainingRun
from ovsam.training.loop.optimiser import OptimiserSettings
from ovsam.training.loop.schedule import Schedule
from ovsam.training.loop.step_report import StepReport
from ovsam.training.loop.stopping import RunStoppedError

FAST = OptimiserSettings(learning_rate=0.01, clip_norm=1.0)


class TinyStep:
    """A regression on random inputs."""

    def __init__(self, batch=4, dropout=0.0, pause_s=0.0, bad_steps=()):
        torch.manual_seed(3)
        self.frozen = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)).eval()
        self.frozen.requires_grad_(False)
        self.head = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))
        self.batch, self.pause_s, self.bad_steps = batch, pause_s, bad_steps
        self.report = StepReport()
        self.seen = []

    def __call__(self, step, progress, random):
        time.sleep(self.pause_s)
        draws = [random.of_sample(i, self.batch).normal(size=4) for i in range(self.batch)]
        inputs = torch.from_numpy(np.array(draws, np.float32))
        self.report.keep(self.batch, inputs=inputs)
        error = self.head(self.frozen(inputs))[:, 0] - inputs.sum(dim=1)
        loss = error.square().mean()
        if step in self.bad_steps:
            loss = loss * float("nan")
        self.seen.append(float(loss.detach()))
        return {"mse": loss, "error": error.detach().abs().mean()}


def small_loop(**loop):
    """Settings of twelve steps, each of them logged."""
    return LoopSettings(
        **{"steps": 12, "log_every": 1, "optimiser": FAST, "schedule": Schedule(), **loop}
    )


def train(folder, ranks=None, step=None, **loop):
    """Run it; returns the step and the run."""
    step = step or TinyStep()
    run = TrainingRun({"head": step.head}, small_loop(**loop), folder, ranks)
    run.run(step)
    return step, run


def read_log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def read_curve(folder, names=("step", "mse", "error", "grad_norm", "lr")):
    """The log without what depends on the clock."""
    return [{name: line[name] for name in names} for line in read_log(folder)]


def main():
    folder, *pairs = sys.argv[1:]
    given = {name: json.loads(value) for name, value in (pair.split("=") for pair in pairs)}
    step = TinyStep(
        **{name: given.pop(name) for name in ("batch", "dropout", "pause_s") if name in given}
    )
    torch.set_num_threads(1)
    try:
        train(Path(folder), join_ranks(), step, **given)
    except RunStoppedError as stop:
        sys.exit(130 if stop.is_interrupted else 0)
    finally:
        leave_ranks()


if __name__ == "__main__":
    main()
