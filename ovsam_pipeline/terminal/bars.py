"""Progress on the terminal: of a labelling, an embedding, a download or a training.

Counts or lines of a training's log → a bar on a terminal that can draw one, else a plain line now
and then. Nothing here measures: numbers and sentences come from `monitoring.progress`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovsam.checked_json import parse_json
from ovsam_pipeline.monitoring.progress import (
    PaceMeter,
    format_progress,
    format_time,
    list_progress,
    measure_progress,
)
from ovsam_pipeline.monitoring.repeating import repeat
from ovsam_pipeline.terminal.notes import divert_notes, has_bars, print_note

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from ovsam_pipeline.monitoring.report import RunReport

_LINE_EVERY_S = 5.0
# Seconds since the start → seconds between lines: a night's log stays below 600 lines.
_LATER_LINES = ((60.0, 30.0), (3600.0, 60.0))
_BAR_EVERY_S = 0.5
# Columns of the terminal, of a bar and of what stands between it and its text.
_LEAST_BAR, _COLUMN = 20, 10
_TRAINING_LOG = "ovsam.training.loop.run_log"
# Numbers of a training's line that have a place of their own in the sentence, or none.
_NOT_SHOWN = ("step", "elapsed_s", "progress", "peak_memory_mb", "data_wait_s", "images_per_s")
# In words; what is neither here nor an accuracy is a loss.
_NUMBERS = {"lr": "learning rate", "grad_norm": "gradient norm", "skipped": "skipped steps"}

ShowBar = Callable[[float, str], None]


@contextmanager
def show_bar(text: str, total: float | None, *columns: ProgressColumn) -> Iterator[ShowBar]:
    """Draw a bar on stderr while the block runs, with notes above it; yield its update function.

    The function takes what is done and the text behind the bar. Of the parts of the text, which
    have " · " between them, the first are shown: as many as leave the bar 20 columns.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column
    from rich.text import Text

    console = Console(stderr=True)
    bar = BarColumn(bar_width=None, table_column=Column(min_width=_LEAST_BAR, ratio=1))
    label = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
    parts = (bar, *columns, label)

    def fit(text: str) -> str:
        return fit_text(text, console.width - _LEAST_BAR - 1 - _COLUMN * len(columns))

    with Progress(*parts, console=console, refresh_per_second=5, expand=True) as progress:
        task = progress.add_task(fit(text), total=total)

        def print_above(line: str) -> None:
            progress.console.print(Text.from_ansi(line))

        def update(done: float, text: str) -> None:
            progress.update(task, completed=done, description=fit(text))

        with divert_notes(print_above):
            yield update


def fit_text(text: str, width: int) -> str:
    """Return the first parts of a text, with " · " between them, that fit; the first always."""
    short, *rest = text.split(" · ")
    for part in rest:
        if len(short) + len(part) + 3 > width:
            break
        short = f"{short} · {part}"
    return short


class CountedBar:
    """A bar that opens at the first call with (done, total), and closes when all is done."""

    def __init__(self, describe: Callable[[int, int], str], *columns: ProgressColumn) -> None:
        self._describe, self._columns = describe, columns
        self._stack = ExitStack()
        self._update: ShowBar | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show what is done; a total of 0 is unknown."""
        text = self._describe(done, total)
        if self._update is None:
            bar = show_bar(text, total or None, *self._columns)
            self._update = self._stack.enter_context(bar)
        self._update(done, text)
        if total and done >= total:
            self.close()

    def close(self) -> None:
        """Close the bar where it is open; the next call opens another."""
        self._stack.close()
        self._update = None


# --- labelling ----------------------------------------------------------------------------------


@contextmanager
def show_progress(report: RunReport) -> Iterator[None]:
    """Show the counts of a report while the block runs; nothing when there is nothing to do."""
    meter = PaceMeter(report.started_s)
    if not report.num_images:
        yield
    elif has_bars():
        with _show_labelling_bar(report, meter):
            yield
    else:
        with repeat(lambda: _print_line(report, meter), _choose_wait):
            yield
        _print_line(report, meter)


@contextmanager
def _show_labelling_bar(report: RunReport, meter: PaceMeter) -> Iterator[None]:
    def describe() -> str:
        return " · ".join(list_progress(measure_progress(report, meter.update(report.done))))

    with show_bar(describe(), report.num_images) as update:
        try:
            with repeat(lambda: update(report.done, describe()), lambda _: _BAR_EVERY_S):
                yield
        finally:
            update(report.done, describe())


def _choose_wait(since_start_s: float) -> float:
    """Return the seconds until the next line: fewer lines in a long run."""
    wait_s = _LINE_EVERY_S
    for start_s, later_s in _LATER_LINES:
        if since_start_s >= start_s:
            wait_s = later_s
    return wait_s


def _print_line(report: RunReport, meter: PaceMeter) -> None:
    numbers = measure_progress(report, meter.update(report.done))
    text = format_progress(numbers)
    # A thousand workers would make a long line; status.json lists them all.
    workers = numbers.pop("workers")
    paces = [worker["images_per_s"] for worker in workers if worker["state"] == "labelling"]
    pool = {
        "num_workers": sum(worker["state"] != "lost" for worker in workers),
        "slowest_worker_images_per_s": min(paces, default=None),
        "fastest_worker_images_per_s": max(paces, default=None),
    }
    print_note(text, fields={"event": "progress", **numbers, **pool})


class EmbeddingProgress:
    """Shows how many texts of a vocabulary are embedded; call it with (done, total).

    A vocabulary from the cache never calls it, so nothing is shown.
    """

    def __init__(self) -> None:
        self._bar = CountedBar(self._describe)
        self._last_line_s = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` texts are embedded."""
        if has_bars():
            self._bar(done, total)
        elif time.monotonic() - self._last_line_s >= _LINE_EVERY_S:
            self._last_line_s = time.monotonic()
            fields = {"event": "embedding", "done": done, "total": total}
            print_note(self._describe(done, total), fields=fields)

    @staticmethod
    def _describe(done: int, total: int) -> str:
        return f"classes: {done}/{total} texts or examples embedded"


