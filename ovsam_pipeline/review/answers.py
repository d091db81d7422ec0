"""What a person left of the images that were shown → answers.

An object that was left as it was is accepted, another name is renamed, another mask redrawn, a
missing one rejected, a new one added. Only what was shown can be missing, which is why batches are
recorded. Of images that nobody was asked about only changes are answers, unless the editor says
that a person submitted them.
"""

from __future__ import annotations

import getpass
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ovsam.masks import compute_mask_areas, compute_mask_ious
from ovsam_pipeline.detectors.image_match import BY_NAME, ImageIndex
from ovsam_pipeline.export.review_tasks import CorrectedImage, LeftObject
from ovsam_pipeline.export.safe_names import list_safe_paths
from ovsam_pipeline.outcomes import Reasons
from ovsam_pipeline.output.answered_rows import read_corrections
from ovsam_pipeline.output.folder import iterate_rows, iterate_rows_of
from ovsam_pipeline.output.reviews import LEAST_IOU, Answer
from ovsam_pipeline.review.ask import describe_objects
from ovsam_pipeline.review.batches import AskedImage, Batch, read_batches
from ovsam_pipeline.storage.remote_path import AnyPath

# What a mask may lose on its way through an editor (docs/exports.md): it counts as unchanged.
_SAME_IOU = 0.98
_SHOWN = ("category", "score", "risk", "reason")


@dataclass(frozen=True)
class ObjectAnswer:
    """What a person said of one object that was shown, by its key.

    `category` is its true name; None: there is no such object; "": it is right as shown, which is
    as `shown`.
    """

    file_name: str
    key: str
    category: str | None
    shown: str


@dataclass
class ImportReport:
    """What was read from a file.

    Attributes:
        images: images that gave answers.
        verdicts: answers by what was done.
        left_out: images and objects that gave none, with the reason.
        added: answers that were new to the output.
        new_names: names that neither its vocabulary nor an answer before these had.
    """

    images: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    left_out: Reasons = field(default_factory=Reasons)
    added: int = 0
    new_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Shown:
    """An image as a person saw it.

    Attributes:
        objects: by key.
        removable: keys of objects that were certainly shown, so that a missing one was removed.
        samples: the sample that an object was shown in, by key.
        is_asked: whether the image was part of a batch at all.
    """

    image: AskedImage
    objects: Mapping[str, Mapping[str, Any]]
    removable: frozenset[str]
    samples: Mapping[str, str]
    is_asked: bool = True


