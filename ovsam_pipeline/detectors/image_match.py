"""Find which image of a list a name or an id means: for boxes, for ground truth, for predictions.

The list is what a file knows: images with a name, an id, or both. What is looked for is an image of
a run, or of predictions. Tried in this order, and nothing is guessed:

1. the same name (backslashes turned, no "./", one Unicode normal form);
2. the same id, where one of the two sides has no name: names that differ are not overruled by ids;
3. the one name of which the other is the end ("val2017/1.jpg" and "1.jpg"); folders of another
   machine ("/data/upload/1/a.jpg", "C:/x/a.jpg", "file:///x/a.jpg", "../x/a.jpg") may differ;
4. the same without an image suffix, where only one side has one ("photo_1" and "photo_1.jpg");
5. the number of a name ("000000000139.jpg", "7.jpg"), where one side has names alone, the other
   ids alone, or not one of these ids is known.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote

from ovsam.coco_fields import normalise_name, to_id
from ovsam.decode import IMAGE_SUFFIXES
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.outcomes import count_things

BY_NAME, BY_ID, BY_END = "name", "id", "end of the name"
BY_STEM, BY_NUMBER = "name without its suffix", "number in the name"
UNKNOWN, AMBIGUOUS = "unknown", "several fit"
NOT_FOUND = (UNKNOWN, AMBIGUOUS)
# Rules worth an example on the screen: the others cannot surprise.
_TOLD = (BY_END, BY_STEM, BY_NUMBER, AMBIGUOUS)
# "https://host", "file://", "C:"; then a leading "/": the folders are those of another machine.
_ROOT = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]*://[^/]*|[A-Za-z]:)?/*")
_LOCAL_FILES = "?d="  # Label Studio: "/data/local-files/?d=shots/a.jpg"
# 7.jpg, 000000000139.jpg, COCO_val2014_000000000139.jpg.
_NUMBER = re.compile(r"^(?:.*_(?=\d{12}$))?(\d{1,18})$")


Query = tuple[int | str | None, str | None]
"""The id and the name of an image that is looked for."""


class Match(NamedTuple):
    """Where an image is in the list, None for none, and the rule that found it."""

    place: int | None
    rule: str


@dataclass
class MatchReport:
    """How many images were found by which rule, with an example of each that could surprise."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many images were looked for."""
        return self.counts.total()

    @property
    def matched(self) -> int:
        """How many were found."""
        return self.total - self.counts[UNKNOWN] - self.counts[AMBIGUOUS]

    def describe(self) -> str:
        """Return "12 of 15 images found: 10 by name, 2 by end of the name (1.jpg is x/1.jpg)"."""
        parts = []
        for rule, count in self.counts.most_common():
            example = f" ({self.examples[rule]})" if rule in self.examples else ""
            parts.append(f"{count} {'' if rule in NOT_FOUND else 'by '}{rule}{example}")
        found = f"{self.matched} of {count_things(self.total, 'image')} found"
        return f"{found}: {', '.join(parts)}" if self.matched or self.examples else found

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `from_dict` reads them."""
        examples = {"examples": dict(self.examples)} if self.examples else {}
        counts = {"images": self.total, "matched": self.matched, "by": dict(self.counts)}
        return {**counts, **examples}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MatchReport:
        """Return the report that `to_dict` wrote."""
        return cls(Counter(values.get("by", {})), dict(values.get("examples", {})))

    @property
    def is_plain(self) -> bool:
        """Whether every image was found by its name or id."""
        return not set(self.counts) - {BY_NAME, BY_ID}


class ImageIndex:
    """A list of images, numbered 0, 1, 2, … in the order of `add`."""

    def __init__(self) -> None:
        self.names: list[str | None] = []
        self.ids: list[int | None] = []
        self._by_id: dict[int, int] = {}
        self._by_name: dict[str, int] = {}
        self._repeated: dict[str, list[int]] = {}
        # Made when they are first needed: most files are matched by name or id.
        self._by_stem: dict[str, list[int]] | None = None
        self._by_number: dict[int, list[int]] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def has_names(self) -> bool:
        """Whether any image has a name."""
        return bool(self._by_name)

    def add(self, image_id: int | None, name: str | None) -> int:
        """Add an image and return its number; of several with one id the first is found by it."""
        index = len(self.names)
        self.names.append(None)
        self.ids.append(image_id)
        if image_id is not None:
            self._by_id.setdefault(image_id, index)
        if name is not None:
            self.set_name(index, name)
        return index

    def set_name(self, index: int, name: str) -> None:
        """Name an image that was added without a name."""
        name = normalise_name(name)
        self.names[index] = name
        first = self._by_name.setdefault(name, index)
        if first != index:
            self._repeated.setdefault(name, [first]).append(index)
        if self._by_stem is not None:
            self._by_stem.setdefault(_get_stem(name), []).append(index)
        self._by_number = None

    def get_by_id(self, image_id: int) -> int | None:
        """Return the number of the first image with an id."""
        return self._by_id.get(image_id)

    def find(self, image_id: int | str | None, name: str | None) -> Match:
        """Return the image that is meant.

        An `image_id` that is a text is an id, or the name: "0003" is the image 0003.jpg before it
        is the id 3, "3" the id 3 before it is the image 3.jpg.
        """
        number = to_id(image_id)
        if name is not None:
            return self._find_named(normalise_name(name), number)
        known = self._by_id.get(number) if number is not None else None
        if isinstance(image_id, str):
            text = image_id.strip()
            if known is None or (text.isdecimal() and text != str(number)):
                found = self._find_named(normalise_name(text), None)
                if found.place is not None or known is None:
                    return found
        return Match(known, BY_ID) if known is not None else Match(None, UNKNOWN)

    def match(
        self, queries: Iterable[Query], find: Callable[..., Match] | None = None
    ) -> tuple[list[int | None], MatchReport]:
        """Return the image of each query, and a report; `find` is `find_by_number`, else `find`.

        Raises a DatasetError where two queries of different names are one image of the list.
        """
        report = MatchReport()
        owners: dict[int, str] = {}
        found: list[int | None] = []
        for image_id, name in queries:
            match = find(image_id, name) if find else self.find(image_id, name)
            found.append(match.place)
            report.counts[match.rule] += 1
            label = name if name is not None else str(image_id)
            if match.rule in _TOLD and match.rule not in report.examples:
                report.examples[match.rule] = self._show(label, match)
            if match.place is not None and owners.setdefault(match.place, label) != label:
                raise DatasetError(
                    f"expected one image for each name, got {owners[match.place]} and {label} for "
                    f"the same one ({self.describe_one(match.place)}): write the names relative "
                    "to the same folder on both sides"
                )
        return found, report

    def describe(self) -> str:
        """Return examples of what the list has: "names such as a.jpg", "ids such as 7"."""
        if self._by_name:
            return f"names such as {_hide_query(next(iter(self._by_name)))}"
        return f"ids such as {next(iter(self._by_id))}" if self._by_id else "no images"

    def find_by_number(self, image_id: int | str | None, name: str | None = None) -> Match:
        """Return the image whose name is a number: Ultralytics' image_id of 0007.jpg is 7."""
        del name
        if self._by_number is None:
            self._by_number = {}
            for index, known in enumerate(self.names):
                if (number := _get_number(known or "")) is not None:
                    self._by_number.setdefault(number, []).append(index)
        number = to_id(image_id)
        candidates = self._by_number.get(number, []) if number is not None else []
        return self._choose(candidates, None, BY_NUMBER) if candidates else Match(None, UNKNOWN)

    def describe_one(self, index: int) -> str:
        """Return the name of an image, else its id."""
        return _hide_query(self.names[index] or f"id {self.ids[index]}")

    def _show(self, label: str, match: Match) -> str:
        if match.place is not None:
            return f"{_hide_query(label)} is {self.describe_one(match.place)}"
        candidates, _ = self._list_candidates(normalise_name(label))
        some = [self.describe_one(index) for index in candidates[:2]]
        return f"{_hide_query(label)} may be {' or '.join(some)}"

    def _find_named(self, name: str, number: int | None) -> Match:
        if (index := self._by_name.get(name)) is not None:
            same = self._repeated.get(name)
            return Match(index, BY_NAME) if same is None else self._choose(same, number, BY_NAME)
        known = self._by_id.get(number) if number is not None else None
        if known is not None and self.names[known] is None:
            return Match(known, BY_ID)
        candidates, rule = self._list_candidates(name)
        if candidates:
            return self._choose(candidates, number, rule)
        digits = None if self._by_name else _get_number(name)
        index = None if digits is None else self._by_id.get(digits)
        return Match(None, UNKNOWN) if index is None else Match(index, BY_NUMBER)

    def _choose(self, candidates: list[int], number: int | None, rule: str) -> Match:
        """Return the only candidate, or that of several which has the id."""
        if len(candidates) > 1:
            candidates = [i for i in candidates if number is not None and self.ids[i] == number]
        return Match(candidates[0], rule) if len(candidates) == 1 else Match(None, AMBIGUOUS)

    def _list_candidates(self, name: str) -> tuple[list[int], str]:
        """Return the images whose name may be this one, those that agree in most folders."""
        if self._by_stem is None:
            self._by_stem = {}
            for known, first in self._by_name.items():
                self._by_stem.setdefault(_get_stem(known), []).extend(
                    self._repeated.get(known, [first])
                )
        best: list[int] = []
        best_score = (False, 0)
        for index in self._by_stem.get(_get_stem(name), ()):
            score = _compare(name, self.names[index] or "")
            if score is not None and score >= best_score:
                best = [*best, index] if score == best_score else [index]
                best_score = score
        return best, BY_END if best_score[0] else BY_STEM


