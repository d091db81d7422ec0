"""The wish to end a training early: SIGTERM, Ctrl-C, or the driver of a cluster.

A step is never cut: the loop looks here between steps, all processes agree, the first one saves.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_HURRY_CODE = 130
_SAME_S = 1.0


class RunStoppedError(Exception):
    """A run was ended early, saved, and goes on from there when started again.

    Not an `OvsamError`: nothing went wrong.
    """

    def __init__(self, step: int, *, is_interrupted: bool) -> None:
        super().__init__(f"stopped and saved at step {step}; the same command goes on from there")
        self.step = step
        self.is_interrupted = is_interrupted

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross processes whole."""
        return _rebuild, (self.step, self.is_interrupted)


def _rebuild(step: int, is_interrupted: bool) -> RunStoppedError:
    return RunStoppedError(step, is_interrupted=is_interrupted)


class StopWish:
    """What this process was asked; one process has one, as signals come to processes."""

    def __init__(self) -> None:
        self._terminated = threading.Event()
        self._interrupted = threading.Event()

    @property
    def counts(self) -> tuple[float, float]:
        """(1, 0) after SIGTERM, (0, 1) after Ctrl-C, zeros before; sums over processes add up."""
        return float(self._terminated.is_set()), float(self._interrupted.is_set())

    @property
    def is_made(self) -> bool:
        """Whether any wish was made."""
        return any(self.counts)

    def make(self, number: int) -> None:
        """Ask for the end as that signal does."""
        (self._interrupted if number == signal.SIGINT else self._terminated).set()

    def forget(self) -> None:
        """Take the wish back: a new run begins."""
        self._terminated.clear()
        self._interrupted.clear()


stop_wish = StopWish()


@contextmanager
def heed_signals() -> Iterator[None]:
    """Turn SIGTERM or Ctrl-C during a block into a wish; a second Ctrl-C ends the process at once.

    The terminal and `torchrun` both pass a Ctrl-C on: what comes within a second is the same one.
    Outside the main thread (a Ray actor) signals are left alone, and wishes come by `stop_wish`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    first_s: float | None = None

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        nonlocal first_s
        if number == signal.SIGINT:
            if first_s is not None and time.monotonic() - first_s > _SAME_S:
                os._exit(_HURRY_CODE)
            first_s = first_s or time.monotonic()
        stop_wish.make(number)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
