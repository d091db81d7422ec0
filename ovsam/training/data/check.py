"""Training data is looked at before a training starts: what is wrong is counted, named, refused.

Tables and the existence of files are checked for every image; pictures and masks are decoded for
some, spread evenly over the set, or for all. Some findings are only reported (images without
objects, classes kept out); the others stop a training where they make up more than the budget.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ovsam.errors import ConfigError, ImageError
from ovsam.strict import suggest_names
from ovsam.text.vocabulary import Vocabulary
from ovsam.training.data.coco import CocoTrainingSet
from ovsam.training.data.mixed import DataPart, DataSettings, OpenedData, open_data
from ovsam.training.data.sample_source import HasMasks, HasPaths, SampleSource
from ovsam.training.data.webdataset import WebDatasetTrainingSet

logger = logging.getLogger(__name__)

DEFAULT_BUDGET = 0.01
CHECKED_IMAGES = 200
_MOST_EXAMPLES = 5
_THREADS = 2


@dataclass(frozen=True)
class Finding:
    """One kind of oddity in one training set.

    Attributes:
        what: What was found, in the plural.
        is_bad: Whether it counts against the budget, or is only reported.
    """

    source: str
    what: str
    count: int
    out_of: int
    examples: tuple[str, ...]
    is_bad: bool = True

    @property
    def share(self) -> float:
        """Part of what was looked at."""
        return self.count / max(self.out_of, 1)

    def __str__(self) -> str:
        """Return one line."""
        more = ", ..." if self.count > len(self.examples) else ""
        examples = f": {', '.join(self.examples)}{more}" if self.examples else ""
        return f"{self.count} of {self.out_of} {self.what} in {self.source}{examples}"


@dataclass(frozen=True)
class DataReport:
    """What was found in all sets of a training."""

    findings: tuple[Finding, ...]
    num_images: int
    num_decoded: int
    num_classes: int

    def lines(self) -> list[str]:
        """Return the report as plain lines."""
        head = (
            f"{self.num_images} image{'s' * (self.num_images != 1)}, {self.num_decoded} of them "
            f"decoded, {self.num_classes} training class{'es' * (self.num_classes != 1)}"
        )
        marks = [f"{'bad' if f.is_bad else 'note'}: {f}" for f in self.findings]
        return [head, *marks] if marks else [head, "nothing is wrong"]

    def refuse_past(self, budget: float) -> None:
        """Do nothing if the data may be trained on."""
        over = [f for f in self.findings if f.is_bad and f.share > budget]
        if over:
            worst = max(over, key=lambda finding: finding.share)
            others = f" (and {len(over) - 1} more such findings)" if len(over) > 1 else ""
            raise ConfigError(
                f"training data rejected: {worst}{others}; that is {worst.share:.2%}, more than "
                f"the {budget:.2%} allowed. Fix it, or allow more with --max-bad (data_budget)"
            )


def open_checked_data(
    entries: Sequence[DataSettings],
    vocabulary: Vocabulary,
    budget: float,
    num_decoded: int,
    with_labels: bool,
) -> OpenedData:
    """Open the sets of a training, log what is found in them, and refuse them past the budget."""
    opened = open_data(entries, vocabulary)
    report = check_data(opened, num_decoded, with_labels)
    for line in report.lines():
        logger.info("training data: %s", line)
    report.refuse_past(budget)
    return opened


def check_data(opened: OpenedData, num_decoded: int, with_labels: bool = True) -> DataReport:
    """Look at every training set.

    `num_decoded`: pictures and masks to decode of each set; below 0: all. `with_labels`: whether
    classes are learned, so that categories matter.
    """
    findings: list[Finding] = []
    decoded = 0
    for part in opened.parts:
        total = len(part.source)
        count = total if num_decoded < 0 else min(num_decoded, total)
        indices = np.unique(np.linspace(0, total - 1, count).astype(np.int64))
        decoded += sum(_has_file(part.source, int(index)) for index in indices)
        findings += _check_files(part.source)
        findings += _check_tables(part.source)
        findings += _check_pictures(part.source, indices)
        if with_labels and part.source.categories:
            findings += _check_categories(part, opened)
    if with_labels:
        findings.append(_find_classes_without_objects(opened))
    return DataReport(
        tuple(finding for finding in findings if finding.count),
        sum(len(part.source) for part in opened.parts),
        decoded,
        len(opened.classes),
    )


def _name_rows(source: SampleSource, rows: Sequence[int] | np.ndarray) -> tuple[str, ...]:
    """The names of the first few images."""
    return tuple(source.name(int(row)) for row in rows[:_MOST_EXAMPLES])


def _check_files(source: SampleSource) -> Iterator[Finding]:
    """Look whether every picture's file exists."""
    if isinstance(source, HasPaths):
        missing = [row for row in range(len(source)) if not source.path(row).is_file()]
        names = _name_rows(source, missing)
        yield Finding(source.title, "images have no file", len(missing), len(source), names)


