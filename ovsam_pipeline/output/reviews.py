"""OUT/reviews.jsonl: what people said of labels, and which of it counts today.

One line an answer, in the order in which they came. The file only ever grows: no run, relabelling,
--prune or --on-existing overwrite touches it, as answers are facts on images and not on labels. Of
several answers on one region of an image the last one counts, and all stay in the file. A line of
its own, a withdrawal, takes an answer back: the rest then counts as if it had never been given.

What answers do to rows is in `answered_rows.py`; how people are asked, in the package `review`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from ovsam.checked_json import parse_json
from ovsam.coco_fields import to_id, to_side, to_text
from ovsam.errors import describe_error, explain, show_value
from ovsam.masks import compute_mask_ious, find_readable_masks
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.output.growing_file import add_lines, read_lines, warn_of_line
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import RLE


REVIEWS_FILE = "reviews.jsonl"
BATCHES_FILE = "review-batches.jsonl"
"""What was asked, by `review/batches.py`; it grows with the answers and travels with them."""
LEAST_IOU = 0.5
"""Two masks of an image are of the same region from this IoU on."""

_FEW_IMAGES = 20
_LINE_START = b'{"file_name":"'
_DAMAGED_MASK = "its mask is damaged"

Verdict = Literal["accepted", "renamed", "redrawn", "rejected", "added"]


@dataclass(frozen=True)
class Answer:
    """What a person said of one region of an image.

    Attributes:
        file_name: of the image, as in the rows.
        category: the true name; None: there is no such object.
        segmentation: the true mask, of the upright image; None where `category` is.
        reviewed: mask of the object that was asked about; None: the person added this object.
        by: who.
        at: when, ISO 8601 in UTC.
        sample: id of the uniform sample that the question is from, or None.
        shown: the object as it was shown: category, score, risk and so on; {} for an added one.
        source: hash of the file that the answer was read from; "" where it is not from a file.
        phash: perceptual hash of the image, as in its row; None where that is not known. With it an
            answer is not laid on another picture that came under the same name.
    """

    file_name: str
    category: str | None
    segmentation: RLE | None
    reviewed: RLE | None
    by: str
    at: str
    sample: str | None = None
    shown: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    phash: int | None = None

    def __post_init__(self) -> None:
        """Refuse an answer that says nothing."""
        if (self.category is None) != (self.segmentation is None):
            raise ValueError("expected a name and a mask, or neither for what is no object")
        if self.category is None and self.reviewed is None:
            raise ValueError("expected the mask that was reviewed, or a name and a mask")

    @property
    def verdict(self) -> Verdict:
        """What was done: a name that was changed counts before a mask that was."""
        if self.reviewed is None:
            return "added"
        if self.category is None:
            return "rejected"
        if self.category != self.shown.get("category"):
            return "renamed"
        return "accepted" if self.segmentation == self.reviewed else "redrawn"

    @property
    def masks(self) -> list[RLE]:
        """The mask that was asked about and the true one, without repetition."""
        masks = [mask for mask in (self.reviewed, self.segmentation) if mask is not None]
        return masks[:1] if masks[0] == masks[-1] else masks

    @property
    def id(self) -> str:
        """A hash of all that the answer says, its time too."""
        return hashlib.blake2b(self.to_line(), digest_size=16).hexdigest()

    def to_line(self) -> bytes:
        """Return the line of the file."""
        return _write_line(asdict(self))

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Answer:
        """Build an answer back from the object in its line; a ValueError where it is none.

        The run lengths of its masks are for the caller to look at.
        """
        _check_texts(values, ("file_name", "by", "at"))
        for name in ("category", "sample", "source"):
            if values.get(name) is not None and not isinstance(values[name], str):
                raise ValueError(f"expected {name} as text, got {show_value(values[name], 40)}")
        if values.get("category") == "":
            raise ValueError("expected category as a name or null, got an empty text")
        shown = values.get("shown", {})
        if not isinstance(shown, dict):
            raise ValueError(f"expected shown as an object, got {show_value(shown, 40)}")
        return cls(
            values["file_name"],
            values.get("category"),
            _take_mask(values.get("segmentation")),
            _take_mask(values.get("reviewed")),
            values["by"],
            values["at"],
            values.get("sample"),
            shown,
            values.get("source") or "",
            to_id(values.get("phash")),
        )


@dataclass(frozen=True)
class Withdrawal:
    """What takes an answer back.

    It holds the whole answer, so that what rewrites answers (`ovsam filter`) keeps the two alike.

    Attributes:
        answer: as it was given; the last one like it is taken back.
        by: who took it back.
        at: when, ISO 8601 in UTC.
    """

    answer: Answer
    by: str
    at: str

    @property
    def file_name(self) -> str:
        """That of the image."""
        return self.answer.file_name

    def to_line(self) -> bytes:
        """Return the line of the file: that of the answer with `withdrawn`."""
        return _write_line({**asdict(self.answer), "withdrawn": {"by": self.by, "at": self.at}})


def read_line(line: bytes) -> Answer | Withdrawal:
    """Return what a line of the file says; a ValueError where it is neither.

    The run lengths of its masks are for the caller to look at.
    """
    values = parse_json(line)
    if not isinstance(values, dict):
        raise ValueError(f"expected an object, got {show_value(values, 40)}")
    answer = Answer.from_values(values)
    withdrawn = values.get("withdrawn")
    if withdrawn is None:
        return answer
    if not isinstance(withdrawn, dict):
        raise ValueError(f"expected withdrawn as an object, got {show_value(withdrawn, 40)}")
    _check_texts(withdrawn, ("by", "at"))
    return Withdrawal(answer, withdrawn["by"], withdrawn["at"])


def _write_line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def _check_texts(values: Mapping[str, Any], names: Iterable[str]) -> None:
    for name in names:
        value = values.get(name)
        if value is None or to_text(value) != value:
            raise ValueError(f"expected {name} as text, got {show_value(value, 40)}")


@dataclass(frozen=True)
class CurrentAnswer:
    """The last answer on a region, with all that the region was asked about or given.

    Attributes:
        masks: of it, the last answer's first.
        names: that it was shown with or given, by any answer.
        earlier: the answers on the region that the last one replaced, the oldest first.
    """

    answer: Answer
    masks: tuple[RLE, ...]
    names: frozenset[str | None] = frozenset()
    earlier: tuple[Answer, ...] = ()

    @property
    def history(self) -> tuple[Answer, ...]:
        """All answers on the region that nobody took back, the oldest first."""
        return (*self.earlier, self.answer)


@dataclass(frozen=True)
class Answers:
    """The answers that count, by image.

    Attributes:
        by_image: file name → the last answer on each of its regions, in the order of the file.
        names: all names that people gave, in the order of the file; those taken back, too.
        lines: how many answers the file holds, those that count no more among them.
        withdrawn: how many of them were taken back.
        damaged: lines that are no answers.
    """

    by_image: Mapping[str, tuple[CurrentAnswer, ...]] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    lines: int = 0
    withdrawn: int = 0
    damaged: int = 0

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.by_image)

    def __iter__(self) -> Iterator[Answer]:
        """Yield the answers that count, image after image."""
        return (current.answer for image in self.by_image.values() for current in image)

    def of(self, file_name: str) -> tuple[CurrentAnswer, ...]:
        """Return the answers on an image."""
        return self.by_image.get(file_name, ())

    def extend_categories(self, categories: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return run.json's categories and, after them, the names that only people gave.

        New ids follow the largest one in the order of the file: they stay when more answers come,
        or are taken back. A name that was only given by answers taken back is left out.
        """
        known = {category["name"] for category in categories}
        largest = max((category["id"] for category in categories), default=0)
        new = [name for name in self.names if name not in known]
        standing = self._list_standing_names() if self.withdrawn else set(new)
        numbered = [
            {"id": largest + n, "name": name}
            for n, name in enumerate(new, start=1)
            if name in standing
        ]
        return [*map(dict, categories), *numbered]

    def _list_standing_names(self) -> set[str | None]:
        regions = (current for image in self.by_image.values() for current in image)
        return {answer.category for current in regions for answer in current.history}


