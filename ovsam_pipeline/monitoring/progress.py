"""Progress of a run: counts → numbers → one sentence.

One sentence describes the whole run, be it this process or a cluster. A running command shows it
(`terminal.bars`), and `ovsam status` makes it from the numbers in status.json.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.records import STATUSES

if TYPE_CHECKING:
    from ovsam_pipeline.monitoring.report import RunReport

_GIB = 1 << 30


class PaceMeter:
    """Images per second over the last minute, or since the start where that is shorter.

    `started_s` is when labelling began, by `clock`; None is now.
    """

    def __init__(
        self,
        started_s: float | None = None,
        window_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._window_s = window_s
        self._clock = clock
        first_s = clock() if started_s is None else started_s
        self._seen: deque[tuple[float, int]] = deque([(first_s, 0)])

    def update(self, done: int) -> float:
        """Return the pace, given the number of images that are done now."""
        now_s = self._clock()
        self._seen.append((now_s, done))
        # The last sample before the window stays: the window begins between it and the next.
        while len(self._seen) > 2 and now_s - self._seen[1][0] >= self._window_s:
            self._seen.popleft()
        first_s, first = self._seen[0]
        return (done - first) / (now_s - first_s) if now_s > first_s else 0.0


def measure_progress(
    report: RunReport, pace: float, seconds: float | None = None
) -> dict[str, Any]:
    """Return how far a run is, as plain values.

    `pace` is images per second at present, 0 where none was finished lately; `seconds` the time
    that labelling took, None while it is in progress. Returns done, total, before (images that keep
    the row they have), labelled, empty, failed, transient (failed ones that are tried again),
    objects; images_per_s (overall), images_per_s_last_minute, seconds_left (None where unknown);
    stage_seconds (busy, all workers together), slowest_stage; workers, a list with one dict of
    `WorkerState` each.
    """
    done, total = report.done, report.num_images
    seconds = report.seconds if seconds is None else seconds
    overall = done / seconds if done and seconds else 0.0
    rate = pace or overall
    # Not `asdict`: for a thousand workers it would take a fifth of the driver's time.
    workers = [
        {**vars(worker), "stage_seconds": dict(worker.stage_seconds)}
        for worker in list(report.workers.values())
    ]
    for worker in workers:
        del worker["seen_s"]  # by a clock that only this process can read
    if len(workers) == 1:  # its pace is the run's, which is known better
        workers[0]["images_per_s"] = round(rate, 3)
    stages: dict[str, float] = {}
    for worker in workers:
        for name, spent_s in worker["stage_seconds"].items():
            stages[name] = stages.get(name, 0.0) + spent_s
    return {
        "done": done,
        "total": total,
        "before": report.num_before,
        **{name: report.statuses[name] for name in STATUSES},
        "transient": report.transient,
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

    "120/300 images · 3.1/s · 0:58 left · 2 failed (1 to be tried again) · 8 empty · 1120 of 1300 in
    all · slowest: segment (61 %) · 4 workers, 0.71-0.83/s each · GPU 21.5/80.0 GiB, 93 %"
    """
    if not numbers["total"]:
        return "no image to label"
    done, *more = list_progress(numbers)
    return " · ".join([f"{done} images", *more])


def list_progress(numbers: Mapping[str, Any]) -> list[str]:
    """Return the parts of that sentence, the most important first, and no number twice."""
    done, total, left = numbers["done"], numbers["total"], numbers["seconds_left"]
    rate = numbers["images_per_s_last_minute"] or numbers["images_per_s"]
    parts = [f"{done}/{total}"]
    if rate:
        parts.append(f"{rate:.1f}/s" if rate >= 1 else f"{rate:.2f}/s")
    if left and done < total:
        parts.append(f"{format_time(left)} left")
    # Of a status.json of an earlier version these two are not known.
    again, before = numbers.get("transient"), numbers.get("before")
    if numbers["failed"]:
        tried = f" ({again} to be tried again)" if again else ""
        parts.append(f"{numbers['failed']} failed{tried}")
    parts += [f"{numbers['empty']} empty"] if numbers["empty"] else []
    if before and done < total:
        parts.append(f"{before + done} of {before + total} in all")
    stages = numbers["stage_seconds"]
    if numbers["slowest_stage"] and sum(stages.values()):
        name = numbers["slowest_stage"]
        parts.append(f"slowest: {name} ({100 * stages[name] / sum(stages.values()):.0f} %)")
    workers = numbers["workers"]
    parts += [_format_workers(workers)] if len(workers) > 1 else []
    return parts + _format_gpus(workers)


def _format_workers(workers: list[dict[str, Any]]) -> str:
    """Return "4 workers, 0.71-0.83/s each, 1 starting, 1 lost"; lost ones are not among the 4."""
    states = Counter(worker["state"] for worker in workers)
    paces = [worker["images_per_s"] for worker in workers if worker["state"] == "labelling"]
    text = count_things(len(workers) - states["lost"], "worker")
    if any(paces):
        text += f", {_format_range(paces, '.2f')}/s each"
    for state in ("starting", "lost"):
        text += f", {states[state]} {state}" if states[state] else ""
    return text


def _format_gpus(workers: list[dict[str, Any]]) -> list[str]:
    """Return ["GPU 21.5/80.0 GiB, 93 %"], with ranges over several GPUs; [] without any."""
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


def format_time(seconds: float) -> str:
    """Return seconds as "0:58" or "2:30:00"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
