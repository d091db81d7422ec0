"""What `ovsam filter` is asked, and the classes of an output → what becomes of each class.

Input: thresholds, files with rules of classes, renames, names to keep. Output: a `FilterPlan`,
whose arrays have one entry per class of the output, one for objects of classes that its run.json
does not list, and one for the class "other". Reads no rows.

Letters: C classes of the output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ovsam.errors import ConfigError, VocabularyError, show_value
from ovsam.strict import suggest_names
from ovsam.text.class_list import VocabularyClass, fold_name, make_class, read_class_file
from ovsam.text.class_rules import ClassRules, read_area
from ovsam.text.vocabulary_files import load_vocabulary
from ovsam_pipeline.detectors.base import compute_fingerprint
from ovsam_pipeline.labelling.rules import OTHER


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """What `ovsam filter` is asked.

    Attributes:
        min_score: least score of the label.
        max_risk: greatest risk; objects without one go too. None: any.
        min_area: least area of the mask, as text: pixels, or "1%" of the image.
        rules: file with rules of classes of the output.
        vocabulary: vocabulary whose rules count; it may have classes that the output lacks.
        renames: texts OLD=NEW.
        classes: names to keep, as they are after renaming; none: all.
        below: whether objects whose label scores too low are dropped, or named "other".

    Raises:
        ConfigError: a value is out of range.
    """

    min_score: float = 0.0
    max_risk: float | None = None
    min_area: str | None = None
    rules: str | None = None
    vocabulary: str | None = None
    renames: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    below: str = "drop"

    def __post_init__(self) -> None:
        """Refuse thresholds out of range."""
        for flag, value in (("--min-score", self.min_score), ("--max-risk", self.max_risk)):
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"expected {flag} from 0 to 1, got {value}")
        if self.below not in ("drop", "other"):
            raise ConfigError(f"expected --below as drop or other, got '{self.below}'")
        if not self.given.keys() - {"below"}:
            raise ConfigError(
                "expected something to filter by: --min-score, --max-risk, --min-area, --rules, "
                "--vocabulary, --rename or --classes"
            )
        _ = self.general

    @property
    def given(self) -> dict[str, Any]:
        """What differs from keeping everything, as plain values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value not in (None, (), 0.0, "drop")
        }

    @cached_property
    def general(self) -> ClassRules:
        """The thresholds of classes without rules of their own."""
        try:
            area = {} if self.min_area is None else read_area(self.min_area, "--min-area")
            return ClassRules(conf=self.min_score, **area)
        except VocabularyError as error:
            raise ConfigError(str(error).replace("'min_area' ", "an area ")) from error


