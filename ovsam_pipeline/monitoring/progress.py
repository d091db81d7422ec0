"""Progress of a run as numbers, as one sentence, and on the terminal.

One line stands for the whole run, be it this process or a cluster: on a terminal beside a bar,
without one (cron, CI, a pipe) as a plain line every few seconds, later every minute. `ovsam status`
says the same sentence from the numbers in status.json.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ovsam_pipeline.records import STATUSES

if TYPE_CHECKING:
    from ovsam_pipeline.monitoring.report import RunReport

_GIB = 1 << 30


def measure_progress(
    report: RunReport, pace: float, seconds: float | None = None
) -> dict[str, Any]:
    """Return where a run stands, as plain values.

    Args:
        report: counted by the engine.
        pace: images a second just now; 0 where nothing was finished lately.
        seconds: that labelling took; None while it goes on.

    Returns:
        done, total, labelled, empty, failed, objects; images_per_s (overall),
        images_per_s_last_minute, seconds_left (None where unknown); stage_seconds (busy, all
        workers together), slowest_stage; workers, a list with one dict of `WorkerState` each.
    """
    done, total = report.done, report.num_images
    seconds = report.seconds if seconds is None else seconds
    overall = done / seconds if done and seconds else 0.0
    rate = pace or overall
    # Not `asdict`: of a thousand workers it would take the driver a fifth of its time.
    workers = [
        {**vars(worker), "stage_seconds": dict(worker.stage_seconds)}
        for worker in list(report.workers.values())
    ]
    if len(workers) == 1:  # what it does is what the run does
        workers[0]["images_per_s"] = round(rate, 3)
    stages: dict[str, float] = {}
    for worker in workers:
        for name, spent_s in worker["stage_seconds"].items():
            stages[name] = stages.get(name, 0.0) + spent_s
    return {
        "done": done,
        "total": total,
        **{name: report.statuses[name] for name in STATUSES},
        "objects": report.objects,
        "images_per_s": round(overall, 3),
        "images_per_s_last_minute": round(pace, 3),
        "seconds_left": round((total - done) / rate, 1) if rate else None,
        "stage_seconds": {name: round(seconds, 3) for name, seconds in stages.items()},
        "slowest_stage": max(stages, key=lambda name: stages[name]) if stages else None,
        "workers": workers,
    }


def format_progress(numbers: Mapping[str, Any]) -> str:
    """Return `measure_progress` as a sentence.

    "120/300 images (40 %), 3.10/s, 0:58 left · 110 labelled, 8 empty, 2 failed · slowest: segment
    (61 %) · 4 workers, 0.71-0.83/s each · GPU 21.5/80.0 GiB, 93 %"
    """
    done, total, left = numbers["done"], numbers["total"], numbers["seconds_left"]
    rate = numbers["images_per_s_last_minute"] or numbers["images_per_s"]
    parts = [
        f"{done}/{total} images ({100 * done // max(1, total)} %), {rate:.2f}/s"
        + (f", {_format_time(left)} left" if left and done < total else ""),
        ", ".join(f"{numbers[name]} {name}" for name in STATUSES),
    ]
    stages = numbers["stage_seconds"]
    if numbers["slowest_stage"] and sum(stages.values()):
        name = numbers["slowest_stage"]
        parts.append(f"slowest: {name} ({100 * stages[name] / sum(stages.values()):.0f} %)")
    workers = numbers["workers"]
    parts += [_format_crew(workers)] if len(workers) > 1 else []
    parts += _format_gpus(workers)
    return " · ".join(parts)


def _format_crew(workers: list[dict[str, Any]]) -> str:
    """Return "4 workers, 0.71-0.83/s each, 1 starting": lost ones count no more."""
    states = Counter(worker["state"] for worker in workers)
    paces = [worker["images_per_s"] for worker in workers if worker["state"] == "labelling"]
    text = f"{len(workers) - states['lost']} workers"
    if any(paces):
        text += f", {_format_range(paces, '.2f')}/s each"
    for state in ("starting", "lost"):
        text += f", {states[state]} {state}" if states[state] else ""
    return text


def _format_gpus(workers: list[dict[str, Any]]) -> list[str]:
    """Return ["GPU 21.5/80.0 GiB, 93 %"]: the range over all GPUs; [] without any."""
    live = [worker for worker in workers if worker["state"] != "lost"]
    used = [w["gpu_memory_used"] / _GIB for w in live if w["gpu_memory_used"] is not None]
    most = [w["gpu_memory_total"] / _GIB for w in live if w["gpu_memory_total"] is not None]
    busy = [100 * w["gpu_utilisation"] for w in live if w["gpu_utilisation"] is not None]
    texts = []
    if used and most:
        texts.append(f"{_format_range(used, '.1f')}/{_format_range(most, '.1f')} GiB")
    if busy:
        texts.append(f"{_format_range(busy, '.0f')} %")
    return [f"GPU {', '.join(texts)}"] if texts else []


def _format_range(values: list[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low}-{high}"


def _format_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
