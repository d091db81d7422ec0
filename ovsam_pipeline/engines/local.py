"""Label in this process: the engine for one machine."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, closing, nullcontext

from ovsam_pipeline.engines.engine import Work
from ovsam_pipeline.engines.gpu_usage import update_gpu
from ovsam_pipeline.labelling.label_images import label_images
from ovsam_pipeline.labelling.labeller import Labeller
from ovsam_pipeline.monitoring.repeating import repeat
from ovsam_pipeline.monitoring.report import RunSummary, WorkerState

_GPU_EVERY_S = 5.0


class LocalEngine:
    """The engine of one machine: labels in the process that calls it."""

    name = "local"
    accepted_parts: set[str] | None = None

    def __init__(self, labeller: Labeller) -> None:
        self.facts = labeller.facts
        self._labeller = labeller

    def label(self, work: Work) -> RunSummary:
        """See `Engine.label`."""
        writer, report, stop, stats = work.writer, work.report, work.stop, work.stats
        worker = report.workers["this process"] = WorkerState("this process", "labelling")
        worker.stage_seconds = stats.seconds
        try:
            with (
                _watch_gpu(worker, self.facts.config.device),
                closing(label_images(work.plan.images, self._labeller, stop, stats)) as rows,
            ):
                for row in rows:
                    start_s = time.perf_counter()
                    writer.add(row)
                    stats.add_time("write", start_s)
                    report.add(row)
                    worker.done = report.done
                    if report.is_over_budget:
                        break
        finally:
            # Also on Ctrl-C in a notebook: what was labelled is kept.
            start_s = time.perf_counter()
            writer.commit()
            stats.add_time("write", start_s)
            worker.state = "idle"
        return report.conclude(stop)


def _watch_gpu(worker: WorkerState, device: str) -> AbstractContextManager[None]:
    """Keep the state of a GPU worker up to date; on a CPU there is nothing to see."""
    if not device.startswith("cuda"):
        return nullcontext()
    return repeat(
        lambda: update_gpu(worker, device), lambda _: _GPU_EVERY_S, join_timeout_s=_GPU_EVERY_S
    )