class AnswerMaker:
    """Turns what people left into answers on one output."""

    def __init__(self, output: AnyPath, by: str | None, source: str) -> None:
        """Read what was asked. `by` is who answered, `source` the hash of the file."""
        self._output = output
        self._by, self._source = by, source
        self._now = datetime.now(UTC).isoformat(timespec="seconds")
        self._asked: dict[str, list[tuple[Batch, AskedImage]]] = {}
        for batch in read_batches(output):
            for image in batch.images:
                self._asked.setdefault(image.file_name, []).append((batch, image))
        # Keys are of one image each: they tell images apart whose safe names are alike.
        self._name_of_key = {
            item["key"]: name
            for name, asked in self._asked.items()
            for _, image in asked
            for item in image.objects
        }
        self._user = find_user()

    def answer_images(self, images: Iterable[CorrectedImage], report: ImportReport) -> list[Answer]:
        """Return the answers in images that came back; count them and what gave none."""
        named = self._leave_out_repeated(self._name_images(images, report), report)
        current = self._read_current([name for name, _ in named if name not in self._asked])
        answers: list[Answer] = []
        for name, image in named:
            shown = current.get(name) or self._find_shown(name, image)
            found = list(self._compare(shown, image, report))
            answers += found
            report.images += bool(found)
        report.verdicts.update(answer.verdict for answer in answers)
        return answers

    def answer_objects(self, said: Iterable[ObjectAnswer], report: ImportReport) -> list[Answer]:
        """Return the answers that name objects by their keys."""
        answers: list[Answer] = []
        for one in said:
            place = self._find_object(one)
            if place is None:
                report.left_out.add("its object was not asked about in this output", one.file_name)
                continue
            batch, image, item = place
            category = item["category"] if one.category == "" else one.category
            mask = None if category is None else item["segmentation"]
            sample = batch.id if batch.kind == "sample" else None
            answers.append(self._make(image, item, category, mask, sample, self._by, None))
        report.images += len({answer.file_name for answer in answers})
        report.verdicts.update(answer.verdict for answer in answers)
        return answers

    def _find_object(self, one: ObjectAnswer) -> tuple[Batch, AskedImage, Mapping[str, Any]] | None:
        """Return where an object was shown last by this name: later labels may have another."""
        for batch, image in reversed(self._asked.get(one.file_name, [])):
            for item in image.objects:
                if item["key"] == one.key and (item["category"] or "") == one.shown:
                    return batch, image, item
        return None

    def _name_images(
        self, images: Iterable[CorrectedImage], report: ImportReport
    ) -> list[tuple[str, CorrectedImage]]:
        """Return images with their names in the output; those that are not in it are counted."""
        named = []
        asked = _Names(self._asked)
        everything = _Names([])
        has_read = False
        for image in images:
            name = self._find_by_keys(image) or asked.find(image.file_name, is_exact=True)
            if name is None and not has_read:
                rows = iterate_rows(self._output, ("file_name",))
                everything, has_read = _Names(row["file_name"] for row in rows), True
            # An image of this name that nobody was asked about comes before a similar name.
            name = name or everything.find(image.file_name, is_exact=True)
            name = name or asked.find(image.file_name, is_exact=False)
            name = name or everything.find(image.file_name, is_exact=False)
            if name is None:
                report.left_out.add(
                    "the image is not in this output, or may be one of several", image.file_name
                )
            else:
                named.append((name, image))
        return named

    def _find_by_keys(self, image: CorrectedImage) -> str | None:
        """Return the image whose objects came back, if it may be called so in an editor.

        An object may have been pasted from another image, together with its key.
        """
        keys = {item.key for item in image.objects if item.key is not None}
        names = {self._name_of_key[key] for key in keys if key in self._name_of_key}
        fitting = [n for n in names if image.file_name in (n, *list_safe_paths(n))]
        return fitting[0] if len(fitting) == 1 else None

    def _leave_out_repeated(
        self, named: Sequence[tuple[str, CorrectedImage]], report: ImportReport
    ) -> list[tuple[str, CorrectedImage]]:
        """Return the images without those that a file has twice.

        What one copy lacks would be a no to what the other has. With times of submission, as Label
        Studio writes them, each is a whole answer, and the last one counts.
        """
        times = Counter(name for name, image in named if image.at is None)
        for name, number in times.items():
            if number > 1:
                report.left_out.add("no answers taken: the image is more than once in it", name)
        return [(name, image) for name, image in named if times[name] < 2 or image.at is not None]

    def _read_current(self, names: Sequence[str]) -> dict[str, _Shown]:
        """Return images that were in no batch as the output shows them now."""
        if not names:
            return {}
        corrected = read_corrections(self._output).objects
        found = {}
        for row in iterate_rows_of(self._output, set(names)):
            if row["status"] == "failed":
                continue
            name = row["file_name"]
            objects = describe_objects(name, corrected.get(name, row["objects"] or ()))
            size = row["width"], row["height"]
            image = AskedImage(name, row["image_id"], *size, tuple(objects), row.get("phash"))
            by_key = {item["key"]: item for item in objects}
            found[name] = _Shown(image, by_key, frozenset(by_key), {}, is_asked=False)
        return found

    def _find_shown(self, name: str, corrected: CorrectedImage) -> _Shown | None:
        """Return what a person saw of an image: that of the batch, or what all that fit agree on.

        An editor that does not hand back the batch leaves open which it was; then one in which all
        returned keys were shown.
        """
        asked = self._asked.get(name, [])
        if not asked:
            return None
        keys = {item.key for item in corrected.objects if item.key is not None}
        fitting = [pair for pair in asked if pair[0].id == corrected.batch]
        fitting = fitting or [
            pair for pair in asked if keys <= {item["key"] for item in pair[1].objects}
        ]
        fitting = fitting or asked
        objects = {item["key"]: item for _, image in fitting for item in image.objects}
        # What has no pixel was not to be seen.
        shown_in = [{x["key"] for x in image.objects if x["area"] > 0} for _, image in fitting]
        samples = {
            item["key"]: batch.id
            for batch, image in fitting
            if batch.kind == "sample"
            for item in image.objects
        }
        return _Shown(fitting[-1][1], objects, frozenset(set.intersection(*shown_in)), samples)

    def _compare(
        self, shown: _Shown | None, corrected: CorrectedImage, report: ImportReport
    ) -> Iterator[Answer]:
        """Yield the answers of one image."""
        if shown is None:
            report.left_out.add("the image could not be labelled", corrected.file_name)
            return
        name, size = shown.image.file_name, [shown.image.height, shown.image.width]
        wrong = [item for item in corrected.objects if list(item.segmentation["size"]) != size]
        for item in wrong:
            found = item.segmentation["size"]
            sentence = f"a mask of {found[1]} x {found[0]} pixels, and not {size[1]} x {size[0]}"
            report.left_out.add(sentence, name)
        left = [item for item in corrected.objects if item not in wrong]
        left = [item for item in left if compute_mask_areas([item.segmentation])[0] > 0]
        pairs = _pair(shown.objects, left)
        is_submitted = shown.is_asked or corrected.by is not None or corrected.at is not None
        unread = {item.key for item in wrong}
        # One without a key may be any of those that were shown: then none of them was removed.
        removable = shown.removable if None not in unread else frozenset[str]()
        by = self._by or corrected.by
        for item, key in zip(left, pairs, strict=True):
            if key is None:
                yield self._make(
                    shown.image, None, item.category, item.segmentation, None, by, corrected.at
                )
                continue
            old = shown.objects[key]
            is_same = _is_same(old["segmentation"], item.segmentation)
            if is_same and item.category == old["category"] and not is_submitted:
                continue
            mask = old["segmentation"] if is_same else item.segmentation
            sample = shown.samples.get(key)
            yield self._make(shown.image, old, item.category, mask, sample, by, corrected.at)
        for key in shown.objects:  # in the order in which they were shown
            if key in removable and key not in pairs and key not in unread:
                sample = shown.samples.get(key)
                old = shown.objects[key]
                yield self._make(shown.image, old, None, None, sample, by, corrected.at)

    def _make(
        self,
        image: AskedImage,
        shown: Mapping[str, Any] | None,
        category: str | None,
        mask: Any,
        sample: str | None,
        by: str | None,
        at: str | None,
    ) -> Answer:
        return Answer(
            image.file_name,
            category,
            mask,
            None if shown is None else shown["segmentation"],
            by or self._user,
            at or self._now,
            sample,
            {} if shown is None else {name: shown.get(name) for name in _SHOWN},
            self._source,
            image.phash,
        )


