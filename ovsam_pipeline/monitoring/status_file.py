"""OUT/status.json: how a run stands, for those who look from elsewhere.

Written every few seconds by the run that holds the folder, read by `ovsam status`. A file that
cannot be written is one warning and nothing more: no run waits for it or fails by it.
"""

from __future__ import annotations

import json
import logging
import math
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ovsam.errors import OvsamError
from ovsam_pipeline.monitoring.repeating import PaceMeter, repeat
from ovsam_pipeline.monitoring.run_state import RunState
from ovsam_pipeline.output.folder import STATUS_FILE, read_run_file
from ovsam_pipeline.output.lock import is_held
from ovsam_pipeline.records import STATUSES
from ovsam_pipeline.storage.atomic import write_atomically
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath

logger = logging.getLogger(__name__)

_EVERY_S = 3.0
_EVERY_ON_STORES_S = 15.0
# Younger than this, a status is believed whatever else speaks against it.
_FRESH_S = 10.0
# Many intervals: longer than a busy machine or store delays one.
_SILENT_S = 60.0
_SILENT_ON_STORES_S = 180.0
_JOIN_TIMEOUT_S = 10.0


@contextmanager
def keep_status(state: RunState) -> Iterator[None]:
    """Keep status.json up to date while the block runs, and say in it how the run ended.

    Args:
        state: of a run that holds its output folder.
    """
    writer = _StatusWriter(state)
    every_s = _EVERY_S if isinstance(state.output, Path) else _EVERY_ON_STORES_S
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
        self._meter = PaceMeter()
        self._has_warned = False

    def write(self) -> None:
        done = 0 if self._state.report is None else self._state.report.done
        values = self._state.to_dict(self._meter.update(done))
        content = json.dumps(values, ensure_ascii=False, indent=1).encode() + b"\n"
        try:
            write_atomically(self._state.output / STATUS_FILE, content)
        except (OvsamError, OSError) as error:
            if not self._has_warned:
                logger.warning("%s; `ovsam status` will not see this run, which goes on", error)
            self._has_warned = True


def read_status(output: AnyPath) -> dict[str, Any]:
    """Return how the last run into an output folder stands or ended.

    Returns:
        status.json, or as much of it as run.json knows where there is none. `state` is also
        "died" (the run is gone without a word) or "unknown" (no run has written here).

    Raises:
        OutputError: run.json is there and cannot be read.
    """
    status = _read_status_file(output)
    run = read_run_file(output)
    # The folder may have been filled since by a version that wrote no status.
    if not status or status["started"] < run.get("started", ""):
        status = _read_from_run(run)
    if status["state"] == "running" and _is_dead(output, status):
        status["state"], status["exit_code"] = "died", 1
    return status


def is_over(status: dict[str, Any]) -> bool:
    """Whether nothing more is to come of a run."""
    return status["state"] != "running"


def _read_status_file(output: AnyPath) -> dict[str, Any]:
    """Return status.json; {} where there is none that can be understood."""
    try:
        values = json.loads((output / STATUS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    is_ours = isinstance(values, dict) and {"state", "started", "updated"} <= values.keys()
    return values if is_ours else {}


def _read_from_run(run: dict[str, Any]) -> dict[str, Any]:
    summary = run.get("run", {})
    state = run.get("state", "unknown")
    # A failed run has no summary; its exit code was not stored.
    code = summary.get("exit_code", 1 if state == "failed" else None)
    return {
        "state": state,
        "started": run.get("started"),
        "updated": run.get("finished"),
        "exit_code": code,
        "error": run.get("error"),
        "host": run.get("host"),
        "process": run.get("process"),
        "phase_seconds": run.get("phase_seconds", {}),
        "engine": run.get("engine"),
        "plan": {},
        "progress": _read_progress(summary, run.get("stage_seconds", {})) if summary else {},
    }


def _read_progress(summary: dict[str, Any], stages: dict[str, float]) -> dict[str, Any]:
    """Return the counts of a run that ended in the form of `measure_progress`."""
    statuses = {name: summary[name] for name in STATUSES}
    done = sum(statuses.values())
    return {
        "done": done,
        "total": done + summary["left"],
        **statuses,
        "objects": summary["objects"],
        "images_per_s": round(done / summary["seconds"], 3) if summary["seconds"] else 0.0,
        "images_per_s_last_minute": 0.0,
        "seconds_left": None,
        "stage_seconds": stages,
        "slowest_stage": max(stages, key=lambda name: stages[name]) if stages else None,
        "workers": [],
    }


def _is_dead(output: AnyPath, status: dict[str, Any]) -> bool:
    """Whether a run that never said how it ended is gone."""
    is_local = not isinstance(output, RemotePath)
    fresh_s, silent_s = (_FRESH_S, _SILENT_S) if is_local else (_SILENT_S, _SILENT_ON_STORES_S)
    quiet_s = _count_seconds_since(status["updated"])
    if quiet_s < fresh_s:
        return False
    is_here = status.get("host") == platform.node() and status.get("process")
    if is_here and not _is_process(int(status["process"])):
        return True
    # Elsewhere, or here where the number may be another process's by now.
    if isinstance(output, RemotePath):
        return quiet_s >= silent_s
    return quiet_s >= silent_s and not is_held(output)


def _count_seconds_since(moment: str | None) -> float:
    if moment is None:
        return math.inf
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()


def _is_process(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
