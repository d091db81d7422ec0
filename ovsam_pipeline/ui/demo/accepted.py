"""Objects that a person accepted → an output of the ordinary kind, held as a run holds it.

Each accepted object is an answer in reviews.jsonl, and an object of its image's row, there with the
name that the model gave it: so answers tell how often the model was right. A part holds one row and
is replaced as a whole. A process that is killed loses nothing that it said was accepted: the answer
is on disk first, and wherever rows are read an answer without its object is one of its own.

In an output of `ovsam label` the rows stay as the run made them: what is accepted there is answers
alone, as those of `ovsam review`.
"""

from __future__ import annotations

import logging
import os
import platform
import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ovsam
from ovsam.errors import ConfigError, OvsamError
from ovsam.text.class_list import make_class
from ovsam_pipeline.detectors.base import compute_fingerprint
from ovsam_pipeline.monitoring.exit_codes import ExitCode
from ovsam_pipeline.outcomes import count_are, count_things
from ovsam_pipeline.output.annotations_file import (
    ANNOTATIONS_FILE,
    choose_annotations,
    remove_annotations_beside,
)
from ovsam_pipeline.output.answered_rows import REVIEWED_BY, apply_answers, may_look_alike
from ovsam_pipeline.output.done_index import DoneIndex
from ovsam_pipeline.output.folder import (
    DEMO_TASK,
    OutputFolder,
    check_own_files,
    check_writable,
    is_output,
    read_run_file,
)
from ovsam_pipeline.output.parts import drop_part_rows, read_part, write_part
from ovsam_pipeline.output.reviews import (
    REVIEWS_FILE,
    Answer,
    CurrentAnswer,
    append_answers,
    read_answers,
    withdraw_answers,
    write_time,
)
from ovsam_pipeline.records import ImageRecord, LabelRecord, ObjectRecord
from ovsam_pipeline.ui.demo.session import OpenedImage
from ovsam_pipeline.ui.objects import DrawnObject, draw_objects, list_keys

if TYPE_CHECKING:
    from ovsam.text.vocabulary import Vocabulary
    from ovsam_pipeline.storage.remote_path import AnyPath

logger = logging.getLogger(__name__)

# Rows of different models and vocabularies are in one output: a person decided about each object.
FINGERPRINT = compute_fingerprint({"task": DEMO_TASK})
_SHOWN = ("category", "score", "risk", "reason")
# Of run.json: what the demos before this one named objects with.
_MOST_SESSIONS = 100

Describe = Callable[[], Mapping[str, Any]]


class ChangedError(OvsamError):
    """An accepted object is not there any more as the page shows it."""


