"""How a training shows on the terminal: a bar with the newest numbers, or plain lines elsewhere.

The loop knows of no terminal: its log gives every line to `logging`, with the numbers as fields.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovsam_pipeline.terminal.notes import divert_notes, has_bars, print_note

if TYPE_CHECKING:
    from rich.progress import Progress

_LOGGER = "ovsam.training.loop.run_log"
_NOT_SHOWN = ("step", "elapsed_s", "progress", "peak_memory_mb", "data_wait_s", "images_per_s")


def format_training(numbers: Mapping[str, Any]) -> str:
    """Return a line of the log as a sentence.

    "step 1200 (40 %) · label 0.31, lr 0.0001 · 21.3 images/s, 1.2 s for data · 912 MiB"
    """
    done = f" ({100 * numbers['progress']:.0f} %)" if "progress" in numbers else ""
    parts = [f"step {numbers.get('step', 0)}{done}"]
    shown: list[str] = []
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            shown += [f"{name} {key} {_short(number)}" for key, number in value.items()]
        elif name not in _NOT_SHOWN:
            shown.append(f"{name} {_short(value)}")
    parts.append(", ".join(shown))
    if numbers.get("images_per_s"):  # the text stage sees none
        parts.append(
            f"{numbers['images_per_s']:.1f} images/s, {numbers['data_wait_s']:.1f} s for data"
        )
    if "peak_memory_mb" in numbers:
        parts.append(f"{numbers['peak_memory_mb']} MiB")
    return " · ".join(part for part in parts if part)


@contextmanager
def show_training() -> Iterator[None]:
    """Show the lines of a run's log while the block runs: beside a bar, or one after the other."""
    logger = logging.getLogger(_LOGGER)
    propagates, logger.propagate = logger.propagate, False
    try:
        if has_bars():
            with _show_bar() as progress, _handled(logger, _BarHandler(progress)):
                yield
        else:
            with _handled(logger, _LineHandler()):
                yield
    finally:
        logger.propagate = propagates


@contextmanager
def _handled(logger: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def _show_bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    text = TextColumn("{task.description}", table_column=Column(no_wrap=True))
    columns = (BarColumn(bar_width=20), TimeElapsedColumn(), text)
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as progress:
        progress.add_task("first steps", total=1.0)

        def print_above(line: str) -> None:
            progress.console.print(line, markup=False, highlight=False)

        with divert_notes(print_above):
            yield progress


class _LineHandler(logging.Handler):
    """Lines of the log as notes."""

    def emit(self, record: logging.LogRecord) -> None:
        numbers = getattr(record, "numbers", {})
        print_note(format_training(numbers), fields={"event": "training", **numbers})


class _BarHandler(logging.Handler):
    """Lines of the log as the text of a bar; an evaluation stays above it."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        numbers = getattr(record, "numbers", {})
        text = format_training(numbers)
        if "progress" not in numbers:
            print_note(text)
            return
        task = self._progress.task_ids[0]
        self._progress.update(task, completed=numbers["progress"], description=text)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class LogFollower:
    """Shows lines that processes elsewhere append to a run's log."""

    def __init__(self, path: Path) -> None:
        """Begin at what is there: it was shown by an earlier run."""
        self.path = path
        self._place = self._size()

    def show(self) -> None:
        """Show the whole lines that are new; a restarted run makes its log shorter first."""
        if self._size() <= self._place:
            self._place = self._size()
            return
        with self.path.open("rb") as file:
            file.seek(self._place)
            new = file.read().rpartition(b"\n")[0]
        self._place += len(new) + 1 if new else 0
        for line in new.splitlines():
            with suppress(ValueError):  # cut, where the log was written anew in between
                numbers = json.loads(line)
                logging.getLogger(_LOGGER).info("%s", numbers, extra={"numbers": numbers})

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0
