"""What a person says in the gallery → a line of OUT/reviews.jsonl."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ovsam.errors import ConfigError, show_value
from ovsam_pipeline.outcomes import count_are
from ovsam_pipeline.output.reviews import REVIEWS_FILE, Answer, append_answers
from ovsam_pipeline.ui.gallery.opened import OpenedOutput
from ovsam_pipeline.ui.gallery.rows import Row
from ovsam_pipeline.ui.objects import list_keys
from ovsam_pipeline.ui.typed_name import read_typed_name

_VERDICTS = ("accepted", "rejected", "renamed")
_SHOWN = ("category", "score", "risk", "reason")


class ChangedError(ConfigError):
    """The object that was answered is not as it was shown any more."""


class Reviewer:
    """Takes the answers of one person, one after the other."""

    def __init__(self, opened: OpenedOutput, by: str) -> None:
        """Answers are those of `by`."""
        self._opened, self._by = opened, by
        # Two answers on an image at once: the second sees what the first made of it.
        self._lock = threading.Lock()
        self._num_answers = 0

    def take(self, said: Any) -> dict[str, Any]:
        """Store an answer; return its image as it is now, as `read_images` does, and `counts`.

        `said` has row, number, key and verdict: "accepted", "rejected", or "renamed" with the new
        name as `category`.

        Raises:
            ConfigError: it is no answer, or there is no such row.
            ChangedError: there is no object of this key any more.
        """
        number, key, verdict, name = _check(said)
        with self._lock:
            # Others may have answered, by another window or an import.
            self._opened.refresh()
            try:
                [row] = self._opened.read_rows([number])
            except IndexError:
                raise ConfigError(f"expected a row of this output, got {number}") from None
            answer = self._make(row, key, verdict, name)
            append_answers(self._opened.path, [answer])
            self._num_answers += 1
            self._opened.refresh()
            return {**self._opened.draw_row(row), "counts": self._opened.count()}

    def describe(self) -> list[str]:
        """Return how many answers were taken, where they are, and what to type next."""
        path = self._opened.path
        if not self._num_answers:
            return [f"no answers were given; {path} is as it was"]
        name = shlex.quote(str(path))
        return [
            f"{count_are(self._num_answers, 'answer')} new in {path / REVIEWS_FILE}",
            f"next: ovsam export {name} --format yolo (with the answers), or ovsam review {name} "
            "(what they say)",
        ]

    def _make(self, row: Row, key: str, verdict: str, name: str | None) -> Answer:
        item = _find_object(row.file_name, self._opened.correct(row), key)
        mask = item["segmentation"]
        category = {"accepted": item["category"], "rejected": None, "renamed": name}[verdict]
        return Answer(
            row.file_name,
            category,
            None if category is None else mask,
            mask,
            self._by,
            datetime.now(UTC).isoformat(timespec="seconds"),
            shown={name: item.get(name) for name in _SHOWN},
            phash=row.values.get("phash"),
        )


def _check(said: Any) -> tuple[int, str, str, str | None]:
    """Return row, key, verdict and name of an answer; a ConfigError where it is none."""
    if not isinstance(said, Mapping):
        raise ConfigError(f"expected an answer as an object, got {show_value(said, 40)}")
    row, key, verdict, name = (said.get(k) for k in ("row", "key", "verdict", "category"))
    if not isinstance(row, int) or isinstance(row, bool):
        raise ConfigError(f"expected row as a number, got {show_value(row, 40)}")
    if not isinstance(key, str) or not key:
        raise ConfigError(f"expected key as that of an object, got {show_value(key, 40)}")
    if verdict not in _VERDICTS:
        raise ConfigError(
            f"expected verdict as one of {', '.join(_VERDICTS)}, got {show_value(verdict, 40)}"
        )
    return row, key, verdict, read_typed_name(name) if verdict == "renamed" else None


def _find_object(file_name: str, objects: list[dict[str, Any]], key: str) -> Mapping[str, Any]:
    keys = list_keys(file_name, objects)
    if key not in keys:
        raise ChangedError(
            f"the object of {show_value(file_name, 80)} is not as it was shown: somebody answered "
            "meanwhile, or the image was labelled again; look at it anew"
        )
    return objects[keys.index(key)]
