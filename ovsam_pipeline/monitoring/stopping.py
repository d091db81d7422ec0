"""The wish to end a run early, in good order, and why."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

StopReason = Literal["interrupted", "time limit"]


class StopRequest(threading.Event):
    """An event that the engines look at between images; once set, the first reason stays.

    Attributes:
        reason: why; "interrupted" also where nobody named one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reason: StopReason = "interrupted"

    def request(self, reason: StopReason) -> None:
        """Ask for the end; later wishes change nothing."""
        if not self.is_set():
            self.reason = reason
            self.set()


@contextmanager
def stop_after(stop: StopRequest, seconds: float | None) -> Iterator[None]:
    """Ask for the end when the block has run for so long.

    Args:
        stop: what is asked.
        seconds: at or below 0 asks at once; None never does.
    """
    if seconds is None:
        yield
        return
    # Not a Timer of 0 s: nothing is begun when the time is over before.
    if seconds <= 0:
        stop.request("time limit")
    timer = threading.Timer(max(seconds, 0.0), stop.request, ("time limit",))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
