"""A request to stop a training early but cleanly: SIGTERM, Ctrl-C, or a cluster's driver.

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
_INTERRUPTED_CODE = 130
# The terminal and torchrun both forward one Ctrl-C: what comes this close is the same one.
_SAME_S = 1.0


class RunStoppedError(Exception):
    """A run was stopped early and saved; the same command resumes it.

    Not an `OvsamError`: nothing went wrong.
    """

    def __init__(self, step: int, *, is_interrupted: bool) -> None:
        super().__init__(f"stopped and saved at step {step}; run the same command to resume")
        self.step = step
        self.is_interrupted = is_interrupted

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross processes whole."""
        return _rebuild, (self.step, self.is_interrupted)


def _rebuild(step: int, is_interrupted: bool) -> RunStoppedError:
    return RunStoppedError(step, is_interrupted=is_interrupted)


class StopSignal:
    """The stop requests of this process; there is one per process, as signals come to processes."""

    def __init__(self) -> None:
        self._terminated = threading.Event()
        self._interrupted = threading.Event()

    @property
    def counts(self) -> tuple[float, float]:
        """(1, 0) after SIGTERM, (0, 1) after Ctrl-C, zeros before; sums over processes add up."""
        return float(self._terminated.is_set()), float(self._interrupted.is_set())

    @property
    def is_requested(self) -> bool:
        """Whether a stop was requested."""
        return any(self.counts)

    def request(self, number: int) -> None:
        """Request a stop as that signal does."""
        (self._interrupted if number == signal.SIGINT else self._terminated).set()

    def clear(self) -> None:
        """Clear all requests: a new run begins."""
        self._terminated.clear()
        self._interrupted.clear()


stop_signal = StopSignal()


@contextmanager
def catch_stop_signals() -> Iterator[None]:
    """Turn SIGTERM or Ctrl-C during a block into a stop request; a second Ctrl-C ends the process.

    The terminal and `torchrun` both pass a Ctrl-C on: what comes within a second is the same one.
    Outside the main thread (a Ray actor) signals are left alone, and requests go to `stop_signal`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    first_s: float | None = None

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        nonlocal first_s
        if number == signal.SIGINT:
            if first_s is not None and time.monotonic() - first_s > _SAME_S:
                os._exit(_INTERRUPTED_CODE)
            first_s = first_s or time.monotonic()
        stop_signal.request(number)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
