"""Counts of a run as a Prometheus text file, for a node exporter's textfile collector.

Written by rename at the start, every 15 seconds and at the end, also when the run fails.
`ovsam_run_*` is the run that goes on or ended last; `ovsam_last_*` survives a run that fails, as it
is read back from the file. All are gauges: a run counts from 0. The label `output` keeps the files
of several outputs apart.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ovsam.errors import ConfigError, OvsamError
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

_EVERY_S = 15.0
_LOOK_EVERY_S = 1.0
_ENDING = ".prom"
_SUCCESSES = (ExitCode.DONE, ExitCode.SOME_IMAGES_FAILED)
_KEPT = (
    "ovsam_last_run_timestamp_seconds",
    "ovsam_last_run_exit_code",
    "ovsam_last_success_timestamp_seconds",
)


@contextmanager
def keep_metrics(state: RunState, path: str | None) -> Iterator[None]:
    """Keep the metrics file up to date while the block runs, and say in it how the run ended.

    A run that finds its output held by another one writes nothing: the file is the other's.

    Args:
        state: of the run.
        path: the file; None for none.

    Raises:
        ConfigError: the file cannot be written.
    """
    if path is None:
        yield
        return
    file = _MetricsFile(path)
    file.check()
    try:
        with repeat(lambda: file.write_when_due(state), lambda _: _LOOK_EVERY_S):
            yield
    except BaseException as error:
        state.fail(error)
        raise
    finally:
        if state.exit_code != ExitCode.LOCKED:
            file.write(state)


@contextmanager
def record_failed_start(path: str | None) -> Iterator[None]:
    """Write the metrics file when the block fails: a run that was wrong before it began.

    Args:
        path: the file; None for none.
    """
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
        """Refuse a place that cannot be written, with a ConfigError; warn of other names."""
        try:
            self._path.with_name(f"{self._path.name}.tmp").touch()
            self._path.with_name(f"{self._path.name}.tmp").unlink()
        except OSError as error:
            raise ConfigError(
                f"expected --metrics-file in a folder that can be written, got {self._path}: "
                f"{error.strerror}"
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
        """Replace the file; where that fails, one warning is all.

        Args:
            state: of the run.
            is_started: whether its output is known; else the label is what the file says so far.
        """
        from prometheus_client import write_to_textfile

        self._written_s = time.monotonic()
        try:
            kept, before = _read_kept(self._path)
            label = _name_output(state.output) if is_started else before
            write_to_textfile(str(self._path), _build_registry(state, label, kept))
        except OSError as error:
            if not self._has_warned:
                logger.warning("cannot write the metrics file %s: %s", self._path, error)
            self._has_warned = True


def _name_output(output: AnyPath) -> str:
    """Return the whole path; an object store's is one already."""
    return str(output.absolute() if isinstance(output, Path) else output)


def _read_kept(path: Path) -> tuple[dict[str, float], str]:
    """Return what survives of the file that stands there, and its output; nothing of others."""
    from prometheus_client.parser import text_string_to_metric_families

    kept, output = dict[str, float](), ""
    try:
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
            for sample in family.samples:
                output = sample.labels.get("output", output)
                if sample.name in _KEPT:
                    kept[sample.name] = sample.value
    except FileNotFoundError:
        return {}, ""
    except ValueError:  # not what Prometheus reads; it is replaced
        return {}, ""
    return kept, output


class _Gauges:
    """A registry to which values are put one family at a time, all with the label `output`."""

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

        return Gauge(f"ovsam_{name}", text, ("output", *labels), registry=self.registry)


def _build_registry(state: RunState, output: str, kept: Mapping[str, float]) -> CollectorRegistry:
    gauges = _Gauges(output)
    gauges.put("run_in_progress", "Whether a run goes on.", float(state.state == "running"))
    gauges.put("run_start_timestamp_seconds", "When the run began.", state.started.timestamp())
    gauges.put("run_duration_seconds", "Time since the run began.", round(state.seconds, 3))
    gauges.put_by("phase", "run_phase_seconds", "Time by phase.", dict(state.phase_seconds))
    gauges.put_by("change", "run_plan_images", "Images by what the run found.", state.plan)
    if state.report is not None:
        _put_counts(gauges, state.report)
    texts = ("When a run last ended.", "Exit code of it.", "When one last ended with 0 or 3.")
    values = {**kept, **_describe_end(state)}
    for name, text in zip(_KEPT, texts, strict=True):
        if name in values:
            gauges.put(name.removeprefix("ovsam_"), text, values[name])
    return gauges.registry


def _put_counts(gauges: _Gauges, report: RunReport) -> None:
    """Add what is known once labelling began."""
    reasons = Counter[str]()
    for reason, count in list(report.reasons.items()):
        reasons[classify_reason(reason)] += count
    stages = Counter[str]()
    for worker in list(report.workers.values()):
        stages.update(dict(worker.stage_seconds))
    statuses = {name: report.statuses[name] for name in STATUSES}
    gauges.put_by("status", "run_images", "Images of the run with a row.", statuses)
    gauges.put("run_objects", "Objects found in the run.", report.objects)
    gauges.put("run_images_left", "Images still to do.", report.num_images - report.done)
    gauges.put_by("reason", "run_failures", "Failed images by kind of reason.", reasons)
    gauges.put_by("stage", "run_stage_seconds", "Busy time of all workers by stage.", stages)


def _describe_end(state: RunState) -> dict[str, float]:
    """Return the `_KEPT` values that a run sets when it ends."""
    if state.exit_code is None:
        return {}
    now, (run, code, success) = time.time(), _KEPT
    ended = {run: now, code: float(state.exit_code)}
    return {**ended, success: now} if state.exit_code in _SUCCESSES else ended
