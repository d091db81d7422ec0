"""The training loop: batches → losses → one optimiser step, logged, checkpointed, resumable.

Every stage gives a function from (step, progress, random) to named losses; the loop sums them. The
same function runs in one process, in several of `torchrun` and in the actors of a Ray cluster.
"""

from __future__ import annotations

import logging
import math
import resource
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ovsam.training.loop.bad_steps import is_finite, judge_bad_step, save_bad_batch
from ovsam.training.loop.distributed import Ranks, average_gradients, sum_numbers, wait_for_all
from ovsam.training.loop.ema import MovingAverage
from ovsam.training.loop.optimiser import build_optimiser, clip_gradients
from ovsam.training.loop.run_log import RunLog
from ovsam.training.loop.run_state import TrainedParts, read_run_state, write_run_state
from ovsam.training.loop.settings import LoopSettings, list_binding
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.loop.step_report import MeteredStep
from ovsam.training.loop.stopping import RunStoppedError, catch_stop_signals, stop_signal

logger = logging.getLogger(__name__)

ComputeLosses = Callable[[int, float, StepRandom], Mapping[str, Tensor]]
Evaluate = Callable[[], Mapping[str, float]]


class TrainingRun:
    """One run in one folder: `log.jsonl` and `checkpoint-<step>.*`.

    Attributes:
        log: Of the run; lines may be added after it.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        settings: LoopSettings,
        folder: Path,
        ranks: Ranks | None = None,
        *,
        about: object = None,
        inputs: Mapping[str, object] | None = None,
    ) -> None:
        """Bind a run to its folder, and resume from the newest checkpoint there.

        Args:
            modules: What trains, by name, on this process's device.
            folder: Of the run; the same for all processes.
            about: The stage's settings, a dataclass: a run with others does not resume from these
                checkpoints.
            inputs: What the run was given, by the option's name, in short: the identity of the
                weights that it starts from, the size of its data. As binding as the settings.
        """
        self.modules = modules
        self.settings = settings
        self.folder = folder
        self.ranks = ranks or Ranks()
        optimiser = build_optimiser(modules.values(), settings.optimiser)
        self.parameters = [p for group in optimiser.param_groups for p in group["params"]]
        average = MovingAverage(modules, settings.ema_decay) if settings.ema_decay else None
        self.parts = TrainedParts(modules, optimiser, average)
        self.identity = {"processes": self.ranks.world_size, **list_binding(settings, "loop")}
        if about is not None:
            stage = list_binding(about, "stage")
            self.identity |= {k: v for k, v in stage.items() if not k.startswith("stage.loop.")}
        self.identity |= inputs or {}
        self.state = read_run_state(folder, self.parts, self.identity)
        self.log = RunLog(folder / "log.jsonl", is_written=self.ranks.is_first)
        self.log.begin(self.state.step)
        self._saved_step = self.state.step

    def run(self, compute_losses: ComputeLosses, evaluate: Evaluate | None = None) -> None:
        """Train until the run's length is reached; with a moving average, the modules become it.

        `evaluate`: called now and then, and at the end, in the first process.
        """
        if self.settings.progress(self.state.step, self.state.elapsed_s) >= 1:
            done = self.state.step
            logger.info("%s is trained already (%d steps); use another --out", self.folder, done)
        elif self.ranks.is_first:
            length = f"{self.settings.steps} step{'s' * (self.settings.steps != 1)}"
            if not self.settings.steps:
                length = f"{self.settings.minutes:g} minutes"
            resumed = f", resumed after {self.state.step}" if self.state.step else ""
            every = self.settings.log_every
            logger.info("training: %s%s; a line every %d steps", length, resumed, every)
        try:
            with catch_stop_signals():
                self._run(compute_losses, evaluate)
        finally:
            self.log.close()
        if self.parts.average is not None:
            self.parts.average.put_in()

    def save(self) -> None:
        """Write a checkpoint now (first process only)."""
        self._saved_step = self.state.step
        if self.ranks.is_first:
            self.log.sync()
            keep = self.settings.keep_checkpoints
            write_run_state(self.folder, self.state, self.parts, self.identity, keep)

    def _run(self, compute_losses: ComputeLosses, evaluate: Evaluate | None) -> None:
        """Take steps until the end or a stop request; see `run`."""
        state, settings, before_s = self.state, self.settings, self.state.elapsed_s
        started = saved = evaluated = reported = time.monotonic()
        evaluated_step = -1
        while settings.progress(state.step, state.elapsed_s) < 1:
            self._step(compute_losses)
            elapsed_s = before_s + time.monotonic() - started
            # One small all-reduce: the first process's clock and all wishes are every process's.
            clock = elapsed_s if self.ranks.is_first else 0.0
            state.elapsed_s, terminated, interrupted = sum_numbers(
                (clock, *stop_signal.counts), self.ranks
            )
            if state.step % settings.log_every == 0:
                self._report(compute_losses, time.monotonic() - reported)
                reported = time.monotonic()
            if terminated or interrupted:
                self._stop(is_interrupted=interrupted > 0)
            is_due = settings.save_every and state.step % settings.save_every == 0
            if is_due or time.monotonic() - saved > settings.save_every_s:
                self.save()
                saved = time.monotonic()
            if evaluate and time.monotonic() - evaluated > settings.evaluate_every_s:
                self._evaluate(evaluate)
                evaluated, evaluated_step = time.monotonic(), state.step
        if self._saved_step != state.step:
            self.save()
        if evaluate and evaluated_step != state.step:
            self._evaluate(evaluate)
        wait_for_all(self.ranks)

    def _step(self, compute_losses: ComputeLosses) -> None:
        """Take one optimiser step of `accumulate` micro-batches, or skip it."""
        state, optimiser = self.state, self.parts.optimiser
        numbers = self.settings.optimiser
        progress = self.settings.progress(state.step, state.elapsed_s)
        factor = self.settings.schedule.factor(state.step, progress)
        for group in optimiser.param_groups:
            group["lr"] = numbers.learning_rate * factor
        optimiser.zero_grad(set_to_none=True)
        own: dict[str, float] = {}
        bad: Mapping[str, Tensor] | None = None  # of the first micro-batch that is not finite
        count = self.settings.accumulate
        for part in range(count):
            random = StepRandom(self.settings.seed, state.step, self.ranks, part, count)
            random.seed_torch()
            losses = compute_losses(state.step, progress, random)
            total = torch.stack([loss for loss in losses.values() if loss.requires_grad]).sum()
            (total / count).backward()
            for name, loss in losses.items():
                own[name] = own.get(name, 0.0) + float(loss.detach()) / count
            if bad is None and not all(map(math.isfinite, own.values())):
                bad = compute_losses.report.batch if isinstance(compute_losses, MeteredStep) else {}
        average_gradients(self.parameters, self.ranks)
        grad_norm = clip_gradients(self.parameters, numbers.clip_norm)
        shared = sum_numbers(list(own.values()), self.ranks)
        means = {
            name: value / self.ranks.world_size for name, value in zip(own, shared, strict=True)
        }
        if is_finite(means, grad_norm):
            optimiser.step()
            for name, value in (*means.items(), ("grad_norm", grad_norm), ("steps", 1.0)):
                state.sums[name] = state.sums.get(name, 0.0) + value
        else:
            if bad and isinstance(compute_losses, MeteredStep):
                compute_losses.report.batch = bad
            self._skip(compute_losses, own, {**means, "gradient norm": grad_norm})
        state.step += 1
        if self.parts.average is not None:
            self.parts.average.update(state.step)

    def _skip(
        self, compute_losses: ComputeLosses, own: Mapping[str, float], means: Mapping[str, float]
    ) -> None:
        """Save the batch of a bad step; continue without it, or end the run."""
        about = {"seed": self.settings.seed, "losses": {k: str(v) for k, v in own.items()}}
        path = save_bad_batch(self.folder, self.ranks, self.state.step, compute_losses, about)
        allowed = self.settings.skip_bad_steps
        judge_bad_step(path, means, skipped=self.state.skipped, allowed=allowed)
        self.state.skipped += 1

    def _stop(self, *, is_interrupted: bool) -> None:
        """Save, wait until the checkpoint is there, and end."""
        self.save()
        wait_for_all(self.ranks)
        raise RunStoppedError(self.state.step, is_interrupted=is_interrupted)

    def _report(self, compute_losses: ComputeLosses, seconds: float) -> None:
        """Log mean losses and speed since the last report."""
        sums, self.state.sums = self.state.sums, {}
        steps = sums.pop("steps", 1.0)
        values: dict[str, Any] = {name: _short(value / steps) for name, value in sums.items()}
        values["lr"] = _short(self.parts.optimiser.param_groups[0]["lr"])
        if self.state.skipped:
            values["skipped"] = self.state.skipped
        if isinstance(compute_losses, MeteredStep):
            images, wait_s = compute_losses.report.empty()
            images = images * self.ranks.world_size
            values["images_per_s"] = round(images / max(seconds, 1e-9), 2)
            values["data_wait_s"] = round(wait_s, 3)
        values["peak_memory_mb"] = _measure_peak_mb(self.ranks.device)
        values["progress"] = round(self.settings.progress(self.state.step, self.state.elapsed_s), 4)
        self.log.write(step=self.state.step, elapsed_s=round(self.state.elapsed_s, 1), **values)

    def _evaluate(self, evaluate: Evaluate) -> None:
        """Log an evaluation; the other processes wait at their next all-reduce."""
        if not self.ranks.is_first:
            return
        average = self.parts.average
        shown: AbstractContextManager[None] = average.shown() if average else nullcontext()
        with shown:
            values = {name: round(value, 4) for name, value in evaluate().items()}
        elapsed_s = round(self.state.elapsed_s, 1)
        self.log.write(step=self.state.step, elapsed_s=elapsed_s, evaluation=values)


def _short(value: float) -> float:
    """Seven digits: what a float32 has."""
    return float(f"{value:.7g}")


def _measure_peak_mb(device: torch.device) -> int:
    """Most memory so far in MiB: of the GPU where there is one, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) >> 20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if sys.platform == "darwin" else 10)
