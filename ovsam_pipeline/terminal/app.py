"""Results on stdout, and the one place where errors and signals become exit codes.

A known error becomes one sentence and its exit code. What nobody expected becomes one line too,
with its place in the source, and exit code 1; `--debug` (or OVSAM_LOG=debug) shows the traceback of
either. Everything else goes to stderr: notes in `notes.py`, progress in `bars.py`.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from ovsam.errors import ConfigError, OvsamError, describe_error
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.monitoring.exit_codes import ExitCode, exit_code_of
from ovsam_pipeline.terminal.bugs import describe_bug
from ovsam_pipeline.terminal.notes import (
    choose_logs,
    is_debugging,
    is_json_log,
    print_note,
    set_up_logging,
)
from ovsam_pipeline.terminal.streams import escape_json, secure_streams, show_controls

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ovsam_pipeline.monitoring.stopping import StopRequest

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Why a path cannot be used, whatever it was for.
_UNUSABLE = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR)
# What pathlib raises, as a RuntimeError, for "~" without a home and for "~nobody".
_NO_HOME = "Could not determine home directory."


# Columns of a pipe or a file: whoever reads it wraps.
_UNWRAPPED = 10_000


def print_result(*lines: str) -> None:
    """Write lines of the result to stdout; an OutputError where it cannot be written."""
    for line in lines:
        print(show_controls(line), file=sys.stdout)
    sys.stdout.flush()


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Write one object to stdout, on one line without an indent; errors as in `print_result`."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    print(escape_json(text), file=sys.stdout, flush=True)


@contextmanager
def result_is_kept() -> Iterator[None]:
    """Print a summary of what files hold: where it cannot be written, warn, as the work is done."""
    try:
        yield
    except OutputError as error:
        print_note(f"{error}; what it says is in the files", level=logging.WARNING)


def print_tables(tables: Sequence[RenderableType]) -> None:
    """Write rich tables to stdout: in colour on a terminal, plain and unwrapped elsewhere."""
    from rich.console import Console
    from rich.segment import Segment, Segments

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else _UNWRAPPED)
    for table in tables:
        parts = [
            Segment(show_controls(part.text, keep="\n"), part.style)
            for part in console.render(table)
        ]
        console.print(Segments(parts), end="")
    sys.stdout.flush()


def run_app(app: Callable[[], Any]) -> None:
    """Run the command line and exit with its code, whatever happens in it."""
    secure_streams()
    choose_logs()
    set_up_logging()
    threading.excepthook = _report_thread
    for number in _SIGNALS:
        signal.signal(number, _raise_interrupted)
    try:
        code = _run(app)
    except Interrupted:
        for number in _SIGNALS:  # a second signal ends at once, without a traceback from a cleanup
            signal.signal(number, lambda *_: _echoes.has_one() or os._exit(ExitCode.INTERRUPTED))
        code = ExitCode.INTERRUPTED
        print_note("ovsam: interrupted", level=logging.ERROR, fields={"exit_code": code})
    sys.exit(code)


def _run(app: Callable[[], Any]) -> int | str | None:
    """Run the command line; return what it exits with."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # what the parser wrote: help pages
    except SystemExit as stopped:
        return stopped.code
    except OvsamError as error:
        return _report(error, str(error), logging.ERROR)
    except Exception as error:  # noqa: BLE001 - the one boundary
        if str(error) == _NO_HOME:
            sentence = "no home folder is known for a path with ~; write the whole path"
            return _report(ConfigError(sentence), sentence, logging.ERROR)
        if isinstance(error, OSError) and error.errno in _UNUSABLE and error.filename is not None:
            # Even to look whether there is a file asks for a permission on each folder above it.
            sentence = f"cannot use {error.filename}: {describe_error(error)}"
            return _report(ConfigError(sentence), sentence, logging.ERROR)
        return _report(error, describe_bug(error), logging.CRITICAL)
    return ExitCode.DONE


def _report(error: Exception, sentence: str, level: int) -> int:
    """Say what ended the command (the error in hand); return its exit code."""
    code = exit_code_of(error)
    fields: dict[str, Any] = {"error": type(error).__name__, "exit_code": code}
    if is_json_log() and level == logging.CRITICAL:
        fields["traceback"] = traceback.format_exc()
    elif is_debugging():
        print_note(traceback.format_exc().rstrip(), level=level, is_block=True)
    print_note(f"ovsam: {sentence}", level=level, fields=fields)
    if "--json" in sys.argv[1:]:
        # Who reads a pipe sees no exit code: an empty stdout would be taken for no result.
        with suppress(OutputError):
            print_json({"error": sentence, "exit_code": int(code)})
    return code


def _report_thread(arguments: threading.ExceptHookArgs) -> None:
    """Say that a thread ended by an error; the work goes on, or fails with its own reason."""
    if arguments.exc_value is not None and arguments.exc_type is not SystemExit:
        print_note(f"ovsam: {describe_bug(arguments.exc_value)}", level=logging.ERROR)


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Yield a request that the first Ctrl-C or SIGTERM makes; the second ends the process."""
    from ovsam_pipeline.monitoring.stopping import StopRequest

    stop = StopRequest()
    is_asked = False

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        nonlocal is_asked
        if _echoes.has_one():
            return
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


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM outside `graceful_stop`; not an Exception, so that nothing catches it."""


def _raise_interrupted(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
    if not _echoes.has_one():
        raise Interrupted


class _Echoes:
    """Which signals are another one's echo: none, unless `seconds` is set."""

    def __init__(self) -> None:
        self.seconds = self._last_s = 0.0

    def has_one(self) -> bool:
        """Whether the signal that is handled now came so soon after another that it is the same."""
        before_s, self._last_s = self._last_s, time.monotonic()
        return self._last_s - before_s < self.seconds


_echoes = _Echoes()


def expect_echoes(seconds: float) -> None:
    """Take signals that come so soon after another for the same one.

    Ctrl-C reaches a process that labels and the one that watches over it, which passes it on.
    """
    _echoes.seconds = seconds
