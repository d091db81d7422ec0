"""The training loop: batches → losses → one optimiser step, logged, checkpointed, resumable.

Every stage gives a function from (step, progress, random) to named losses; the loop sums them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ovsam.errors import ConfigError
from ovsam.training.distributed import Ranks, average_gradients, share_seconds
from ovsam.training.optimiser import OptimiserSettings, build_optimiser
from ovsam.training.run_log import RunLog
from ovsam.training.run_state import RunState, read_run_state, write_run_state
from ovsam.training.schedule import Schedule

ComputeLosses = Callable[[int, float, np.random.Generator], Mapping[str, Tensor]]
Evaluate = Callable[[], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How long, how fast, how often.

    Attributes:
        steps: Length of the run in steps; 0 when it is given in minutes.
        minutes: Length of the run in minutes; 0 when it is given in steps. A run by the clock
            decays by the clock too, so it ends where it should on a machine of any speed.
        seed: Seed of the data order and of all sampling.
        log_every: Steps between two lines of the log.
        save_every_s: Seconds between two checkpoints.
        evaluate_every_s: Seconds between two evaluations.
        optimiser: AdamW's numbers.
        schedule: Learning rate over the run.
    """

    steps: int = 0
    minutes: float = 0.0
    seed: int = 0
    log_every: int = 50
    save_every_s: float = 120.0
    evaluate_every_s: float = 300.0
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        """Refuse a run without a length, or with two."""
        if (self.steps > 0) == (self.minutes > 0):
            raise ConfigError(
                "a run needs either loop.steps or loop.minutes above 0, "
                f"got steps {self.steps} and minutes {self.minutes}"
            )

    def progress(self, state: RunState) -> float:
        """Part of the run that is done, from 0."""
        if self.steps:
            return state.step / self.steps
        return state.elapsed_s / (60 * self.minutes)


class TrainingRun:
    """One run in one folder: `log.jsonl` and `checkpoint.pt`."""

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        settings: LoopSettings,
        folder: Path,
        ranks: Ranks | None = None,
    ) -> None:
        self.modules = modules
        self.settings = settings
        self.ranks = ranks or Ranks()
        self.random = np.random.default_rng([settings.seed, self.ranks.rank])
        torch.manual_seed(settings.seed + 1000 * self.ranks.rank)
        self.optimiser = build_optimiser(modules.values(), settings.optimiser)
        self.parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        self.path = folder / "checkpoint.pt"
        self.log = RunLog(folder / "log.jsonl")
        self.state = read_run_state(self.path, modules, self.optimiser, self.random)
        if not self.ranks.is_first and self.state.step:
            # The checkpoint has the first process's generators: do not repeat its data.
            seed = [settings.seed, self.ranks.rank, self.state.step]
            self.random = np.random.default_rng(seed)
            torch.manual_seed(int(self.random.integers(1 << 31)))

    def run(self, compute_losses: ComputeLosses, evaluate: Evaluate | None = None) -> None:
        """Train until the run's length is reached; the last checkpoint is the result."""
        started = time.monotonic() - self.state.elapsed_s
        saved = evaluated = time.monotonic()
        sums: dict[str, float] = {}
        while True:
            self.state.elapsed_s = share_seconds(time.monotonic() - started, self.ranks)
            progress = self.settings.progress(self.state)
            if progress >= 1:
                break
            for name, value in self._step(compute_losses, progress).items():
                sums[name] = sums.get(name, 0.0) + value
            now = time.monotonic()
            if self.state.step % self.settings.log_every == 0:
                self._report(sums)
                sums = {}
            if now - saved > self.settings.save_every_s:
                self.save()
                saved = now
            if evaluate and now - evaluated > self.settings.evaluate_every_s:
                self._evaluate(evaluate)
                evaluated = time.monotonic()
        self.save()
        if evaluate:
            self._evaluate(evaluate)

    def save(self) -> None:
        """Write the checkpoint now (first process only)."""
        if self.ranks.is_first:
            write_run_state(self.path, self.state, self.modules, self.optimiser, self.random)

    def _step(self, compute_losses: ComputeLosses, progress: float) -> dict[str, float]:
        """Take one optimiser step and return the losses."""
        numbers = self.settings.optimiser
        factor = self.settings.schedule.factor(self.state.step, progress)
        for group in self.optimiser.param_groups:
            group["lr"] = numbers.learning_rate * factor
        losses = compute_losses(self.state.step, progress, self.random)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack([value for value in losses.values() if value.requires_grad]).sum().backward()
        average_gradients(self.parameters, self.ranks)
        nn.utils.clip_grad_norm_(self.parameters, numbers.clip_norm)
        self.optimiser.step()
        self.state.step += 1
        return {name: float(value.detach()) for name, value in losses.items()}

    def _report(self, sums: Mapping[str, float]) -> None:
        """Log mean losses since the last report."""
        if self.ranks.is_first:
            means = {name: round(v / self.settings.log_every, 4) for name, v in sums.items()}
            rate = self.optimiser.param_groups[0]["lr"]
            seconds = round(self.state.elapsed_s, 1)
            self.log.write(step=self.state.step, elapsed_s=seconds, lr=round(rate, 7), **means)

    def _evaluate(self, evaluate: Evaluate) -> None:
        """Log an evaluation; the other processes wait at their next all-reduce."""
        if self.ranks.is_first:
            values = {name: round(value, 4) for name, value in evaluate().items()}
            self.log.write(
                step=self.state.step, elapsed_s=round(self.state.elapsed_s, 1), evaluation=values
            )