def read_answers(output: AnyPath) -> Answers:
    """Return the answers of an output; none where nobody was asked.

    A line that is no answer is named in a warning and passed over; it stays in the file.
    """
    path = output / REVIEWS_FILE
    answers, faults = _reader.understand(read_lines(path))
    for number, reason in faults:
        warn_of_line(path, number, reason)
    return answers


class _Reader:
    """Understands the lines of a file that grows, of which it has read the beginning before.

    A command asks for the same answers several times, a page after each new one; their masks are
    most of the work.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._lines: list[bytes] = []
        self._found: list[Answer | Withdrawal | str] = []
        self._answers = Answers()

    def understand(self, lines: list[bytes]) -> tuple[Answers, list[tuple[int, str]]]:
        """Return the answers of all lines, and the number and fault of each that is none."""
        with self._lock:
            if self._lines != lines:
                is_longer = self._lines == lines[: len(self._lines)]
                known = self._found if is_longer else []
                new = _parse_lines(lines[len(known) :])
                self._lines, self._found = lines, [*known, *new]
                self._answers = self._find_current(new, self._answers.by_image if known else {})
            found, answers = self._found, self._answers
        faults = [(n, one) for n, one in enumerate(found, start=1) if isinstance(one, str)]
        return answers, faults

    def _find_current(
        self,
        new: Iterable[Answer | Withdrawal | str],
        known: Mapping[str, tuple[CurrentAnswer, ...]],
    ) -> Answers:
        """Return the answers that count; of images without a new line those that are known."""
        said = [one for one in self._found if not isinstance(one, str)]
        answers = [one for one in said if isinstance(one, Answer)]
        changed = {one.file_name for one in new if not isinstance(one, str)}
        again = [one for one in said if one.file_name in changed or not known]
        current = {**known, **_group_current(again)}
        by_image = {
            name: current[name]
            for name in dict.fromkeys(one.file_name for one in answers)
            if current.get(name)
        }
        standing = sum(len(one.history) for image in by_image.values() for one in image)
        return Answers(
            by_image,
            _list_names(answers),
            len(answers),
            len(answers) - standing,
            len(self._found) - len(said),
        )


_reader = _Reader()


def append_answers(output: AnyPath, answers: Iterable[Answer]) -> int:
    """Add answers to an output's file; return how many were new.

    What is there already of the same file (`source`), or is the same person's answer of now, is not
    added again. Readers see the old file or the new one; two that add at once both succeed.
    """
    answers = list(answers)
    new: list[bytes] = []

    def choose(lines: list[bytes]) -> list[bytes]:
        new[:] = [answer.to_line() for answer in _find_new(lines, answers)]
        return new

    add_lines(output, REVIEWS_FILE, choose)
    return len(new)


def withdraw_answers(output: AnyPath, answers: Iterable[Answer], by: str) -> int:
    """Take answers back; return how many of them somebody else had not taken back meanwhile.

    The answers stay in the file, and a line is added for each; what was answered before them on the
    same region counts again.
    """
    answers = list(answers)
    at = write_time()
    new: list[bytes] = []

    def choose(lines: list[bytes]) -> list[bytes]:
        some = _choose_lines(lines, {answer.file_name for answer in answers})
        standing = _list_standing(one for one in _parse_lines(some) if not isinstance(one, str))
        there = [answer for answer in answers if answer in standing]
        new[:] = [Withdrawal(answer, by, at).to_line() for answer in there]
        return new

    add_lines(output, REVIEWS_FILE, choose)
    return len(new)


def carry_answers(
    old: AnyPath, new: AnyPath, change: Callable[[bytes], bytes | None] | None = None
) -> None:
    """Add to an output all that was asked and answered in another one, byte for byte.

    Lines that are there already are not added again. `change` gives the line to add in place of an
    answer's, None for nothing.
    """
    for name in (BATCHES_FILE, REVIEWS_FILE):
        lines = read_lines(old / name)
        if change is not None and name == REVIEWS_FILE:
            lines = [changed for line in lines if (changed := change(line)) is not None]
        if lines:
            add_lines(new, name, partial(_list_missing, lines))


def write_time() -> str:
    """Return the time of now, as answers given here have it.

    To the millisecond: who says the same again, after taking it back, says another thing.
    """
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def has_newer_answers(output: AnyPath, file: AnyPath) -> bool:
    """Whether people answered since a file with an output's labels was written."""
    answers = output / REVIEWS_FILE
    with explain("cannot read", output, OutputError):
        if not answers.exists() or not file.exists():
            return False
        return answers.stat().st_mtime_ns >= file.stat().st_mtime_ns


