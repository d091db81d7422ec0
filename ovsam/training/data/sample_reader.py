"""Samples of the coming steps, read by threads while the step before still computes.

What a sample is depends on the run's seed, the step and its place in the batch alone (StepRandom),
so it is the same for any number of threads, and whoever reads it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np

from ovsam.training.loop.step_random import StepRandom

T = TypeVar("T")


class SampleReader(Generic[T]):
    """The batch of each step; with threads, the batches of the next steps are being made too."""

    def __init__(
        self,
        prepare: Callable[[np.random.Generator], T],
        count: int,
        threads: int = 0,
        ahead: int = 32,
    ) -> None:
        """Start nothing yet.

        `prepare`: makes one sample; called in several threads at once. `threads`: how many read
        ahead; 0: `read` does it itself. `ahead`: samples to have ready or in the making, beyond the
        step's own.
        """
        self.prepare = prepare
        self.count = count
        self.ahead = ahead
        self._pool = ThreadPoolExecutor(threads, "sample-reader") if threads else None
        self._waiting: deque[Future[T]] = deque()
        self._first: StepRandom | None = None

    def read(self, random: StepRandom) -> list[T]:
        """Return the step's samples in order; steps are expected one after the other."""
        if self._pool is None:
            return [self.prepare(random.of_sample(i, self.count)) for i in range(self.count)]
        if self._first != random:
            self._forget()
            self._first = random
        self._submit(self._pool, random)
        samples = [self._waiting.popleft().result() for _ in range(self.count)]
        self._first = random.following()
        return samples

    def close(self) -> None:
        """Drop what was read ahead and end the threads."""
        self._forget()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, random: StepRandom) -> None:
        """Fill the queue up to `count + ahead` samples from the first of step `random.step`."""
        for place in range(self.count + self.ahead):
            index = place % self.count
            if place and not index:
                random = random.following()
            if place >= len(self._waiting):
                draw = random.of_sample(index, self.count)
                self._waiting.append(pool.submit(self.prepare, draw))

    def _forget(self) -> None:
        """Drop samples of steps that nobody will ask for."""
        while self._waiting:
            self._waiting.popleft().cancel()
