"""The progress of a run on the terminal: a bar, or a line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.table import Column

from ovsam_pipeline.monitoring.progress import PaceMeter, format_progress, measure_progress
from ovsam_pipeline.monitoring.repeating import repeat
from ovsam_pipeline.terminal.notes import divert_notes, has_bars, print_note

if TYPE_CHECKING:
    from rich.progress import Progress

    from ovsam_pipeline.monitoring.report import RunReport


_LINE_EVERY_S = 5.0


# Seconds since the start → seconds between lines: a night's log stays below 600 lines.
_LATER_LINES = ((60.0, 30.0), (3600.0, 60.0))


_BAR_EVERY_S = 0.5


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
    from rich.progress import Progress

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
