"""What goes to stderr: sentences or one JSON object per line; all of it, or only warnings.

Notes, log records and progress all come through `print_note`. Handlers of the `logging` module are
set here and nowhere else. While a bar is drawn, it decides where a line goes (`divert_notes`).
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ovsam.errors import ConfigError
from ovsam_pipeline.terminal.bugs import describe_bug
from ovsam_pipeline.terminal.streams import escape_json, show_controls

_FORMATS = ("text", "json")
# A name or an expression of a foreign file can be megabytes long.
_MOST_LETTERS = 8000
# Least level → what a terminal calls red, yellow and dim.
_COLOURS = ((logging.ERROR, "31"), (logging.WARNING, "33"), (0, "2"))


@dataclass
class _Choice:
    """How stderr is written; one process has one."""

    is_json: bool = False
    is_quiet: bool = False
    is_debugging: bool = False
    sink: Callable[[str], None] | None = None


_choice = _Choice()


def choose_logs(log_format: str | None = None, *, is_quiet: bool | None = None) -> None:
    """Choose how stderr is written from here on.

    `log_format` is "text" (also None), or "json" for one object per line; when quiet, only warnings
    and errors are written.
    """
    log_format = log_format or "text"
    if log_format not in _FORMATS:
        raise ConfigError(
            f"expected --log-format as one of {', '.join(_FORMATS)}, got '{log_format}'"
        )
    _choice.is_json, _choice.is_quiet = log_format == "json", bool(is_quiet)
    # Python's own warnings would otherwise be the one thing that is not JSON.
    logging.captureWarnings(_choice.is_json)


def is_json_log() -> bool:
    """Return whether stderr is one JSON object per line."""
    return _choice.is_json


def is_debugging() -> bool:
    """Return whether errors show their traceback: after --debug, or with OVSAM_LOG=debug."""
    return _choice.is_debugging


def start_debugging() -> None:
    """Do what OVSAM_LOG=debug does from here on."""
    _set_level("debug")


def has_bars() -> bool:
    """Return whether progress is a bar: on a terminal that draws one, neither JSON nor quiet."""
    return _is_terminal() and not (_choice.is_json or _choice.is_quiet)


def _is_terminal() -> bool:
    """Return whether stderr is a terminal that draws bars and colours."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def print_note(
    text: str,
    *,
    level: int = logging.INFO,
    fields: Mapping[str, Any] | None = None,
    is_block: bool = False,
) -> None:
    """Write a line to stderr, above the bar where there is one; one that cannot be is lost.

    When quiet, only levels from WARNING on are written. `fields` are for programs: JSON has them
    next to the sentence, text leaves them out. A block, such as a traceback, has several lines.
    """
    if _choice.is_quiet and level < logging.WARNING:
        return
    if len(text) > _MOST_LETTERS and not is_block:
        text = f"{text[:_MOST_LETTERS]}…"
    if _choice.is_json:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        name = logging.getLevelName(level).lower()
        line = {"time": now, "level": name, "message": text, **(fields or {})}
        text = escape_json(json.dumps(line, ensure_ascii=False, default=str))
    else:
        text = _colour(show_controls(text, keep="\n\t" if is_block else ""), level, fields or {})
    # Whatever becomes of a message, the work goes on.
    with suppress(OSError, ValueError, AttributeError):
        if _choice.sink is not None:
            _choice.sink(text)
        else:
            # One write per line: lines of two threads do not mix.
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


def _colour(text: str, level: int, fields: Mapping[str, Any]) -> str:
    """Return a line in the colour of its kind on a terminal; progress and pipes stay plain."""
    if fields.get("event") == "progress" or os.environ.get("NO_COLOR") or not _is_terminal():
        return text
    code = next(code for least, code in _COLOURS if level >= least)
    return f"\x1b[{code}m{text}\x1b[0m"


@contextmanager
def divert_notes(sink: Callable[[str], None]) -> Iterator[None]:
    """Give lines to `sink` while the block runs: a bar writes them above itself."""
    _choice.sink = sink
    try:
        yield
    finally:
        _choice.sink = None


def set_up_logging() -> None:
    """Show ovsam's records from INFO on, all others from WARNING on; OVSAM_LOG=debug shows more."""
    logging.getLogger().handlers = [_NoteHandler()]
    _set_level(os.environ.get("OVSAM_LOG", "info"))


def _set_level(name: str) -> None:
    level = logging.getLevelNamesMapping().get(name.upper(), logging.INFO)
    _choice.is_debugging = level <= logging.DEBUG
    for logger in ("ovsam", "ovsam_pipeline"):
        logging.getLogger(logger).setLevel(level)


def _capitalise(record: logging.LogRecord) -> str:
    """Return a record's sentence; it begins with a capital where it does not begin with a name."""
    text, template = record.getMessage(), str(record.msg)
    is_sentence = template[:1].islower() and not template.startswith("ovsam")
    return text[:1].upper() + text[1:] if is_sentence else text


class _NoteHandler(logging.Handler):
    """Prints log records as notes."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name}
        try:
            text = record.getMessage() if _choice.is_json else _capitalise(record)
        except Exception as wrong:  # noqa: BLE001 - a library's message must not end the work
            text = f"{record.msg} ({wrong})"
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and (_choice.is_json or _choice.is_debugging):
            fields["traceback"] = "".join(traceback.format_exception(error))
        print_note(text, level=record.levelno, fields=fields)
        if error is not None and not _choice.is_json:
            more = fields.get("traceback") or describe_bug(error)
            print_note(more.rstrip(), level=record.levelno, is_block=True)