class AcceptedObjects:
    """What was accepted, by image; safe to be called from several threads.

    Attributes:
        path: of the output.
    """

    def __init__(self, path: AnyPath, by: str, describe: Describe) -> None:
        """Take an output that is there already; a new one is made when something comes into it.

        Args:
            path: of the output.
            by: who accepts.
            describe: returns what run.json says of model, vocabulary and settings.

        Raises:
            OutputLockedError: a run, or another demo, holds it.
            ConfigError: it holds boxes of `ovsam detect`, or files of others.
        """
        self.path = path
        self._by, self._describe = by, describe
        self._started = _now()
        self._guard = threading.RLock()
        self._folder: OutputFolder | None = None
        self._is_own = True
        self._done = DoneIndex()
        # Rows that were written since `_done` was read: name → part; None: there is none now.
        self._written: dict[str, str | None] = {}
        # Categories of accepted objects, which keep their ids; other names follow them.
        self._used: list[dict[str, Any]] = []
        self._vocabulary: Vocabulary | None = None
        self._categories: list[dict[str, Any]] = []
        self._sessions: list[Mapping[str, Any]] = []
        self._num_answers = self._num_withdrawn = 0
        check_own_files(path)
        check_writable(path)
        if is_output(path):
            self.hold()

    @property
    def is_own(self) -> bool:
        """Whether the rows are those of demos; else they are a run's, and get answers alone."""
        return self._is_own

    def hold(self) -> None:
        """Make the output where there is none, and keep others out until `close`."""
        with self._guard:
            if self._folder is not None:
                return
            folder = OutputFolder(self.path)
            try:
                self._read(folder)
            except BaseException:
                folder.close()
                raise
            self._folder = folder
            self._write_run_file("running")

    def close(self) -> None:
        """Bring annotations.json up to date and let others in."""
        with self._guard:
            if self._folder is None:
                return
            try:
                if self._is_own:
                    self.export()
                    self._write_run_file("finished")
            finally:
                self._folder.close()
                self._folder = None

    def describe(self) -> list[str]:
        """Return what the output holds by people's word, and what to type next."""
        with self._guard:
            name = shlex.quote(str(self.path))
            if not self._is_own:
                if not self._num_answers and not self._num_withdrawn:
                    return [f"nothing was changed in {self.path}"]
                answers = count_are(self._num_answers, "answer")
                taken = f"; {self._num_withdrawn:,} taken back" if self._num_withdrawn else ""
                return [
                    f"{answers} in {self.path / REVIEWS_FILE}, and win in every export{taken}",
                    f"next: ovsam view {name}, or ovsam export {name} --format yolo",
                ]
            kept = [answer for answer in read_answers(self.path) if answer.category is not None]
            if not kept:
                return ["nothing was accepted, and nothing is kept"]
            objects = count_are(len(kept), "object")
            images = count_things(len({answer.file_name for answer in kept}), "image")
            return [
                f"{objects} kept, in {images}: {self.path}",
                f"next: ovsam view {name}, or ovsam export {name} --format yolo",
            ]

    def set_vocabulary(self, vocabulary: Vocabulary | None) -> None:
        """Take the classes of a vocabulary as categories, besides the names of accepted objects."""
        with self._guard:
            self._vocabulary = vocabulary
            if self._is_own:
                self._categories = add_classes(self._used, vocabulary)
                self._write_run_file("running")

    def export(self) -> AnyPath | None:
        """Write annotations.json, from rows and answers; return its place, None without a row."""
        from ovsam_pipeline.export.coco import export_coco

        with self._guard:
            if self._folder is None:
                return None
            self._folder.check_lock()
            target = choose_annotations(self.path)
            if target.name == ANNOTATIONS_FILE:
                remove_annotations_beside(self.path)
            export_coco(self.path, target)
            return target

    def draw(self, record: ImageRecord, image: OpenedImage) -> list[DrawnObject]:
        """Return the accepted objects of an image, as the page draws them."""
        with self._guard:
            objects, answers = self._list(record, image)
        # A picture is shown with 2,048 pixels a side, and zoomed into.
        tolerance = max(0.3, max(image.size_hw) / 4096)
        return draw_objects(record.file_name, objects, tolerance, answers)

    def accept(
        self, record: ImageRecord, image: OpenedImage, item: ObjectRecord, category: str
    ) -> None:
        """Keep an object under a name. What was accepted there by that name before is replaced.

        Raises:
            VocabularyError: the name cannot be used.
            OutputError, OutputLockedError: the output cannot be written.
        """
        name = make_class(category, category_id=1, where="the object").name
        with self._guard:
            self.hold()
            self._refuse_unlabelled(record, image)
            own = item.model_category or name
            ids = {one: self._learn(one) for one in (own, name)}
            shown = {key: getattr(item, key) for key in _SHOWN} if item.model_category else {}
            # Where the model names nothing, nobody was shown a name to judge.
            reviewed = item.segmentation if shown else None
            self._answer(record, image, name, item.segmentation, reviewed, shown)
            self._write_row(record, image, replace(item, category=own, category_id=ids[own]))

    def withdraw(self, record: ImageRecord, image: OpenedImage, number: int, key: str) -> None:
        """Take an accepted object back, with all that was answered on it.

        Where somebody else answered on it, that stays, and this person says that there is no such
        object. A ChangedError where `number` and `key`, of `draw`, are not those of an object now.
        """
        with self._guard:
            item, shown, history = self._find(record, image, number, key)
            if history and all(answer.by == self._by for answer in history):
                self._check_lock()
                self._num_withdrawn += withdraw_answers(self.path, history, self._by)
            else:
                self._answer(record, image, None, None, item["segmentation"], shown)
            self._write_row(record, image, None)

    def rename(
        self, record: ImageRecord, image: OpenedImage, number: int, key: str, category: str
    ) -> None:
        """Give an accepted object another name; errors as in `accept` and `withdraw`."""
        name = make_class(category, category_id=1, where="the object").name
        with self._guard:
            item, shown, _ = self._find(record, image, number, key)
            self._learn(name)
            mask = item["segmentation"]
            self._answer(record, image, name, mask, mask, shown)
            self._write_row(record, image, None)

    def _read(self, folder: OutputFolder) -> None:
        """Look at what the output holds."""
        run = read_run_file(self.path)
        if run.get("task") == "detect":
            raise ConfigError(
                f"{self.path} holds boxes of `ovsam detect`, which no object can join; give "
                "another -o"
            )
        stored = [dict(item) for item in run.get("categories", [])]
        self._is_own = not run or run.get("task") == DEMO_TASK
        self._done = folder.read_done(FINGERPRINT if self._is_own else run["fingerprint"])
        self._written = {}
        if not self._is_own:
            self._categories = stored
            return
        answers = read_answers(self.path)
        names = {*answers.names, *(answer.shown.get("category") for answer in answers)}
        self._used = [item for item in stored if item["name"] in names]
        self._categories = add_classes(self._used, self._vocabulary)
        self._sessions = list(run.get("sessions", []))

    def _list(
        self, record: ImageRecord, image: OpenedImage
    ) -> tuple[list[dict[str, Any]], Sequence[CurrentAnswer]]:
        """Return the objects of an image that a person decided about, and its answers."""
        if self._folder is None:
            return [], ()
        answers = read_answers(self.path)
        ids = {
            str(item["name"]): int(item["id"])
            for item in answers.extend_categories(self._categories)
        }
        row = self._read_row(record, image) or self._describe_bare(image)
        current = answers.of(record.file_name)
        objects = apply_answers(row, current, ids)
        return [item for item in objects if item.get(REVIEWED_BY) is not None], current

    def _find(
        self, record: ImageRecord, image: OpenedImage, number: int, key: str
    ) -> tuple[dict[str, Any], Mapping[str, Any], Sequence[Answer]]:
        """Return an accepted object, how it was shown when it was accepted, and its answers."""
        objects, answers = self._list(record, image)
        keys = list_keys(record.file_name, objects)
        if not 0 <= number < len(objects) or keys[number] != key:
            raise ChangedError(
                "this object is not there any more: it was changed meanwhile; open the image again"
            )
        item = objects[number]
        for current in answers:
            said = current.answer
            if said.category == item["category"] and said.segmentation == item["segmentation"]:
                return item, said.shown or {"category": item["category"]}, current.history
        return item, {"category": item["category"]}, ()

    def _refuse_unlabelled(self, record: ImageRecord, image: OpenedImage) -> None:
        """Refuse an answer that no export would have: there is no row that it could be laid on."""
        if not self._is_own and self._read_row(record, image) is None:
            raise ConfigError(
                f"{self.path} holds labels of a run, and no row of this image: label it first, "
                "or start the demo with another -o"
            )

    def _learn(self, name: str) -> int:
        """Return the id of a name, which is in run.json before any object has it."""
        known = [item for item in self._categories if item["name"] == name]
        if self._is_own and not known:
            largest = max((item["id"] for item in self._categories), default=0)
            known = [{"id": largest + 1, "name": name}]
            self._categories += known
            self._write_run_file("running")
        if self._is_own and known[0] not in self._used:
            self._used += known
        return int(known[0]["id"]) if known else 0

    def _answer(
        self,
        record: ImageRecord,
        image: OpenedImage,
        category: str | None,
        mask: Any,
        reviewed: Any,
        shown: Mapping[str, Any],
    ) -> None:
        self._check_lock()
        answer = Answer(
            record.file_name,
            category,
            mask,
            reviewed,
            self._by,
            write_time(),
            shown=shown,
            phash=_get_phash(image),
        )
        append_answers(self.path, [answer])
        self._num_answers += 1

    def _check_lock(self) -> None:
        assert self._folder is not None
        self._folder.check_lock()

    def _write_row(self, record: ImageRecord, image: OpenedImage, new: ObjectRecord | None) -> None:
        """Bring the row of an image in line with its answers."""
        if not self._is_own:
            return
        assert self._folder is not None
        row = self._read_row(record, image)
        objects = [ObjectRecord.from_row(item) for item in (row or {}).get("objects") or ()]
        if new is not None:
            objects.append(new)
        kept = choose_objects(objects, read_answers(self.path).of(record.file_name))
        old = self._find_place(record.file_name)
        part = None
        if kept:
            height, width = image.size_hw
            made = LabelRecord.labelled(
                record, width, height, tuple(kept), image.warning, image.phash
            )
            part = write_part(self._folder.parts_folder, [made], FINGERPRINT).name
        if old is not None and old[0] != part:
            # The row of a picture that was changed since, or all was taken back.
            drop_part_rows(self._folder.parts_folder / old[0], [old[1]])
            self._done, self._written = self._folder.read_done(FINGERPRINT), {}
        self._written[record.file_name] = part

    def _find_place(self, file_name: str) -> tuple[str, int] | None:
        """Return part and position of the row of an image."""
        if file_name in self._written:
            part = self._written[file_name]
            return None if part is None else (part, 0)
        place = self._done.find_place(file_name)
        return None if place is None else (place[1], place[2])

    def _read_row(self, record: ImageRecord, image: OpenedImage) -> dict[str, Any] | None:
        """Return the row of an image; None where there is none, or it is of another picture."""
        assert self._folder is not None
        place = self._find_place(record.file_name)
        if place is None:
            return None
        table = read_part(self._folder.parts_folder / place[0], lambda part: part.read())
        row: dict[str, Any] = table.slice(place[1], 1).to_pylist()[0]
        # Another picture of the same name and size must not get the objects of this one.
        is_same = (row["height"], row["width"]) == image.size_hw
        return row if is_same and may_look_alike(row.get("phash"), _get_phash(image)) else None

    def _describe_bare(self, image: OpenedImage) -> dict[str, Any]:
        """Return the row of an image that has none, so that its answers can be shown."""
        height, width = image.size_hw
        return {"height": height, "width": width, "phash": _get_phash(image), "objects": []}

    def _write_run_file(self, state: str) -> None:
        """Write run.json, unless it is that of a run."""
        if not self._is_own or self._folder is None:
            return
        described = dict(self._describe())
        session = {
            "started": self._started,
            **{name: described[name] for name in ("model", "vocabulary") if name in described},
        }
        ended = {}
        if state == "finished":
            ended = {"finished": _now(), "run": {"exit_code": int(ExitCode.DONE)}}
        sessions = [*self._sessions, session][-_MOST_SESSIONS:]
        self._folder.write_run_file(
            {
                "ovsam": ovsam.__version__,
                "state": state,
                "task": DEMO_TASK,
                "started": self._started,
                **ended,
                "fingerprint": FINGERPRINT,
                "depends_on": {"task": DEMO_TASK},
                **described,
                "sessions": sessions,
                "working_folder": str(Path.cwd()),
                "host": platform.node(),
                "process": os.getpid(),
                "categories": self._categories,
            }
        )