def _compare(first: str, second: str) -> tuple[bool, int] | None:
    """Return whether the last parts are the same, suffix too, and how many parts at the end agree.

    None where they are two images.
    """
    (one, is_foreign), (other, is_other_foreign) = _split(first), _split(second)
    is_same = one[-1] == other[-1]
    if not is_same and one[-1] != _cut_suffix(other[-1]) and other[-1] != _cut_suffix(one[-1]):
        return None
    agreeing = 1
    for left, right in zip(reversed(one[:-1]), reversed(other[:-1]), strict=False):
        if left != right:
            break
        agreeing += 1
    is_end = agreeing == min(len(one), len(other)) or is_foreign or is_other_foreign
    return (is_same, agreeing) if is_end else None


def _split(name: str) -> tuple[list[str], bool]:
    """Return the parts of a name, and whether its folders are those of another machine."""
    path = name.partition(_LOCAL_FILES)[2] or name
    root = _ROOT.match(path)
    rest = path[root.end() :] if root else path
    if "://" in path:
        rest = unquote(rest.partition("?")[0])
    parts = [part for part in rest.split("/") if part not in ("", ".")]
    kept = [part for part in parts if part != ".."]
    return kept or [""], rest != name or len(kept) < len(parts)


def _get_stem(name: str) -> str:
    return _cut_suffix(_split(name)[0][-1])


def _get_number(name: str) -> int | None:
    digits = _NUMBER.match(_get_stem(name))
    return int(digits[1]) if digits else None


def _hide_query(name: str) -> str:
    """Return a name for a message: what follows "?" in an address may be a key."""
    return name.partition("?")[0] if "://" in name else name


def _cut_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and f"{dot}{suffix.lower()}" in IMAGE_SUFFIXES else name
