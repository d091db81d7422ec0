"""The state of a run: in memory, in OUT/status.json, and as others see it.

`runs.run` fills a `RunState`; the metrics file and run.json are written from it too. The run that
holds OUT replaces status.json every few seconds, which costs one warning if it fails: no run waits
for it or fails by it. `ovsam status` and `ovsam report` read it by `read_status`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ovsam.checked_json import check_keys, parse_json, refuse_pipe
from ovsam.errors import OvsamError
from ovsam_pipeline.monitoring.exit_codes import ExitCode, exit_code_of
from ovsam_pipeline.monitoring.progress import PaceMeter, measure_progress
from ovsam_pipeline.monitoring.repeating import repeat
from ovsam_pipeline.monitoring.report import RunReport, RunSummary
from ovsam_pipeline.output.folder import STATUS_FILE, read_run_file
from ovsam_pipeline.output.lock import is_held
from ovsam_pipeline.storage.atomic import write_atomically
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath

logger = logging.getLogger(__name__)

# In the order of a run; each lasts from the end of the one before.
PHASES = ("list", "load", "plan", "label", "export")
_EVERY_S = 3.0
# On an object store every write is a request that is paid for.
_EVERY_ON_STORES_S = 15.0
# Many intervals: longer than a busy machine or store delays one.
_SILENT_S = 60.0
_SILENT_ON_STORES_S = 180.0
# A run that ended must not wait long for a write that hangs on a network.
_JOIN_TIMEOUT_S = 10.0
_WORKER = {
    "name": str,
    "state": str,
    "done": int,
    "images_per_s": float,
    "gpu_memory_used": float | None,
    "gpu_memory_total": float | None,
    "gpu_utilisation": float | None,
}
_PROGRESS = {
    "done": int,
    "total": int,
    "labelled": int,
    "empty": int,
    "failed": int,
    "images_per_s": float,
    "images_per_s_last_minute": float,
    "seconds_left": float | None,
    "stage_seconds": dict[str, float],
    "slowest_stage": str | None,
    "workers": [_WORKER],
}
_STATUS = {
    "state": str,
    "phase": str | None,
    "started": str,
    "updated": str,
    "exit_code": int | None,
    "error": str | None,
    "host": str,
    "process": int,
    "phase_seconds": dict[str, float],
    "progress": {**_PROGRESS, "before": int | None, "transient": int | None},
}


@dataclass
class RunState:
    """A run as it is now; written by one thread, read by others.

    Attributes:
        engine: "local" or "ray"; "" before it is open.
        report: None before labelling.
        plan: number of images by what the plan found ("new", "changed", ...); empty before it.
        is_holding: whether the run holds the output folder; only then may it write about it.
        exit_code: None while the run is in progress.
        phase_seconds: time of each phase that has ended.
        process: what to send a signal to.
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
    process: int = field(default_factory=os.getpid)
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
            is_labelling = self._labelling_s is None
            progress = measure_progress(
                self.report, pace if is_labelling else 0.0, self._labelling_s
            )
        return {
            "state": self.state,
            "phase": self.phase if self.state == "running" else None,
            "started": self.started.isoformat(timespec="seconds"),
            "updated": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "exit_code": self.exit_code,
            "error": self.error,
            "host": platform.node(),
            "process": self.process,
            "engine": self.engine or None,
            "plan": dict(self.plan),
            "phase_seconds": dict(self.phase_seconds),
            "progress": progress,
        }


@contextmanager
def keep_status(state: RunState) -> Iterator[None]:
    """Keep status.json up to date while the block runs, and record in it how the run ended."""
    writer = _StatusWriter(state)
    every_s = _EVERY_ON_STORES_S if isinstance(state.output, RemotePath) else _EVERY_S
    writer.write()
    try:
        with repeat(writer.write, lambda _: every_s, join_timeout_s=_JOIN_TIMEOUT_S):
            yield
    except BaseException as error:
        state.fail(error)
        raise
    finally:
        writer.write()


