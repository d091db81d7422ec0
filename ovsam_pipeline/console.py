"""The terminal: results on stdout, everything else on stderr, and the one error boundary.

On a terminal, progress is a bar; without one (cron, CI, a pipe) it is a plain line every few
seconds. A known error becomes one sentence and its exit code; any other keeps its traceback and
exits 1. Handlers of the `logging` module are set here and nowhere else.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from ovsam_pipeline.stopping import StopRequest

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress

    from ovsam_pipeline.report import RunReport

__all__ = [
    "EmbeddingProgress",
    "exit_code_of",
    "graceful_stop",
    "print_json",
    "print_note",
    "print_result",
    "print_tables",
    "run_app",
    "show_progress",
]

_LINE_EVERY_S = 5.0
_INTERRUPTED = 130
_log_sink: Callable[[str], None] | None = None


def print_result(text: str) -> None:
    """Write a line of the result to stdout."""
    print(text, file=sys.stdout)


def print_json(value: Any) -> None:
    """Write one object to stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2), file=sys.stdout)


def print_tables(tables: Sequence[RenderableType]) -> None:
    """Write rich tables to stdout: in colour on a terminal, 100 columns of plain text elsewhere."""
    from rich.console import Console

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 100)
    for table in tables:
        console.print(table)


def print_note(text: str) -> None:
    """Write a line to stderr, above the progress bar where there is one."""
    if _log_sink is not None:
        _log_sink(text)
    else:
        print(text, file=sys.stderr)


def run_app(app: Callable[[], Any]) -> None:
    """Run the command line and leave with its exit code.

    Raises:
        SystemExit: always, unless an unknown error passes through.
    """
    from ovsam.errors import OvsamError

    _set_up_logging()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _raise_interrupted)
    try:
        app()
    except OvsamError as error:
        print_note(f"ovsam: {error}")
        sys.exit(exit_code_of(error))
    except _Interrupted:
        for number in (signal.SIGINT, signal.SIGTERM):  # once more: no traceback from a cleanup
            signal.signal(number, lambda *_: os._exit(_INTERRUPTED))
        print_note("ovsam: interrupted")
        sys.exit(_INTERRUPTED)


def exit_code_of(error: Exception) -> int:
    """Return the exit code of a known error: 2 usage or configuration, 75 locked, else 1."""
    from ovsam import errors as core
    from ovsam_pipeline import errors

    usage = (
        core.ConfigError,
        core.MissingDependencyError,
        core.PromptError,
        core.VocabularyError,
        errors.DatasetError,
        errors.SourceError,
    )
    if isinstance(error, errors.OutputLockedError):
        return 75
    return 2 if isinstance(error, usage) else 1


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Yield a request that the first Ctrl-C or SIGTERM makes; the second ends the process."""
    stop = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        if stop.is_set():
            os._exit(_INTERRUPTED)
        stop.request("interrupted")
        # From a thread: the signal may have come in the middle of a print of this one.
        note = "stopping: finishing the image in hand; press Ctrl-C again to stop at once"
        threading.Thread(target=print_note, args=(note,)).start()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def show_progress(report: RunReport, *, is_quiet: bool = False) -> Iterator[None]:
    """Show the counts of a report while the block runs.

    Args:
        report: counted by the engine.
        is_quiet: show nothing.
    """
    if is_quiet or not report.num_images:
        yield
    elif _is_terminal():
        with _show_bar(report):
            yield
    else:
        with _repeat(lambda: print_note(format_progress(report)), _LINE_EVERY_S):
            yield
        print_note(format_progress(report))


def format_progress(report: RunReport) -> str:
    """Return "120/300 images (40 %), 3.1/s, 0:58 left · 110 labelled, 8 empty, 2 failed"."""
    done, total = report.done, report.num_images
    rate = done / report.seconds if done and report.seconds else 0.0
    left = f", {_format_time((total - done) / rate)} left" if rate and done < total else ""
    counts = ", ".join(
        f"{report.statuses[name]} {name}" for name in ("labelled", "empty", "failed")
    )
    return f"{done}/{total} images ({100 * done // total} %), {rate:.2f}/s{left} · {counts}"


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
        if not _is_terminal():
            if time.monotonic() - self._said_s >= _LINE_EVERY_S:
                self._said_s = time.monotonic()
                print_note(f"class names: {done}/{total} texts embedded")
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


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def _show_bar(report: RunReport) -> Iterator[None]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    global _log_sink  # noqa: PLW0603 - one terminal, one bar
    console = Console(stderr=True)
    # The text has the numbers; the bar takes what it leaves of the line.
    bar = BarColumn(bar_width=max(4, min(30, console.width - 80)))
    text = TextColumn("{task.description}", table_column=Column(no_wrap=True))
    with Progress(bar, text, console=console, refresh_per_second=5) as progress:
        task = progress.add_task(format_progress(report), total=report.num_images)

        def refresh() -> None:
            progress.update(task, completed=report.done, description=format_progress(report))

        _log_sink = lambda text: progress.console.print(text, markup=False, highlight=False)  # noqa: E731
        try:
            with _repeat(refresh, 0.2):
                yield
        finally:
            refresh()
            _log_sink = None


@contextmanager
def _repeat(action: Callable[[], None], every_s: float) -> Iterator[None]:
    """Call `action` again and again from a thread while the block runs."""
    is_over = threading.Event()

    def loop() -> None:
        while not is_over.wait(every_s):
            action()

    thread = threading.Thread(target=loop, name="ovsam-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


class _Interrupted(BaseException):
    """Ctrl-C or SIGTERM outside the labelling loop."""


class _NoteHandler(logging.Handler):
    """Log records as notes."""

    def emit(self, record: logging.LogRecord) -> None:
        print_note(self.format(record))


def _set_up_logging() -> None:
    """Show our own records from INFO on, all others from WARNING on; OVSAM_LOG=debug shows more."""
    handler = _NoteHandler()
    logging.getLogger().handlers = [handler]
    level = os.environ.get("OVSAM_LOG", "info").upper()
    known = logging.getLevelNamesMapping()
    for name in ("ovsam", "ovsam_pipeline"):
        logging.getLogger(name).setLevel(known.get(level, logging.INFO))


def _raise_interrupted(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
    raise _Interrupted


def _format_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
