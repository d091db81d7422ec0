"""What a step reports besides its losses: how many images, how long it waited, its batch.

A step that has a `report` is metered: images a second and waiting for data are logged, and a batch
whose loss is not finite is saved. Any other function of (step, progress, random) trains as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor


@dataclass
class StepReport:
    """Filled by a step, read and emptied by the loop.

    Attributes:
        images: seen since the loop looked last.
        wait_s: seconds in `waiting` since then: what a faster disk or more loaders would save.
        batch: tensors of the newest batch by name; they are kept, not copied.
    """

    images: int = 0
    wait_s: float = 0.0
    batch: Mapping[str, Tensor] = field(default_factory=dict)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of a block as waiting for data."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.wait_s += time.perf_counter() - start

    def keep(self, images: int, **batch: Tensor) -> None:
        """Note a batch of so many images, before its losses are computed."""
        self.images += images
        self.batch = batch

    def empty(self) -> tuple[int, float]:
        """Return the images and the seconds since the last call."""
        counted = self.images, self.wait_s
        self.images, self.wait_s = 0, 0.0
        return counted


@runtime_checkable
class MeteredStep(Protocol):
    """A step with a report."""

    report: StepReport
