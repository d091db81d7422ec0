"""Images of an editor's file of which no answers can be taken: counted, and never guessed at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ovsam.coco_fields import to_text
from ovsam.errors import describe_error, show_value
from ovsam_pipeline.outcomes import Reasons

# What odd values of a file raise where they are computed with.
_ODD_VALUES = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError)


@contextmanager
def counting_untaken(left_out: Reasons, name: object) -> Iterator[None]:
    """Pass over an image whose objects cannot be read: an object left out would be a no."""
    try:
        yield
    except _ODD_VALUES as error:
        left_out.add(f"no answers taken: {_describe(error)}", to_text(name) or show_value(name, 80))


def _describe(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{show_value(error.args[0], 40)} is missing"
    return describe_error(error) if isinstance(error, ValueError) else "it is not what it should be"


def take_text(values: Any, name: str) -> str | None:
    """Return a text that is not empty of an object of a file, or None."""
    return to_text(values.get(name)) if isinstance(values, dict) else None
