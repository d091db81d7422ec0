"""A run from its first second to its last: phases, counts, and how it ended.

`runs.run` fills it; status.json, the metrics file and run.json are written from it.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ovsam_pipeline.monitoring.exit_codes import exit_code_of
from ovsam_pipeline.monitoring.progress import measure_progress
from ovsam_pipeline.monitoring.report import RunReport, RunSummary
from ovsam_pipeline.storage.remote_path import AnyPath

# In the order of a run; each lasts from the end of the one before.
PHASES = ("list", "load", "plan", "label", "export")


@dataclass
class RunState:
    """A run as it is now; written by one thread, read by others.

    Attributes:
        engine: "local" or "ray"; "" before it is open.
        report: None before labelling.
        plan: number of images by what the plan found ("new", "changed", ...); empty before it.
        is_holding: whether the run holds the output folder; only then may it write about it.
        state: "running", an `Outcome`, or "failed".
        exit_code: None while the run is in progress.
        phase_seconds: time of each phase that has ended.
    """

    output: AnyPath
    engine: str = ""
    report: RunReport | None = None
    plan: Mapping[str, int] = field(default_factory=dict)
    is_holding: bool = False
    state: str = "running"
    exit_code: int | None = None
    error: str | None = None
    phase_seconds: dict[str, float] = field(default_factory=dict)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_s: float = field(default_factory=time.monotonic)
    _labelling_s: float | None = None
    _phase_since_s: float = field(default_factory=time.monotonic)

    @property
    def phase(self) -> str | None:
        """The phase in progress; None after the last."""
        return next((name for name in PHASES if name not in self.phase_seconds), None)

    @property
    def seconds(self) -> float:
        """Time since the start, of all phases."""
        return time.monotonic() - self.started_s

    def end_phase(self, phase: str) -> None:
        """Record the time since the end of the phase before."""
        now_s = time.monotonic()
        if phase == "label" and self.report is not None:
            # Else images per second would fall while annotations.json is written.
            self._labelling_s = self.report.seconds
        self.phase_seconds[phase] = round(now_s - self._phase_since_s, 3)
        self._phase_since_s = now_s

    def finish(self, summary: RunSummary) -> None:
        """Record how the run ended."""
        self.state, self.exit_code = summary.outcome, summary.exit_code

    def fail(self, error: BaseException) -> None:
        """Record that an error or a signal ended the run."""
        self.exit_code = exit_code_of(error)
        is_signal = not isinstance(error, Exception)
        self.state = "interrupted" if is_signal else "failed"
        self.error = None if is_signal else str(error) or type(error).__name__

    def to_dict(self, pace: float) -> dict[str, Any]:
        """Return plain values for status.json; `pace` is images per second at present."""
        progress = {}
        if self.report is not None:
            progress = measure_progress(self.report, pace, self._labelling_s)
        return {
            "state": self.state,
            "phase": self.phase if self.state == "running" else None,
            "started": self.started.isoformat(timespec="seconds"),
            "updated": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "exit_code": self.exit_code,
            "error": self.error,
            "host": platform.node(),
            "process": os.getpid(),
            "engine": self.engine or None,
            "plan": dict(self.plan),
            "phase_seconds": dict(self.phase_seconds),
            "progress": progress,
        }
