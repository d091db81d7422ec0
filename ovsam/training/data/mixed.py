"""Several training sets as one: a set by its ratio, then an image of it, each draw on its own.

Nothing is shuffled in memory and nothing is remembered between draws, so a step's images depend on
the generator alone (StepRandom). An image that cannot be read is skipped, counted and reported;
past the budget the run stops.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ovsam.errors import ConfigError, ImageError, TrainingError
from ovsam.text.vocabulary import Vocabulary
from ovsam.training.data.coco import CocoTrainingSet
from ovsam.training.data.folder import FolderTrainingSet
from ovsam.training.data.pool import PoolTrainingSet
from ovsam.training.data.sa1b import Sa1bTrainingSet
from ovsam.training.data.sample_source import SampleSource
from ovsam.training.data.training_classes import CategoryMatch, TrainingClasses
from ovsam.training.data.webdataset import WebDatasetTrainingSet
from ovsam.training.samples import TrainingSample
from ovsam.training.scenes.sprites import nano_class_names

logger = logging.getLogger(__name__)

KINDS = ("instances", "boxes", "folders", "webdataset", "sa1b", "pool")
_OWN_CLASSES = ("boxes", "folders", "webdataset")
_MOST_TRIES = 100
_MOST_TOLD = 20


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """One training set of a YAML's `data` list.

    Attributes:
        kind: "instances" (COCO or LVIS JSON, masks), "boxes" (such a JSON, its boxes alone),
            "folders" (a folder a class), "webdataset" (tars), "sa1b", or "pool".
        path: The JSON, the folder or the tar.
        names: What class numbers or WordNet ids are called; see class_names.py.
        ratio: How often a sample comes from this set, against the other sets' ratios.
        classes: "own": its categories become training classes next to the vocabulary's;
            "vocabulary": only those of the vocabulary are learned. "" is "own" for boxes, folders
            and webdataset, "vocabulary" for the others.
        other_categories: What to do with categories without a class: "refuse" (past the budget),
            or "hide" (their objects teach masks alone).
    """

    kind: str
    path: str
    images: str = ""
    names: str = ""
    ratio: float = 1.0
    classes: str = ""
    other_categories: str = "refuse"

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        for name, value, known in (
            ("kind", self.kind, KINDS),
            ("classes", self.classes, ("", "own", "vocabulary")),
            ("other_categories", self.other_categories, ("refuse", "hide")),
        ):
            if value not in known:
                raise ConfigError(
                    f"data.{name} must be one of {', '.join(filter(None, known))}, got {value!r}"
                )
        if self.kind in ("instances", "boxes") and not self.images:
            raise ConfigError(f"the COCO file {self.path} needs its image folder: give images")
        if self.images and self.kind not in ("instances", "boxes"):
            inside = Path(self.path) / "annotations.json"
            meant = f" (did you mean {inside}?)" if inside.is_file() else ""
            raise ConfigError(
                f"--images (images) only goes with a COCO file; {self.path} is a {self.kind} with "
                f"pictures of its own{meant}"
            )
        if not self.ratio > 0:
            raise ConfigError(f"data.ratio must be above 0, got {self.ratio} for {self.path}")

    @property
    def adds_classes(self) -> bool:
        """Whether its categories become training classes."""
        return (self.classes or ("own" if self.kind in _OWN_CLASSES else "")) == "own"


@dataclass(frozen=True)
class DataPart:
    """An opened training set, and what its categories are in the training."""

    source: SampleSource
    match: CategoryMatch
    settings: DataSettings


@dataclass(frozen=True)
class OpenedData:
    """All training sets of a run, and the classes that they teach together."""

    parts: tuple[DataPart, ...]
    classes: TrainingClasses

    @property
    def has_masks(self) -> bool:
        """Whether every set has masks."""
        return all(part.source.has_masks for part in self.parts)

    def describe(self) -> list[str]:
        """Describe the data without its place: a run resumes only with the same data."""
        return [f"{part.settings.kind} of {len(part.source)} images" for part in self.parts]


def open_data(entries: Sequence[DataSettings], vocabulary: Vocabulary) -> OpenedData:
    """Open training sets and match their categories."""
    if not entries:
        raise ConfigError("expected training data, got none; give --data, or `data` in the config")
    classes = TrainingClasses(vocabulary)
    sources = [_open_source(entry) for entry in entries]
    for source, entry in zip(sources, entries, strict=True):
        if entry.adds_classes:
            classes.add(source.categories)
    parts = [
        DataPart(source, classes.match(source.categories), entry)
        for source, entry in zip(sources, entries, strict=True)
    ]
    return OpenedData(tuple(parts), classes)


def _open_source(entry: DataSettings) -> SampleSource:
    """Open one set."""
    path, names = Path(entry.path), Path(entry.names) if entry.names else None
    if entry.kind == "folders":
        return FolderTrainingSet(path, names)
    if entry.kind == "webdataset":
        return WebDatasetTrainingSet(path, names)
    if entry.kind == "sa1b":
        return Sa1bTrainingSet(path)
    if entry.kind == "pool":
        # Scenes show nano's classes, whatever is learned from them.
        return PoolTrainingSet(path / "train", nano_class_names())
    return CocoTrainingSet(path, Path(entry.images), has_masks=entry.kind == "instances")


class MixedData:
    """Draws training samples; `sample` may be called by several threads."""

    def __init__(self, parts: Sequence[DataPart], budget: float) -> None:
        """Bind opened sets.

        `budget`: largest part of a set's images that may turn out to be unreadable.
        """
        self.parts = tuple(parts)
        self.budget = budget
        ratios = np.array([part.settings.ratio for part in parts], np.float64)
        self._ends = np.cumsum(ratios / ratios.sum())
        self._bad: list[set[int]] = [set() for _ in parts]
        self._lock = threading.Lock()

    @property
    def num_bad(self) -> int:
        """How many images could not be read so far."""
        return sum(len(rows) for rows in self._bad)

    def sample(self, random: np.random.Generator) -> TrainingSample:
        """Draw a set by its ratio and an image of it."""
        for _ in range(_MOST_TRIES):
            row = int(np.searchsorted(self._ends, random.random(), side="right"))
            number = min(row, len(self.parts) - 1)
            part = self.parts[number]
            index = int(random.integers(len(part.source)))
            try:
                return part.source.load(index, part.match.labels)
            except ImageError as error:
                self._note_bad(number, index, error)
        raise TrainingError(f"none of {_MOST_TRIES} images drawn one after the other can be read")

    def _note_bad(self, number: int, index: int, error: ImageError) -> None:
        """Count one image; tell it once, and raise when there are too many."""
        source = self.parts[number].source
        with self._lock:
            is_new = index not in self._bad[number]
            self._bad[number].add(index)
            bad, told = len(self._bad[number]), self.num_bad
        if is_new and told <= _MOST_TOLD:
            logger.warning("skipped an image (%d so far): %s", told, error)
        if bad > self.budget * len(source):
            raise TrainingError(
                f"{bad} of {len(source)} images of {source.title} cannot be read, more than "
                f"data_budget {self.budget:g} allows; the last: {error}. Mend or remove them "
                "(`ovsam train check --all-images` lists them), or raise data_budget"
            ) from error
