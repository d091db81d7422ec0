"""Where the time of labelling went and what was dropped; without torch, for whoever only counts."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class ShardStats:
    """Where the time went and what was dropped; filled while labelling, safe across threads.

    Attributes:
        seconds: busy time by stage: decode (all threads together), detect, segment, write.
        dropped: boxes that gave no object, by reason.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    _guard: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add_time(self, stage: str, since_s: float) -> None:
        """Charge the time since `since_s` (of `time.perf_counter`) to a stage."""
        self.add_seconds(stage, time.perf_counter() - since_s)

    def add_seconds(self, stage: str, seconds: float) -> None:
        """Charge time to a stage."""
        with self._guard:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def add_dropped(self, dropped: Mapping[str, int]) -> None:
        """Count boxes that gave no object, by reason."""
        with self._guard:
            self.dropped += Counter(dropped)  # leaves out reasons with a count of 0
