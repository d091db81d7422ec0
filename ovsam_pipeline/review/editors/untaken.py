"""Images of an editor's file of which no answers can be taken: named, and never guessed at."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ovsam.coco_fields import to_text
from ovsam.errors import describe_error, show_value
from ovsam_pipeline.outcomes import count_things

logger = logging.getLogger(__name__)

_MOST_NAMED = 5
# What odd values of a file raise where they are computed with.
_ODD_VALUES = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError)


class Untaken:
    """Counts them; what is wrong with the first few is told at the end."""

    def __init__(self, path: object) -> None:
        self._path = path
        self._count = 0
        self._reasons: list[str] = []

    @contextmanager
    def image(self, name: object) -> Iterator[None]:
        """Pass over an image whose objects cannot be read: an object left out would be a no."""
        try:
            yield
        except _ODD_VALUES as error:
            self._count += 1
            if len(self._reasons) < _MOST_NAMED:
                self._reasons.append(f"{show_value(name, 80)}: {_describe(error)}")

    def tell(self) -> None:
        """Warn of them."""
        if self._count:
            more = "; …" if self._count > len(self._reasons) else ""
            images = count_things(self._count, "image")
            logger.warning(
                "no answers taken of %s of %s: %s%s",
                images, self._path, "; ".join(self._reasons), more,
            )  # fmt: skip


def _describe(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{show_value(error.args[0], 40)} is missing"
    return describe_error(error) if isinstance(error, ValueError) else "it is not what it should be"


def take_text(values: Any, name: str) -> str | None:
    """Return a text that is not empty of an object of a file, or None."""
    return to_text(values.get(name)) if isinstance(values, dict) else None