def _has_file(source: SampleSource, index: int) -> bool:
    return not isinstance(source, HasPaths) or source.path(index).is_file()


def _check_tables(source: SampleSource) -> Iterator[Finding]:
    """Look at what annotation files say of every object."""
    if isinstance(source, WebDatasetTrainingSet):
        count, total = source.num_without_class, source.num_without_class + len(source)
        yield Finding(source.title, "samples have no class", count, total, (), is_bad=False)
    if not isinstance(source, CocoTrainingSet):
        return
    table = source.table
    total = table.num_empty + len(source)
    yield Finding(
        source.title, "images have no objects", table.num_empty, total, table.first_empty, False
    )
    boxes = table.boxes_xywh
    images = np.repeat(np.arange(len(source)), np.diff(table.starts))
    sizes = np.where(table.sizes_hw > 0, table.sizes_hw, np.iinfo(np.int32).max)[images]
    inside = np.minimum(boxes[:, :2] + boxes[:, 2:], sizes[:, ::-1]) - boxes[:, :2].clip(0)
    with np.errstate(invalid="ignore"):
        # A set of masks may come without boxes; one of boxes may not.
        empty = ~(inside > 0).all(axis=1) & ~(source.has_masks & np.isnan(boxes[:, 0]))
    rows = np.flatnonzero(empty)
    what = "boxes have no area or lie outside their image"
    yield Finding(source.title, what, len(rows), len(boxes), _name_rows(source, images[rows]))


@dataclass(frozen=True)
class _Look:
    """What decoding one image showed."""

    is_unreadable: bool = False
    has_other_size: bool = False
    num_masks: int = 0
    num_empty_masks: int = 0


def _look_at(source: SampleSource, index: int) -> _Look:
    """Decode one image, and its masks where there are any."""
    if not _has_file(source, index):
        return _Look()  # counted as missing
    try:
        pixels = source.read_image(index)
    except ImageError:
        return _Look(is_unreadable=True)
    size_hw = pixels.shape[:2]
    if isinstance(source, CocoTrainingSet):
        said = source.table.sizes_hw[index]
        if said.all() and tuple(said) != size_hw:
            return _Look(has_other_size=True)
    if not source.has_masks or not isinstance(source, HasMasks):
        return _Look()
    try:
        masks = source.masks(index, size_hw)
    except ImageError:
        return _Look(is_unreadable=True)
    return _Look(num_masks=len(masks), num_empty_masks=int((~masks.any(axis=(1, 2))).sum()))


def _check_pictures(source: SampleSource, indices: np.ndarray) -> Iterator[Finding]:
    """Decode some images."""
    with ThreadPoolExecutor(_THREADS) as threads:
        looks = list(threads.map(lambda index: _look_at(source, int(index)), indices))
    for what, values, total in (
        ("images or their masks cannot be read", [look.is_unreadable for look in looks], None),
        ("images have another size than the file says", [look.has_other_size for look in looks], 0),
        ("masks are empty", [look.num_empty_masks for look in looks], 1),
    ):
        rows = [index for index, value in zip(indices, values, strict=True) if value]
        out_of = sum(look.num_masks for look in looks) if total else len(indices)
        yield Finding(source.title, what, sum(values), out_of, _name_rows(source, rows))


def _check_categories(part: DataPart, opened: OpenedData) -> Iterator[Finding]:
    """Count objects by what their category is in the training."""
    source, match = part.source, part.match
    counts = dict(zip(source.categories, source.category_counts().tolist(), strict=True))
    total = sum(counts.values())
    known = [item.name for item in opened.classes.classes]
    unknown = [name for name in match.unknown if counts[name]]
    told = [f"{name}{suggest_names(name, known)}" for name in unknown[:_MOST_EXAMPLES]]
    yield Finding(
        source.title,
        "objects have a category that is not a class of the vocabulary",
        sum(counts[name] for name in unknown),
        total,
        tuple(told),
        is_bad=part.settings.other_categories == "refuse",
    )
    hidden = [name for name in match.hidden if counts[name]]
    yield Finding(
        source.title,
        "objects have a class that the vocabulary keeps out of training",
        sum(counts[name] for name in hidden),
        total,
        tuple(hidden[:_MOST_EXAMPLES]),
        is_bad=False,
    )


def _find_classes_without_objects(opened: OpenedData) -> Finding:
    """Classes that nothing teaches: no category is called so, or it is an empty one."""
    counts = np.zeros(len(opened.classes), np.int64)
    for part in opened.parts:
        labels = part.match.labels
        np.add.at(counts, labels[labels >= 0], part.source.category_counts()[labels >= 0])
    names = [opened.classes.classes[row].name for row in np.flatnonzero(counts == 0)]
    return Finding(
        "all sets together",
        "training classes have no object",
        len(names),
        len(counts),
        tuple(names[:_MOST_EXAMPLES]),
        is_bad=False,
    )