# --- training -----------------------------------------------------------------------------------


@contextmanager
def show_training() -> Iterator[None]:
    """Show the lines of a training's log while the block runs: as a bar, or one after the other.

    The training loop knows no terminal: it gives every line to `logging`, with the numbers as
    fields.
    """
    logger = logging.getLogger(_TRAINING_LOG)
    propagates, logger.propagate = logger.propagate, False
    with ExitStack() as stack:
        update = None
        if has_bars():
            from rich.progress import TimeElapsedColumn

            update = stack.enter_context(show_bar("first steps", 1.0, TimeElapsedColumn()))
        handler = _TrainingHandler(update)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = propagates


class _TrainingHandler(logging.Handler):
    """Shows lines of the log as the text of a bar, or as notes; evaluations always as notes."""

    def __init__(self, update: ShowBar | None) -> None:
        super().__init__()
        self._update = update

    def emit(self, record: logging.LogRecord) -> None:
        numbers = getattr(record, "numbers", {})
        text = format_training(numbers)
        if self._update is None or "progress" not in numbers:
            print_note(text, fields={"event": "training", **numbers})
        else:
            self._update(numbers["progress"], text)


def format_training(numbers: Mapping[str, Any]) -> str:
    """Return a line of the log as a sentence.

    "step 1200 (40 %) · 0:47 left · label loss 0.31, learning rate 0.0001 · 21.3 images/s, 1.2 s for
    data · 912 MiB"
    """
    progress = numbers.get("progress", 0.0)
    done = f" ({100 * progress:.0f} %)" if "progress" in numbers else ""
    parts = [f"step {numbers.get('step', 0)}{done}"]
    if 0 < progress < 1:
        parts.append(f"{format_time(numbers['elapsed_s'] * (1 - progress) / progress)} left")
    shown: list[str] = []
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            shown += [f"{name} {key} {_shorten(number)}" for key, number in value.items()]
        elif name not in _NOT_SHOWN:
            kind = "" if name.endswith("accuracy") else " loss"
            shown.append(f"{_NUMBERS.get(name, f'{name}{kind}')} {_shorten(value)}")
    parts.append(", ".join(shown))
    if numbers.get("images_per_s"):  # the text stage sees no images
        wait_s = numbers["data_wait_s"]
        parts.append(f"{numbers['images_per_s']:.1f} images/s, {wait_s:.1f} s for data")
    if "peak_memory_mb" in numbers:
        parts.append(f"{numbers['peak_memory_mb']} MiB")
    return " · ".join(part for part in parts if part)


def _shorten(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class LogFollower:
    """Shows the lines that other processes append to a training's log, from now on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = self._size()

    def show(self) -> None:
        """Show the whole lines that are new; a restarted training makes its log shorter first."""
        if self._size() <= self._place:
            self._place = self._size()
            return
        with self.path.open("rb") as file:
            file.seek(self._place)
            new = file.read().rpartition(b"\n")[0]
        self._place += len(new) + 1 if new else 0
        for line in new.splitlines():
            with suppress(ValueError):  # a partial line: the log was rewritten meanwhile
                numbers = parse_json(line)
                logging.getLogger(_TRAINING_LOG).info("%s", numbers, extra={"numbers": numbers})

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0
