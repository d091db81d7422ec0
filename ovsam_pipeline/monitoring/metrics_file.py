"""Counts of a run as a Prometheus text file, for a node exporter's textfile collector.

Replaced when the run takes its output, every 15 seconds, and at the end, also when the run fails.
`ovsam_run_*` is the run in progress or the last one; `ovsam_last_*` survives later runs, as it is
read back from the file. All are gauges, because a run counts from 0. The label `output` keeps the
files of several outputs apart.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ovsam.errors import ConfigError, OvsamError, describe_error
from ovsam_pipeline.monitoring.exit_codes import ExitCode
from ovsam_pipeline.monitoring.repeating import repeat
from ovsam_pipeline.monitoring.run_state import RunState
from ovsam_pipeline.outcomes import classify_reason
from ovsam_pipeline.records import STATUSES
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Gauge

    from ovsam_pipeline.monitoring.report import RunReport

logger = logging.getLogger(__name__)

# As often as Prometheus usually scrapes; more would not be seen.
_EVERY_S = 15.0
_CHECK_EVERY_S = 1.0
_ENDING = ".prom"
_SUCCESSES = (ExitCode.DONE, ExitCode.SOME_IMAGES_FAILED)
_LAST_RUN = "ovsam_last_run_timestamp_seconds"
_LAST_CODE = "ovsam_last_run_exit_code"
_LAST_SUCCESS = "ovsam_last_success_timestamp_seconds"
_KEPT = {
    _LAST_RUN: "When a run last ended.",
    _LAST_CODE: "Exit code of it.",
    _LAST_SUCCESS: "When one last ended with 0 or 3.",
}


@contextmanager
def keep_metrics(state: RunState, path: str | None) -> Iterator[None]:
    """Keep the metrics file up to date while the block runs, and record how the run ended.

    A run that finds its output held by another one writes nothing: the file is the other's. None
    for `path` keeps no file; one that cannot be written is a ConfigError before the block.
    """
    if path is None:
        yield
        return
    file = _MetricsFile(path)
    file.check()
    try:
        with repeat(lambda: file.write_when_due(state), lambda _: _CHECK_EVERY_S):
            yield
    except BaseException as error:
        state.fail(error)
        raise
    finally:
        if state.exit_code != ExitCode.LOCKED:
            file.write(state)


@contextmanager
def record_failed_start(path: str | None) -> Iterator[None]:
    """Write the metrics file when the block fails: for settings that are wrong before a run."""
    try:
        yield
    except OvsamError as error:
        if path is not None:
            state = RunState(Path())
            state.fail(error)
            _MetricsFile(path).write(state, is_started=False)
        raise


class _MetricsFile:
    def __init__(self, path: str) -> None:
        self._path = Path(path).expanduser()
        self._written_s: float | None = None
        self._has_warned = False

    def check(self) -> None:
        """Refuse a place that cannot be written; warn of a name that is not collected."""
        try:
            self._path.with_name(f"{self._path.name}.tmp").touch()
            self._path.with_name(f"{self._path.name}.tmp").unlink()
        except OSError as error:
            raise ConfigError(
                f"expected --metrics-file in a folder that can be written, got {self._path}: "
                f"{describe_error(error)}"
            ) from error
        if self._path.suffix != _ENDING:
            logger.warning(
                "%s does not end in %s: a node exporter will not read it", self._path, _ENDING
            )

    def write_when_due(self, state: RunState) -> None:
        is_due = self._written_s is None or time.monotonic() - self._written_s >= _EVERY_S
        if state.is_holding and is_due:
            self.write(state)

    def write(self, state: RunState, *, is_started: bool = True) -> None:
        """Replace the file, or warn once.

        A run that was not started does not know its output: the label stays that of the file.
        """
        from prometheus_client import write_to_textfile

        self._written_s = time.monotonic()
        try:
            kept, label = _read_kept(self._path)
            if is_started:
                label = _name_output(state.output)
            write_to_textfile(str(self._path), _build_registry(state, label, kept))
        except OSError as error:
            if not self._has_warned:
                logger.warning("cannot write the metrics file %s: %s", self._path, error)
            self._has_warned = True


def _name_output(output: AnyPath) -> str:
    """Return the whole path; an object store's is whole already."""
    return str(output.absolute() if isinstance(output, Path) else output)