def choose_objects(
    objects: Sequence[ObjectRecord], answers: Sequence[CurrentAnswer]
) -> list[ObjectRecord]:
    """Return the objects that answers accept, each once, in their order."""
    kept: set[int] = set()
    for current in answers:
        masks = current.masks if current.answer.category is not None else ()
        for mask in masks:
            fitting = [
                place
                for place, item in enumerate(objects)
                if item.segmentation == mask and place not in kept
            ]
            # Two objects of one mask (a person, a jacket) are told apart by their names.
            fitting.sort(key=lambda place: objects[place].category not in current.names)
            if fitting:
                kept.add(fitting[0])
                break
    return [objects[place] for place in sorted(kept)]


def add_classes(
    kept: Sequence[Mapping[str, Any]], vocabulary: Vocabulary | None
) -> list[dict[str, Any]]:
    """Return categories that keep their ids, and after them the other classes of a vocabulary."""
    found = [dict(item) for item in kept]
    if vocabulary is None:
        return found
    names, ids = {item["name"] for item in found}, {item["id"] for item in found}
    largest = max([0, *ids, *vocabulary.category_ids])
    for item in vocabulary.classes:
        if item.rules.ignore or item.name in names:
            continue
        number = item.category_id
        if number in ids:
            largest += 1
            number = largest
        ids.add(number)
        found.append({"id": number, "name": item.name})
    return found


def _get_phash(image: OpenedImage) -> int | None:
    return None if image.phash is None else image.phash[0]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
