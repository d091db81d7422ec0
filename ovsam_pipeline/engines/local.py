"""Label in this process: the engine for one machine. `run_ray.py` has the same signature."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, closing, nullcontext

from ovsam_pipeline.engines.gpu_usage import update_gpu
from ovsam_pipeline.labelling.label_images import label_shard
from ovsam_pipeline.labelling.labeller import Labeller
from ovsam_pipeline.labelling.stats import ShardStats
from ovsam_pipeline.monitoring.repeating import repeat
from ovsam_pipeline.monitoring.report import RunReport, RunSummary, WorkerState
from ovsam_pipeline.monitoring.stopping import StopRequest
from ovsam_pipeline.output.part_writer import PartWriter
from ovsam_pipeline.output.plan import Plan

_GPU_EVERY_S = 5.0


def run_local(
    plan: Plan,
    labeller: Labeller,
    writer: PartWriter,
    report: RunReport,
    *,
    stop: StopRequest,
    stats: ShardStats,
) -> RunSummary:
    """Label the plan's images and commit their rows.

    Args:
        plan: what is to do.
        labeller: model, detector, vocabulary and rules, loaded.
        writer: of the output's parts.
        report: counts the rows, knows the failure budget.
        stop: once set from outside, the image in hand is finished and committed.
        stats: filled with times and dropped boxes.

    Returns:
        Counts and outcome.

    Raises:
        OutputError: a part cannot be written.
        ShardError: every image fails by a fault of ours.
    """
    worker = report.workers["this process"] = WorkerState("this process", "labelling")
    worker.stage_seconds = stats.seconds
    try:
        with (
            _watch_gpu(worker, labeller.config.device),
            closing(label_shard(plan.images, labeller, stop=stop, stats=stats)) as rows,
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