@dataclass(frozen=True)
class FilterPlan:
    """What becomes of the objects of each class; letters as above.

    Attributes:
        ids: (C,) int64, category ids of the output, ascending.
        new_ids: (C,) int64, what they become.
        names: old name → new name, of the classes whose name changes.
        is_ignored: (C + 2,) bool, whether a rule lets the class never come out.
        is_wanted: (C + 2,) bool, whether it is among the names to keep.
        conf: (C + 2,) float64, least score; `has_own_conf` tells where it is a rule of the class.
        min_area: (C + 2,) float64, least area in pixels.
        min_area_share: (C + 2,) float64, least area as a share of the image's.
        max_per_image: (C + 2,) int64, most objects per image; 0: any.
        max_risk: as in `FilterConfig`.
        categories: run.json's list of the new classes.
        old_names: of the C classes.
        other: id and name of objects whose label scores too low; None: they are dropped.
    """

    ids: np.ndarray
    new_ids: np.ndarray
    names: Mapping[str, str]
    is_ignored: np.ndarray
    is_wanted: np.ndarray
    conf: np.ndarray
    has_own_conf: np.ndarray
    min_area: np.ndarray
    min_area_share: np.ndarray
    max_per_image: np.ndarray
    max_risk: float | None
    categories: list[dict[str, Any]]
    old_names: tuple[str, ...]
    other: tuple[int, str] | None

    def find(self, category_ids: np.ndarray) -> np.ndarray:
        """Return the place of each of (N,) int64 category ids: (N,) int64, C for unknown ones."""
        places = np.searchsorted(self.ids, category_ids)
        places[places == len(self.ids)] = 0
        return np.where(self.ids[places] == category_ids, places, len(self.ids))

    def rename(self, name: str) -> str:
        """Return the new name of an old one."""
        return self.names.get(name, name)

    def comes_out(self, name: str) -> bool:
        """Whether an object that a person gave this name, an old one, comes out."""
        new_name = fold_name(self.rename(name))
        is_known = new_name in self._known
        return new_name in self._coming or (not is_known and bool(self.is_wanted[len(self.ids)]))

    @cached_property
    def _coming(self) -> frozenset[str]:
        return frozenset(fold_name(category["name"]) for category in self.categories)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(fold_name(self.rename(name)) for name in self.old_names)

    def describe(self) -> dict[str, Any]:
        """Return everything that decides what comes out, as plain values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}


class _Entries:
    """The classes in files with rules, found by a name, else by an alias; the first file first."""

    def __init__(self, entries: Sequence[VocabularyClass]) -> None:
        self._by_name: dict[str, VocabularyClass] = {}
        self._by_alias: dict[str, VocabularyClass] = {}
        for entry in entries:
            self._by_name.setdefault(fold_name(entry.name), entry)
            for alias in entry.aliases:
                self._by_alias.setdefault(fold_name(alias), entry)

    def find(self, name: str) -> VocabularyClass | None:
        folded = fold_name(name)
        return self._by_name.get(folded) or self._by_alias.get(folded)


@dataclass(frozen=True)
class _Class:
    """A class of the output: its id, its name before and after, and its rules."""

    category_id: int
    name: str
    new_name: str
    rules: ClassRules


def plan_filter(config: FilterConfig, categories: Sequence[Mapping[str, Any]]) -> FilterPlan:
    """Return what becomes of each class of an output; `categories` are those of its run.json.

    Raises:
        ConfigError: a name is no class of the output, two renames contradict each other, or no
            class is left.
        VocabularyError: a file with rules cannot be read.
    """
    names = [str(category["name"]) for category in categories]
    entries = _Entries(_read_entries(config, names))
    renames = _read_renames(config.renames, names)
    spelling = {fold_name(name): name for name in names}
    spelling |= {fold_name(new): new for old, new in renames.items() if _is_alike(old, new)}
    classes = []
    for category, name in zip(categories, names, strict=True):
        entry = entries.find(name)
        # Of several spellings that of the output counts, else the first one.
        new_name = renames.get(name) or _choose_name(name, entry)
        new_name = spelling.setdefault(fold_name(new_name), new_name)
        found = entries.find(new_name) or entry
        rules = ClassRules() if found is None else found.rules
        classes.append(_Class(int(category["id"]), name, new_name, rules))
    wanted = _choose_wanted(config.classes, classes)
    classes = sorted(classes, key=lambda item: item.category_id)
    return _build_plan(config, classes, wanted)


def describe_filter(config: FilterConfig, plan: FilterPlan, source: str) -> dict[str, Any]:
    """Return what the rows depend on, in words and hashes; `source`: fingerprint of the output."""
    return {
        "task": "filter",
        **config.given,
        "rows_hash": source,
        "rules_hash": compute_fingerprint(plan.describe()),
    }


def _build_plan(
    config: FilterConfig, classes: Sequence[_Class], wanted: frozenset[str] | None
) -> FilterPlan:
    ids_by_name = _choose_ids(classes)
    general = config.general
    # Unlisted classes have the general rules; so has "other", to which no least score applies.
    every = [item.rules for item in classes] + [ClassRules(), ClassRules(conf=0)]
    has_area = [r.min_area is not None or r.min_area_share is not None for r in every]
    areas = [own if has else general for own, has in zip(every, has_area, strict=True)]
    is_wanted = [wanted is None or fold_name(item.new_name) in wanted for item in classes]
    is_ignored = [rules.ignore for rules in every]
    categories = {
        ids_by_name[fold_name(item.new_name)]: item.new_name
        for item, comes, is_out in zip(classes, is_wanted, is_ignored, strict=False)
        if comes and not is_out
    }
    if not categories:
        raise ConfigError(
            f"expected a class that is kept, got none of the {len(classes)} of the output; look at "
            "--classes and at the classes that the rules ignore"
        )
    other = _choose_other(classes, categories) if config.below == OTHER else None
    return FilterPlan(
        ids=np.array([item.category_id for item in classes], np.int64),
        new_ids=np.array([ids_by_name[fold_name(item.new_name)] for item in classes], np.int64),
        names={item.name: item.new_name for item in classes if item.name != item.new_name},
        is_ignored=np.array(is_ignored),
        is_wanted=np.array([*is_wanted, wanted is None, True]),
        conf=np.array([general.conf if r.conf is None else r.conf for r in every], np.float64),
        has_own_conf=np.array([r.conf is not None for r in every]),
        min_area=np.array([r.min_area or 0 for r in areas], np.float64),
        min_area_share=np.array([r.min_area_share or 0 for r in areas], np.float64),
        max_per_image=np.array([r.max_per_image or 0 for r in every], np.int64),
        max_risk=config.max_risk,
        categories=[{"id": key, "name": categories[key]} for key in sorted(categories)],
        old_names=tuple(item.name for item in classes),
        other=other,
    )


def _choose_other(classes: Sequence[_Class], categories: dict[int, str]) -> tuple[int, str]:
    """Return id and name of the class "other": the output's own, else a new one, added here."""
    for number, name in categories.items():
        if fold_name(name) == OTHER:
            return number, name
    number = max(item.category_id for item in classes) + 1
    categories[number] = OTHER
    return number, OTHER