def _list_missing(lines: Iterable[bytes], known: Iterable[bytes]) -> list[bytes]:
    there = set(known)
    return [line for line in lines if line not in there]


def read_mask(value: Any) -> RLE | None:
    """Return a stored mask after a look at its run lengths; a ValueError where it is none.

    None stays None.
    """
    mask = _take_mask(value)
    if mask is not None and not find_readable_masks([mask])[0]:
        raise ValueError(_DAMAGED_MASK)
    return mask


def _take_mask(value: Any) -> RLE | None:
    """Return a stored mask without a look at its run lengths."""
    if value is None:
        return None
    size = value.get("size") if isinstance(value, dict) else None
    if not isinstance(size, list) or len(size) != 2 or None in map(to_side, size):
        raise ValueError(f"expected a mask with its size, got {show_value(value, 40)}")
    if not isinstance(value.get("counts"), str):
        raise ValueError(_DAMAGED_MASK)
    return {"size": list(size), "counts": value["counts"]}


def _parse_lines(lines: Iterable[bytes]) -> list[Answer | Withdrawal | str]:
    """Return what each line says, or what is wrong with it.

    The run lengths of all masks are looked at together: one by one that is most of the time.
    """
    found: list[Answer | Withdrawal | str] = []
    for line in lines:
        try:
            found.append(read_line(line))
        except (ValueError, TypeError) as error:
            found.append(describe_error(error))
    answers = [
        (place, one.answer if isinstance(one, Withdrawal) else one)
        for place, one in enumerate(found)
        if not isinstance(one, str)
    ]
    masks = [(place, mask) for place, answer in answers for mask in answer.masks]
    are_whole = find_readable_masks([mask for _, mask in masks])
    for (place, _), is_whole in zip(masks, are_whole, strict=True):
        if not is_whole:
            found[place] = _DAMAGED_MASK
    return found