def _read_kept(path: Path) -> tuple[dict[str, float], str]:
    """Return the `_KEPT` values of an earlier file and its output; nothing of a foreign file."""
    from prometheus_client.parser import text_string_to_metric_families

    kept, output = dict[str, float](), ""
    try:
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
            for sample in family.samples:
                output = sample.labels.get("output", output)
                if sample.name in _KEPT:
                    kept[sample.name] = sample.value
    except (FileNotFoundError, ValueError):  # ValueError: not Prometheus' format
        return {}, ""
    return kept, output


class _Gauges:
    """A registry that is filled one family at a time, all with the label `output`."""

    def __init__(self, output: str) -> None:
        from prometheus_client import CollectorRegistry

        self.registry = CollectorRegistry()
        self._output = output

    def put(self, name: str, text: str, value: float) -> None:
        self._build(name, text).labels(self._output).set(value)

    def put_by(self, label: str, name: str, text: str, values: Mapping[str, float]) -> None:
        gauge = self._build(name, text, label)
        for key, value in values.items():
            gauge.labels(self._output, key).set(value)

    def _build(self, name: str, text: str, *labels: str) -> Gauge:
        from prometheus_client import Gauge

        return Gauge(name, text, ("output", *labels), registry=self.registry)


def _build_registry(state: RunState, output: str, kept: Mapping[str, float]) -> CollectorRegistry:
    gauges = _Gauges(output)
    is_running = float(state.state == "running")
    began_s, lasted_s = state.started.timestamp(), round(state.seconds, 3)
    phases = dict(state.phase_seconds)  # a copy: the run adds to it in another thread
    gauges.put("ovsam_run_in_progress", "Whether a run is in progress.", is_running)
    gauges.put("ovsam_run_start_timestamp_seconds", "When the run began.", began_s)
    gauges.put("ovsam_run_duration_seconds", "Time since the run began.", lasted_s)
    gauges.put_by("phase", "ovsam_run_phase_seconds", "Time by phase.", phases)
    gauges.put_by("change", "ovsam_run_plan_images", "Images by what the run found.", state.plan)
    if state.report is not None:
        _put_counts(gauges, state.report)
    values = {**kept, **_describe_end(state)}
    for name, text in _KEPT.items():
        if name in values:
            gauges.put(name, text, values[name])
    return gauges.registry


def _put_counts(gauges: _Gauges, report: RunReport) -> None:
    """Add what is known once labelling began."""
    reasons, stages = Counter[str](), Counter[str]()
    for group in report.reasons.list_common():
        reasons[classify_reason(group.sentence)] += group.count
    # A copy, as the thread that labels adds to it.
    for worker in list(report.workers.values()):
        stages.update(dict(worker.stage_seconds))
    statuses = {name: report.statuses[name] for name in STATUSES}
    left = report.num_images - report.done
    gauges.put_by("status", "ovsam_run_images", "Images of the run with a row.", statuses)
    gauges.put("ovsam_run_objects", "Objects found in the run.", report.objects)
    gauges.put("ovsam_run_images_left", "Images still to do.", left)
    gauges.put_by("reason", "ovsam_run_failures", "Failed images by kind of reason.", reasons)
    again = "Failed images that the next run tries again."
    gauges.put("ovsam_run_failures_transient", again, report.transient)
    gauges.put_by("stage", "ovsam_run_stage_seconds", "Busy time of all workers by stage.", stages)


def _describe_end(state: RunState) -> dict[str, float]:
    """Return the `_KEPT` values that a run sets when it ends."""
    if state.exit_code is None:
        return {}
    now_s = time.time()
    ended = {_LAST_RUN: now_s, _LAST_CODE: float(state.exit_code)}
    return {**ended, _LAST_SUCCESS: now_s} if state.exit_code in _SUCCESSES else ended
