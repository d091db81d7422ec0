"""What goes to stderr: sentences or one JSON object per line; all of it, or only warnings.

Notes, log records and progress all come through `print_note`. Handlers of the `logging` module are
set here and nowhere else. While a bar is drawn, it decides where a line goes (`divert_notes`).
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ovsam.errors import ConfigError

_FORMATS = ("text", "json")


@dataclass
class _Choice:
    """How stderr is written; one process has one."""

    is_json: bool = False
    is_quiet: bool = False
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


def has_bars() -> bool:
    """Return whether progress is a bar: on a terminal that draws one, neither JSON nor quiet."""
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return is_terminal and not (_choice.is_json or _choice.is_quiet)


def print_note(
    text: str, *, level: int = logging.INFO, fields: Mapping[str, Any] | None = None
) -> None:
    """Write a line to stderr, above the bar where there is one.

    When quiet, only levels from WARNING on are written. `fields` are for programs: JSON has them
    next to the sentence, text leaves them out.
    """
    if _choice.is_quiet and level < logging.WARNING:
        return
    if _choice.is_json:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        name = logging.getLevelName(level).lower()
        line = {"time": now, "level": name, "message": text, **(fields or {})}
        text = json.dumps(line, ensure_ascii=False, default=str)
    if _choice.sink is not None:
        _choice.sink(text)
    else:
        # One write per line: lines of two threads do not mix.
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


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
    level = os.environ.get("OVSAM_LOG", "info").upper()
    known = logging.getLevelNamesMapping()
    for name in ("ovsam", "ovsam_pipeline"):
        logging.getLogger(name).setLevel(known.get(level, logging.INFO))


class _NoteHandler(logging.Handler):
    """Prints log records as notes."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name}
        text = self.format(record)
        if _choice.is_json and record.exc_info:
            text, fields["traceback"] = record.getMessage(), text.partition("\n")[2]
        print_note(text, level=record.levelno, fields=fields)
