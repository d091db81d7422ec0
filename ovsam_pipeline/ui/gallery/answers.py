"""What a person says in the gallery, or takes back → a line of OUT/reviews.jsonl."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from ovsam.errors import ConfigError, show_value
from ovsam_pipeline.outcomes import count_are
from ovsam_pipeline.output.reviews import (
    REVIEWS_FILE,
    Answer,
    CurrentAnswer,
    append_answers,
    withdraw_answers,
    write_time,
)
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
        self._num_answers = self._num_withdrawn = 0

    def take(self, said: Any) -> dict[str, Any]:
        """Store an answer; return its image as it is now, as `read_images` does, and `counts`.

        `said` has row, number, key and verdict: "accepted", "rejected", or "renamed" with the new
        name as `category`. `answer` is the id to withdraw it by, None where it was said before.

        Raises:
            ConfigError: it is no answer, or there is no such row.
            ChangedError: there is no object of this key any more.
        """
        number, key, verdict, name = _check(said)
        with self._lock:
            row = self._read_row(number)
            answer = self._make(row, key, verdict, name)
            is_new = append_answers(self._opened.path, [answer]) > 0
            self._num_answers += is_new
            return {**self._draw(row), "answer": answer.id if is_new else None}

    def withdraw(self, said: Any) -> dict[str, Any]:
        """Take an answer back, of whatever session; return its image and `counts` as `take` does.

        `said` has row and answer, an id of `take` or the key of a rejected object. What was said of
        the object before counts again, if it is no rejection: that is taken back, too.

        Raises:
            ConfigError: it names no answer, or there is no such row.
            ChangedError: the answer is not the one that counts any more.
        """
        number, answer_id = _check_withdrawal(said)
        with self._lock:
            row = self._read_row(number)
            current = _find_answer(row.file_name, self._opened.list_answers(row), answer_id)
            taken = withdraw_answers(self._opened.path, _list_rejections(current), self._by)
            if not taken:
                raise _refuse_old(row.file_name)
            self._num_withdrawn += taken
            return self._draw(row)

    def _read_row(self, number: int) -> Row:
        # Others may have answered, by another window or an import.
        self._opened.refresh()
        try:
            [row] = self._opened.read_rows([number])
        except IndexError:
            raise ConfigError(f"expected a row of this output, got {number}") from None
        return row

    def _draw(self, row: Row) -> dict[str, Any]:
        self._opened.refresh()
        return {**self._opened.draw_with_rejected(row), "counts": self._opened.count()}

    def describe(self) -> list[str]:
        """Return how many answers came and were taken back, where, and what to type next."""
        path = self._opened.path
        if not self._num_answers and not self._num_withdrawn:
            return [f"no answers were given; {path} is as it was"]
        name = shlex.quote(str(path))
        taken = f", {self._num_withdrawn:,} taken back" if self._num_withdrawn else ""
        return [
            f"{count_are(self._num_answers, 'answer')} new in {path / REVIEWS_FILE}{taken}",
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
            write_time(),
            shown={name: item.get(name) for name in _SHOWN},
            phash=row.values.get("phash"),
        )


def _check(said: Any) -> tuple[int, str, str, str | None]:
    """Return row, key, verdict and name of an answer; a ConfigError where it is none."""
    row = _check_row(said)
    key, verdict, name = (said.get(k) for k in ("key", "verdict", "category"))
    if not isinstance(key, str) or not key:
        raise ConfigError(f"expected key as that of an object, got {show_value(key, 40)}")
    if verdict not in _VERDICTS:
        raise ConfigError(
            f"expected verdict as one of {', '.join(_VERDICTS)}, got {show_value(verdict, 40)}"
        )
    return row, key, verdict, read_typed_name(name) if verdict == "renamed" else None


def _check_withdrawal(said: Any) -> tuple[int, str]:
    """Return row and id of an answer to take back; a ConfigError where these are none."""
    row = _check_row(said)
    answer_id = said.get("answer")
    if not isinstance(answer_id, str) or not answer_id:
        raise ConfigError(f"expected answer as an id of one, got {show_value(answer_id, 40)}")
    return row, answer_id


def _check_row(said: Any) -> int:
    if not isinstance(said, Mapping):
        raise ConfigError(f"expected an answer as an object, got {show_value(said, 40)}")
    row = said.get("row")
    if not isinstance(row, int) or isinstance(row, bool):
        raise ConfigError(f"expected row as a number, got {show_value(row, 40)}")
    return row


def _find_object(file_name: str, objects: list[dict[str, Any]], key: str) -> Mapping[str, Any]:
    keys = list_keys(file_name, objects)
    if key not in keys:
        raise ChangedError(
            f"the object of {show_value(file_name, 80)} is not as it was shown: somebody answered "
            "meanwhile, or the image was labelled again; look at it anew"
        )
    return objects[keys.index(key)]


def _find_answer(file_name: str, answers: Iterable[CurrentAnswer], answer_id: str) -> CurrentAnswer:
    for current in answers:
        if current.answer.id == answer_id:
            return current
    raise _refuse_old(file_name)


def _list_rejections(current: CurrentAnswer) -> list[Answer]:
    """Return an answer; where it is a rejection, also those right before it."""
    taken = [current.answer]
    for answer in reversed(current.earlier):
        if taken[-1].category is not None or answer.category is not None:
            break
        taken.append(answer)
    return taken


def _refuse_old(file_name: str) -> ChangedError:
    return ChangedError(
        f"nothing was taken back: this answer on {show_value(file_name, 80)} is not the last one "
        "any more; somebody answered meanwhile, or took it back"
    )
