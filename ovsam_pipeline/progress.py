"""Progress of a run as numbers, as one sentence, and on the terminal.

One line stands for the whole run, be it this process or a cluster: on a terminal beside a bar,
without one (cron, CI, a pipe) as a plain line every few seconds, later every minute. `ovsam status`
says the same sentence from the numbers in status.json.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ovsam_pipeline.logs import divert_notes, has_bars, print_note
from ovsam_pipeline.repeating import PaceMeter, repeat

if TYPE_CHECKING:
    from rich.progress import Progress

    from ovsam_pipeline.report import RunReport

_LINE_EVERY_S = 5.0
# Seconds since the start → seconds between lines: a night's log stays below 600 lines.
_LATER_LINES = ((60.0, 30.0), (3600.0, 60.0))
_BAR_EVERY_S = 0.5
_STATUSES = ("labelled", "empty", "failed")
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
        **{name: report.statuses[name] for name in _STATUSES},
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
        ", ".join(f"{numbers[name]} {name}" for name in _STATUSES),
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


@contextmanager
def show_progress(report: RunReport) -> Iterator[None]:
    """Show the counts of a report while the block runs; nothing when nothing is to do.

    Args:
        report: counted by the engine.
    """
    meter = PaceMeter()
    if not report.num_images:
        yield
    elif has_bars():
        with _show_bar(report, meter):
            yield
    else:
        with repeat(lambda: _print_line(report, meter), _choose_wait):
            yield
        _print_line(report, meter)


def _choose_wait(since_start_s: float) -> float:
    """Return the seconds until the next line: rarer in a run that is long."""
    wait_s = _LINE_EVERY_S
    for start_s, later_s in _LATER_LINES:
        if since_start_s >= start_s:
            wait_s = later_s
    return wait_s


def _print_line(report: RunReport, meter: PaceMeter) -> None:
    numbers = measure_progress(report, meter.update(report.done))
    text = format_progress(numbers)
    workers = numbers.pop(
        "workers"
    )  # a thousand of them would make long lines; status.json has all
    paces = [worker["images_per_s"] for worker in workers if worker["state"] == "labelling"]
    crew = {
        "num_workers": sum(worker["state"] != "lost" for worker in workers),
        "slowest_worker_images_per_s": min(paces, default=None),
        "fastest_worker_images_per_s": max(paces, default=None),
    }
    print_note(text, fields={"event": "progress", **numbers, **crew})


@contextmanager
def _show_bar(report: RunReport, meter: PaceMeter) -> Iterator[None]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    console = Console(stderr=True)
    # The text has the numbers; the bar takes what it leaves of the line.
    bar = BarColumn(bar_width=max(4, min(30, console.width - 80)))
    text = TextColumn("{task.description}", table_column=Column(no_wrap=True))

    def describe() -> str:
        return format_progress(measure_progress(report, meter.update(report.done)))

    with Progress(bar, text, console=console, refresh_per_second=5) as progress:
        task = progress.add_task(describe(), total=report.num_images)

        def refresh() -> None:
            progress.update(task, completed=report.done, description=describe())

        def print_above(text: str) -> None:
            progress.console.print(text, markup=False, highlight=False)

        with divert_notes(print_above):
            try:
                with repeat(refresh, lambda _: _BAR_EVERY_S):
                    yield
            finally:
                refresh()


class EmbeddingProgress:
    """Shows how many texts of a vocabulary are embedded; call it with (done, total).

    On a terminal a bar, opened at the first call and closed at the last; else a line every few
    seconds. A vocabulary from the cache never calls it, so nothing is shown.
    """

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._said_s = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` texts are embedded."""
        if not has_bars():
            if time.monotonic() - self._said_s >= _LINE_EVERY_S:
                self._said_s = time.monotonic()
                fields = {"event": "embedding", "done": done, "total": total}
                print_note(f"class names: {done}/{total} texts embedded", fields=fields)
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True))
            self._bar.add_task("class names", total=total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done)
        if done >= total:
            self._bar.stop()


def _format_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
