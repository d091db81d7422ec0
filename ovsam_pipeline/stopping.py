"""The wish to end a run early, in good order, and why."""

from __future__ import annotations

import threading
from typing import Literal

__all__ = ["StopReason", "StopRequest"]

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
