"""A check before a long run: one batch, seen again and again, must be learned by heart.

Where it is not, something between the data and the optimiser is broken: labels that are not those
of the images, a part that is frozen, a loss without gradient. Nothing of it is worth keeping.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from ovsam.checked_json import parse_json
from ovsam.errors import TrainingError
from ovsam.training.loop.distributed import join_ranks
from ovsam.training.loop.loop import ComputeLosses, TrainingRun
from ovsam.training.loop.optimiser import OptimiserSettings
from ovsam.training.loop.schedule import Schedule
from ovsam.training.loop.settings import LoopSettings
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.loop.step_report import StepReport
from ovsam.training.samples import AugmentSettings
from ovsam.training.stages.label import LabelStageSettings, TrainingData, open_label_stage
from ovsam.training.steps.label import LabelStepSettings

logger = logging.getLogger(__name__)

STEPS = 300
LOG_EVERY = 10
# What the losses of a label stage must come down to, of what they were or in themselves.
NEAR_ZERO = {"label": 0.05, "bce": 0.25, "dice": 0.5}
_STILL = AugmentSettings(min_ratio=1, max_ratio=1, flip=0)


@dataclass(frozen=True)
class OverfitResult:
    """Mean losses of the first and of the last ten steps, by name."""

    first: dict[str, float]
    last: dict[str, float]

    @property
    def too_high(self) -> dict[str, float]:
        """The losses that did not come near zero."""
        return {name: value for name, value in self.last.items() if value > NEAR_ZERO[name]}


class OneBatch:
    """A step that always draws what step 0 draws."""

    def __init__(self, step: ComputeLosses, report: StepReport) -> None:
        self.step = step
        self.report = report

    def __call__(self, step: int, progress: float, random: StepRandom) -> Mapping[str, Tensor]:
        """Return the losses of the one batch."""
        del step, progress
        return self.step(0, 0.0, replace(random, step=0))


def choose_overfit_loop(seed: int, steps: int = STEPS) -> LoopSettings:
    """Return a loop that learns one batch by heart: no decay, short warm-up, a high rate."""
    return LoopSettings(
        steps=steps,
        seed=seed,
        log_every=LOG_EVERY,
        save_every_s=1e9,
        optimiser=OptimiserSettings(learning_rate=1e-3, weight_decay=0.0, clip_norm=1.0),
        schedule=Schedule(warmup_steps=10, warmup_factor=0.01),
    )


def keep_still(settings: LabelStepSettings) -> LabelStepSettings:
    """Return a step's settings without anything random in an image, and in full precision."""
    return replace(
        settings,
        augment=_STILL,
        box_jitter=0.0,
        with_bfloat16=False,
        with_compile=False,
        reader_threads=0,
    )


def overfit_labels(
    settings: LabelStageSettings, data: TrainingData, init: Path, out: Path, steps: int = STEPS
) -> OverfitResult:
    """Learn one batch of a stage of masks, labels or both by heart.

    `settings`: of the stage; its loop is not used but for the seed. `out`: folder for the log; it
    must not have one of another kind of run.
    """
    ranks = join_ranks()
    still = replace(settings, step=keep_still(settings.step))
    stage = open_label_stage(still, data, init, ranks)
    loop = choose_overfit_loop(settings.loop.seed, steps)
    run = TrainingRun(stage.parts, loop, out, ranks, about=still)
    run.run(OneBatch(stage.step, stage.step.report))
    result = read_overfit_result(out / "log.jsonl")
    if result.too_high:
        high = ", ".join(f"{name} {value:.4g}" for name, value in result.too_high.items())
        limits = ", ".join(f"{name} {NEAR_ZERO[name]}" for name in result.too_high)
        raise TrainingError(
            f"expected losses of at most {limits} after {steps} steps on one batch, got {high}; "
            f"look at the labels of the data, at step.train_parts and at {run.log.path}"
        )
    return result


def read_overfit_result(path: Path) -> OverfitResult:
    """Return the first and the last losses of a log."""
    lines = [parse_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
    first, last = (
        {name: line[name] for name in NEAR_ZERO if name in line} for line in (lines[0], lines[-1])
    )
    return OverfitResult(first, last)
