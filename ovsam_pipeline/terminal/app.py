"""Results on stdout, and the one place where errors and signals become exit codes.

A known error becomes one sentence and its exit code; any other keeps its traceback and exits 1.
Everything else goes to stderr: notes in `notes.py`, progress in `bars.py`.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from ovsam_pipeline.monitoring.exit_codes import ExitCode, exit_code_of
from ovsam_pipeline.terminal.notes import choose_logs, is_json_log, print_note, set_up_logging

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ovsam_pipeline.monitoring.stopping import StopRequest

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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


def run_app(app: Callable[[], Any]) -> None:
    """Run the command line and exit with its code; an unknown error keeps its traceback."""
    from ovsam.errors import OvsamError

    choose_logs()
    set_up_logging()
    for number in _SIGNALS:
        signal.signal(number, _raise_interrupted)
    try:
        app()
    except OvsamError as error:
        code = exit_code_of(error)
        fields = {"error": type(error).__name__, "exit_code": code}
        print_note(f"ovsam: {error}", level=logging.ERROR, fields=fields)
        sys.exit(code)
    except _Interrupted:
        for number in _SIGNALS:  # a second signal ends at once, without a traceback from a cleanup
            signal.signal(number, lambda *_: os._exit(ExitCode.INTERRUPTED))
        fields = {"exit_code": ExitCode.INTERRUPTED}
        print_note("ovsam: interrupted", level=logging.ERROR, fields=fields)
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:
        if not is_json_log():
            raise
        name = type(error).__name__
        fields = {"error": name, "traceback": traceback.format_exc(), "exit_code": ExitCode.FAILED}
        print_note(f"ovsam: {name}: {error}", level=logging.CRITICAL, fields=fields)
        sys.exit(ExitCode.FAILED)


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Yield a request that the first Ctrl-C or SIGTERM makes; the second ends the process."""
    from ovsam_pipeline.monitoring.stopping import StopRequest

    stop = StopRequest()
    is_asked = False

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        nonlocal is_asked
        if is_asked:
            os._exit(ExitCode.INTERRUPTED)
        is_asked = True
        stop.request("interrupted")
        # From another thread: the signal may have interrupted this one in the middle of a print.
        note = "stopping: finishing the current image; press Ctrl-C again to stop at once"
        threading.Thread(target=print_note, args=(note,)).start()

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Interrupted(BaseException):
    """Ctrl-C or SIGTERM outside `graceful_stop`; not an Exception, so that nothing catches it."""


def _raise_interrupted(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
    raise _Interrupted