def _choose_ids(classes: Sequence[_Class]) -> dict[str, int]:
    """Return the id of each new name: that of the class that had the name, else of its first one.

    So a class keeps its id whatever is merged into it, and nothing is renumbered.
    """
    ids: dict[str, int] = {}
    for item in classes:
        ids.setdefault(fold_name(item.new_name), item.category_id)
    for item in classes:
        if _is_alike(item.name, item.new_name):
            ids[fold_name(item.name)] = item.category_id
    return ids


def _read_entries(config: FilterConfig, names: Sequence[str]) -> list[VocabularyClass]:
    """Return the classes of the files with rules; those of --rules must be of the output."""
    entries: list[VocabularyClass] = []
    known = {fold_name(name) for name in names}
    if config.rules is not None:
        entries += read_class_file(Path(config.rules).expanduser())[0]
        _check_entries(entries, known, config.rules)
    if config.vocabulary is not None:
        # Its aliases are texts for a model, and no names of other classes of the output.
        classes = [replace(c, aliases=()) for c in load_vocabulary(config.vocabulary).classes]
        if not any(item.rules and fold_name(item.name) in known for item in classes):
            raise ConfigError(
                f"expected rules of a class of the output (conf, min_area, max_per_image, ignore) "
                f"in {config.vocabulary}, got none; see docs/filter.md"
            )
        entries += classes
    return entries


def _check_entries(entries: Sequence[VocabularyClass], known: set[str], path: str) -> None:
    """Refuse a file with classes that the output lacks, or without a rule or alias: a slip."""
    for entry in entries:
        if known.isdisjoint((fold_name(entry.name), *entry.aliases)):
            raise ConfigError(
                f"{path} has rules for {show_value(entry.name)}, which is no class of the output"
                f"{suggest_names(fold_name(entry.name), sorted(known))}"
            )
    if not any(item.rules or len(item.aliases) > 1 for item in entries):
        raise ConfigError(
            "expected rules of classes (conf, min_area, max_per_image, ignore, aliases) in "
            f"{path}, got names alone; see docs/filter.md"
        )


def _is_alike(name: str, other: str) -> bool:
    return fold_name(name) == fold_name(other)


def _choose_name(name: str, entry: VocabularyClass | None) -> str:
    """Return the name of a class by the files: that of the class that it is an alias of."""
    return name if entry is None or _is_alike(entry.name, name) else entry.name


def _read_renames(texts: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Return old name → new name of texts OLD=NEW; either may have an equals sign in it."""
    known = {fold_name(name): name for name in names}
    renames: dict[str, str] = {}
    for text in texts:
        splits = [(text[:i], text[i + 1 :]) for i, sign in enumerate(text) if sign == "="]
        if not splits:
            raise ConfigError(f"expected --rename as OLD=NEW, got {show_value(text)}")
        fitting = [(old, new) for old, new in splits if fold_name(old) in known]
        if not fitting:
            old = splits[0][0]
            raise ConfigError(
                f"expected --rename of a class of the output, got {show_value(old)}"
                f"{suggest_names(fold_name(old), known)}"
            )
        old, new = known[fold_name(fitting[0][0])], fitting[0][1]
        try:
            new = make_class(new, category_id=0, where=f"--rename {text}").name
        except VocabularyError as error:
            raise ConfigError(str(error)) from error
        if renames.setdefault(old, new) != new:
            raise ConfigError(
                f"expected one new name for {old!r}, got --rename to {renames[old]!r} and to "
                f"{new!r}; leave one out"
            )
    return renames


def _choose_wanted(wanted: Sequence[str], classes: Sequence[_Class]) -> frozenset[str] | None:
    """Return the folded names to keep; None: all."""
    if not wanted:
        return None
    known = {fold_name(item.new_name) for item in classes}
    for name in wanted:
        if fold_name(name) not in known:
            raise ConfigError(
                f"expected --classes of the output, as they are after renaming, got "
                f"{show_value(name)}{suggest_names(fold_name(name), sorted(known))}"
            )
    return frozenset(map(fold_name, wanted))