class _StatusWriter:
    def __init__(self, state: RunState) -> None:
        self._state = state
        self._meter: PaceMeter | None = None
        self._has_warned = False

    def write(self) -> None:
        report, pace = self._state.report, 0.0
        if report is not None:
            # Not from the start of the run: loading is no labelling.
            self._meter = self._meter or PaceMeter(report.started_s)
            pace = self._meter.update(report.done)
        values = self._state.to_dict(pace)
        content = json.dumps(values, ensure_ascii=False, indent=1).encode() + b"\n"
        try:
            write_atomically(self._state.output / STATUS_FILE, content)
        except (OvsamError, OSError) as error:
            if not self._has_warned:
                logger.warning("%s; the run continues, but `ovsam status` does not see it", error)
            self._has_warned = True


def read_status(output: AnyPath) -> dict[str, Any]:
    """Return the state of the run that writes an output folder, or of the last one that did.

    The one place that decides whether a run is alive; docs/cron.md states the rule. Returns
    status.json, or what run.json holds where the run could not write it. `state` is also "died"
    (the run is gone and did not record its end) or "unknown" (no run has written here).
    """
    status = _read_latest(output)
    while status["state"] == "running" and _is_dead(output, status):
        # The run may have ended between the two looks: only a file that stays the same is final.
        again = _read_latest(output)
        if again == status:
            return {**status, "state": "died", "exit_code": ExitCode.FAILED}
        status = again
    return status


def _read_latest(output: AnyPath) -> dict[str, Any]:
    """Return what a run wrote last of itself."""
    status = _read_status_file(output)
    run = read_run_file(output)
    # An older status.json is of the run before: this one could not replace it.
    if status and status["started"] >= run.get("started", ""):
        return status
    state = run.get("state", "unknown")
    # A failed run has no summary; its exit code was not stored.
    failed = ExitCode.FAILED if state == "failed" else None
    return {
        "state": state,
        "phase": "label" if state == "running" else None,  # run.json is written when it begins
        "started": run.get("started"),
        "updated": run.get("finished"),
        "exit_code": run.get("run", {}).get("exit_code", failed),
        "phase_seconds": run.get("phase_seconds", {}),
        **{name: run.get(name) for name in ("error", "host", "process", "engine")},
        "plan": {},
        "progress": {},
    }


def _read_status_file(output: AnyPath) -> dict[str, Any]:
    """Return status.json; {} where it is missing or damaged."""
    try:
        refuse_pipe(output / STATUS_FILE)
        values = parse_json((output / STATUS_FILE).read_text(encoding="utf-8"))
        check_keys(values, _STATUS, STATUS_FILE)
    except (OSError, ValueError):
        return {}
    progress = values.get("progress", {})
    is_whole = values.keys() >= _STATUS.keys() and values["phase"] in (*PHASES, None)
    slowest = progress.get("slowest_stage")
    is_told = not progress or (
        progress.keys() >= _PROGRESS.keys() and slowest in (*progress["stage_seconds"], None)
    )
    return values if is_whole and is_told else {}


def _is_dead(output: AnyPath, status: dict[str, Any]) -> bool:
    """Whether a run that did not record its end is gone."""
    silent_s = math.inf
    # No time, or one that no run wrote, is one of long ago.
    with suppress(TypeError, ValueError):
        updated = datetime.fromisoformat(status["updated"])
        silent_s = (datetime.now(UTC) - updated).total_seconds()
    is_here = status["host"] == platform.node()
    if isinstance(output, RemotePath):
        # A store has no lock to ask, and a number may be of a process in a container that has this
        # machine's name; so the number alone is not enough.
        is_gone = is_here and not _is_process(status["process"] or 0)
        return silent_s >= (_SILENT_S if is_gone else _SILENT_ON_STORES_S)
    # On the run's own machine the kernel frees the lock with the process. Elsewhere a lock that
    # seems free may be one that a network disk does not pass on.
    return not is_held(output) and (is_here or silent_s >= _SILENT_S)


def _is_process(number: int) -> bool:
    if number <= 0:  # all of a group, or none that a run wrote
        return False
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
