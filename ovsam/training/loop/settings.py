"""What a resumed training must agree on with the run that it continues."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovsam.errors import ConfigError
from ovsam.training.loop.optimiser import OptimiserSettings
from ovsam.training.loop.schedule import Schedule

FREE = {"is_free": True}
"""Metadata of a field that a resumed run may change."""


def list_binding(settings: Any, prefix: str) -> dict[str, Any]:
    """Return what a resumed run must agree on, as plain values by dotted name.

    `settings`: a settings dataclass; fields with `metadata=FREE` are left out, as they do not reach
    the weights.
    """
    found: dict[str, Any] = {}
    for each in dataclasses.fields(settings):
        if each.metadata.get("is_free"):
            continue
        name, value = f"{prefix}.{each.name}", getattr(settings, each.name)
        if dataclasses.is_dataclass(value):
            found |= list_binding(value, name)
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            for number, row in enumerate(value):
                found |= list_binding(row, f"{name}[{number}]")
        else:
            found[name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    """Return a field's value as JSON would have it."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """Length, rhythm and optimiser of a run.

    Attributes:
        steps: Length of the run in steps; 0 when it is given in minutes.
        minutes: Length of the run in minutes; 0 when it is given in steps. A run by the clock
            decays by the clock too, so it ends where it should on a machine of any speed.
        seed: Seed of the data order and of all sampling.
        accumulate: Micro-batches a step: as one batch so many times as large, in the memory of one.
        ema_decay: Of the moving average of the weights that is evaluated and left behind; 0: none.
        log_every: Steps between two lines of the log.
        save_every: Steps between two checkpoints; 0: by the seconds alone.
        keep_checkpoints: How many of the newest stay.
        skip_bad_steps: Steps with a loss or gradient that is not finite that may be left out
            before the run ends with an error.
    """

    steps: int = 0
    minutes: float = 0.0
    seed: int = 0
    accumulate: int = 1
    ema_decay: float = 0.0
    log_every: int = field(default=50, metadata=FREE)
    save_every: int = field(default=0, metadata=FREE)
    save_every_s: float = field(default=120.0, metadata=FREE)
    keep_checkpoints: int = field(default=2, metadata=FREE)
    evaluate_every_s: float = field(default=300.0, metadata=FREE)
    skip_bad_steps: int = field(default=0, metadata=FREE)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        """Refuse a run without a length, or with two, and numbers that cannot work."""
        if (self.steps > 0) == (self.minutes > 0):
            raise ConfigError(
                "a run needs either loop.steps or loop.minutes above 0, "
                f"got steps {self.steps} and minutes {self.minutes}"
            )
        for name, least in (
            ("accumulate", 1),
            ("log_every", 1),
            ("keep_checkpoints", 1),
            ("save_every", 0),
            ("skip_bad_steps", 0),
        ):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"loop.{name} must be at least {least}, got {getattr(self, name)}"
                )
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"loop.ema_decay must be in [0, 1), got {self.ema_decay}")

    def progress(self, step: int, elapsed_s: float) -> float:
        """Part of the run that is done, from 0."""
        return step / self.steps if self.steps else elapsed_s / (60 * self.minutes)
