"""An error that nobody expected → one line that says what, where, and how to learn more."""

from __future__ import annotations

import os
import sysconfig
import traceback
from pathlib import Path
from types import TracebackType

from ovsam.errors import describe_error

_SOURCE = Path(__file__).parents[2]
_OWN = tuple(f"{_SOURCE / name}{os.sep}" for name in ("ovsam", "ovsam_pipeline"))
ADVICE = "--debug shows how it came to this; please report it"


def describe_bug(error: BaseException) -> str:
    """Return an error that nobody expected on one line: class, message, place, what to do."""
    text = describe_error(error)
    named = type(error).__name__
    what = named if text == named else f"{named}: {text[:500]}"
    return f"internal error: {what} ({_find_place(error.__traceback__)}); {ADVICE}"


def _find_place(found: TracebackType | None) -> str:
    """Return file and line where an error was raised, in ovsam or the user's own code if it was."""
    frames = traceback.extract_tb(found)
    frame = next(reversed([f for f in frames if not _is_library(f.filename)] or frames), None)
    if frame is None:
        return "no place known"
    return f"{frame.filename.removeprefix(f'{_SOURCE}{os.sep}')}:{frame.lineno}"


def _is_library(filename: str) -> bool:
    if filename.startswith(_OWN):
        return False
    return filename.startswith(("<", sysconfig.get_path("stdlib"))) or "-packages" in filename