class _Names:
    """Names of images, and by which others an editor may call them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)
        self._index = ImageIndex()
        # Pictures have safe names in an editor, which is all that CVAT hands back. None: of several
        # images, of which one may really be called so.
        self._safe: dict[str, str | None] = {}
        for name in self._names:
            self._index.add(None, name)
        known = set(self._names)
        for name in self._names:
            for safe in set(list_safe_paths(name)) - {name}:
                is_one = safe not in self._safe and safe not in known
                self._safe[safe] = name if is_one else None

    def find(self, name: str, *, is_exact: bool) -> str | None:
        """Return the image that is meant: of this very name, or of one with other folders."""
        if name in self._safe:
            return self._safe[name]
        match = self._index.find(None, name)
        if match.place is None or (is_exact and match.rule != BY_NAME):
            return None
        return self._names[match.place]


def _pair(objects: Mapping[str, Mapping[str, Any]], left: Sequence[LeftObject]) -> list[str | None]:
    """Return which shown object each left one comes from: by its key, else by its mask.

    One to one: of copies that an editor made of an object, the nearest in shape is it.
    """
    pairs: list[str | None] = [None] * len(left)
    free = dict(objects)
    candidates = []
    for number, item in enumerate(left):
        if item.key is not None and item.key in objects:
            candidates.append((-_overlap(objects[item.key], item), number, item.key))
    for _, number, key in sorted(candidates):
        if key in free:
            pairs[number] = key
            del free[key]
    candidates = [
        (-iou, number, key)
        for number, item in enumerate(left)
        if pairs[number] is None and item.key not in objects
        for key, shown in free.items()
        if (iou := _overlap(shown, item)) >= LEAST_IOU
    ]
    for _, number, key in sorted(candidates):
        if key in free and pairs[number] is None:
            pairs[number] = key
            del free[key]
    return pairs


def _overlap(shown: Mapping[str, Any], item: LeftObject) -> float:
    return float(compute_mask_ious([shown["segmentation"]], [item.segmentation])[0, 0])


def _is_same(old: Any, new: Any) -> bool:
    return old == new or bool(compute_mask_ious([old], [new])[0, 0] >= _SAME_IOU)


def find_user() -> str:
    """Return who is logged in; a container may know no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
