"""Learning-rate factors over a run: linear warm-up, then cosine or steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ovsam.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Warm-up by step number, decay by the run's progress in [0, 1].

    Attributes:
        kind: "cosine" to `final_factor`, or "step": x 0.1 at each of `milestones`.
        final_factor: Factor at the end of a cosine.
        milestones: Progress values at which a "step" schedule drops.
    """

    kind: Literal["cosine", "step"] = "cosine"
    warmup_steps: int = 500
    warmup_factor: float = 0.001
    final_factor: float = 0.01
    milestones: tuple[float, ...] = (8 / 12, 11 / 12)

    def __post_init__(self) -> None:
        """Refuse unknown kinds and impossible numbers."""
        if self.kind not in ("cosine", "step"):
            raise ConfigError(f"schedule.kind must be 'cosine' or 'step', got {self.kind!r}")
        if self.warmup_steps < 0 or not all(0 < m < 1 for m in self.milestones):
            raise ConfigError(
                "schedule needs warmup_steps >= 0 and milestones between 0 and 1, "
                f"got {self.warmup_steps} and {self.milestones}"
            )

    def factor(self, step: int, progress: float) -> float:
        """Return the factor on the base learning rate.

        `step`: steps done, from 0. `progress`: part of the run done, in [0, 1].
        """
        warm = 1.0
        if step < self.warmup_steps:
            warm = self.warmup_factor + (1 - self.warmup_factor) * step / self.warmup_steps
        if self.kind == "step":
            return warm * 0.1 ** sum(progress >= milestone for milestone in self.milestones)
        half = 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
        return warm * (self.final_factor + (1 - self.final_factor) * half)
