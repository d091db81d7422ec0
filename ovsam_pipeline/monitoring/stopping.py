"""A request to stop a run early but cleanly, with its reason."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

StopReason = Literal["interrupted", "time limit"]


class StopRequest(threading.Event):
    """An event that the engines check between images.

    The first reason stays. A plain `set`, as on Ctrl-C in a notebook, is an interruption.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reason: StopReason = "interrupted"

    def request(self, reason: StopReason) -> None:
        """Set the event, unless it is set."""
        if not self.is_set():
            self.reason = reason
            self.set()


@contextmanager
def stop_after(stop: StopRequest, seconds: float | None) -> Iterator[None]:
    """Request a stop when the block has run for so long: at once for 0 or less, never for None."""
    if seconds is None:
        yield
        return
    # Not left to a Timer of 0 s, which would let the first images begin.
    if seconds <= 0:
        stop.request("time limit")
    timer = threading.Timer(max(seconds, 0.0), stop.request, ("time limit",))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