def _group_current(said: Iterable[Answer | Withdrawal]) -> dict[str, tuple[CurrentAnswer, ...]]:
    """Return the answers that count, by image: of those on one region of it the last one.

    None of an image whose answers were all taken back.
    """
    by_image: dict[str, list[Answer | Withdrawal]] = {}
    for one in said:
        by_image.setdefault(one.file_name, []).append(one)
    return {name: _keep_last(_list_standing(found)) for name, found in by_image.items()}


def _list_standing(said: Iterable[Answer | Withdrawal]) -> list[Answer]:
    """Return the answers that nobody took back, in their order.

    A withdrawal takes back one answer before it, the last one like its own: who says the same again
    later means it.
    """
    standing: list[Answer] = []
    for one in said:
        if isinstance(one, Answer):
            standing.append(one)
        elif one.answer in standing:
            place = len(standing) - 1 - standing[::-1].index(one.answer)
            del standing[place]
    return standing


def _list_names(answers: Iterable[Answer]) -> tuple[str, ...]:
    """Return the names that people gave, in the order of the file."""
    names = (answer.category for answer in answers if answer.category is not None)
    return tuple(dict.fromkeys(names))


def _keep_last(answers: Iterable[Answer]) -> tuple[CurrentAnswer, ...]:
    """Return the last answer on each region; it takes over the masks of those before it."""
    kept: list[CurrentAnswer] = []
    for answer in answers:
        replaced = next((old for old in reversed(kept) if _replaces(answer, old)), None)
        masks = answer.masks
        names = frozenset({answer.category, answer.shown.get("category")})
        earlier: tuple[Answer, ...] = ()
        if replaced is not None:
            kept.remove(replaced)
            masks += [mask for mask in replaced.masks if mask not in masks]
            names |= replaced.names
            earlier = replaced.history
        kept.append(CurrentAnswer(answer, tuple(masks), names, earlier))
    return tuple(kept)


def _replaces(answer: Answer, old: CurrentAnswer) -> bool:
    """Whether an answer is on the region of an older one, and on the same object there.

    Two objects may have one mask (a person, a jacket): then their names tell them apart.
    """
    if answer.reviewed is None:
        return answer.category == old.answer.category and _overlap(answer.masks, old.masks)
    return answer.shown.get("category") in old.names and _overlap([answer.reviewed], old.masks)


def _overlap(masks: Sequence[RLE], others: Sequence[RLE]) -> bool:
    return bool((compute_mask_ious(masks, others) >= LEAST_IOU).any())


def _find_new(lines: Iterable[bytes], answers: Iterable[Answer]) -> list[Answer]:
    """Return the answers that say something new to those in lines."""
    answers = list(answers)
    # Only what was said of the same images can be the same.
    some = _choose_lines(lines, {answer.file_name for answer in answers})
    old = [one for one in _parse_lines(some) if not isinstance(one, str)]
    # What was taken back since does not come again with the same file, either.
    imported = {_identify(one) for one in old if isinstance(one, Answer) and one.source}
    current = {
        _identify(one.answer, with_source=False)
        for image in _group_current(old).values()
        for one in image
    }
    new: dict[str, Answer] = {}
    for answer in answers:
        is_known = bool(answer.source) and _identify(answer) in imported
        if not is_known and _identify(answer, with_source=False) not in current:
            new.setdefault(_identify(answer), answer)
    return list(new.values())


def _choose_lines(lines: Iterable[bytes], file_names: Collection[str]) -> list[bytes]:
    """Return the lines that may be on one of a few images; where these are many, all."""
    if len(file_names) > _FEW_IMAGES:
        return list(lines)
    return [line for line in lines if _read_name(line) in (None, *file_names)]


def _read_name(line: bytes) -> str | None:
    """Return the name that a line begins with, as we write them; None where that is not clear."""
    if not line.startswith(_LINE_START):
        return None
    name = line[len(_LINE_START) :].partition(b'"')[0]
    return None if b"\\" in name else name.decode("utf-8", "replace")


def _identify(answer: Answer, *, with_source: bool = True) -> str:
    """Return a hash of what is said and by whom; the time, and how it was shown, do not count."""
    said = [answer.file_name, answer.category, answer.segmentation, answer.reviewed, answer.by]
    said += [answer.sample, answer.source if with_source else ""]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()
