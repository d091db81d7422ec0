"""What goes to stderr: sentences, or one JSON object a line; all of it, or warnings alone.

Notes, log records and progress all come through `print_note`. Handlers of the `logging` module are
set here and nowhere else. Above a progress bar, the bar says where a sentence goes (`divert`).
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


def choose_logs(log_format: str = "text", *, is_quiet: bool = False) -> None:
    """Say how stderr is written from here on.

    Args:
        log_format: "text", or "json" for one object a line.
        is_quiet: whether only warnings and errors are written.

    Raises:
        ConfigError: another format.
    """
    if log_format not in _FORMATS:
        raise ConfigError(
            f"expected --log-format as one of {', '.join(_FORMATS)}, got '{log_format}'"
        )
    _choice.is_json, _choice.is_quiet = log_format == "json", is_quiet
    # Python's own warnings would be the one thing that is no JSON.
    logging.captureWarnings(_choice.is_json)


def is_json_log() -> bool:
    """Whether stderr is one JSON object a line."""
    return _choice.is_json


def has_bars() -> bool:
    """Whether progress is a bar: on a terminal that understands one, in sentences, not quiet."""
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return is_terminal and not (_choice.is_json or _choice.is_quiet)


def print_note(
    text: str, *, level: int = logging.INFO, fields: Mapping[str, Any] | None = None
) -> None:
    """Write a line to stderr, above the progress bar where there is one.

    Args:
        text: the sentence.
        level: of `logging`; below WARNING nothing is written when quiet.
        fields: what a program wants to read instead of the sentence; in JSON only.
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
        # One write: two threads' lines do not mix.
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


@contextmanager
def divert_notes(sink: Callable[[str], None]) -> Iterator[None]:
    """Give notes to `sink` while the block runs: what draws on the terminal writes above itself."""
    _choice.sink = sink
    try:
        yield
    finally:
        _choice.sink = None


def set_up_logging() -> None:
    """Show our own records from INFO on, all others from WARNING on; OVSAM_LOG=debug shows more."""
    logging.getLogger().handlers = [_NoteHandler()]
    level = os.environ.get("OVSAM_LOG", "info").upper()
    known = logging.getLevelNamesMapping()
    for name in ("ovsam", "ovsam_pipeline"):
        logging.getLogger(name).setLevel(known.get(level, logging.INFO))


class _NoteHandler(logging.Handler):
    """Log records as notes."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name}
        text = self.format(record)
        if _choice.is_json and record.exc_info:
            text, fields["traceback"] = record.getMessage(), text.partition("\n")[2]
        print_note(text, level=record.levelno, fields=fields)
