"""The rules of a run: which boxes are prompted, which objects come out, and what eval changes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ovsam.errors import ConfigError
from ovsam.text.class_list import fold_name
from ovsam.text.class_rules import ClassRules
from ovsam_pipeline.detectors.base import Detections
from ovsam_pipeline.detectors.box_rules import (
    BEYOND_MAX_DET,
    clean,
    keep_classes,
    suppress_duplicates,
)
from ovsam_pipeline.detectors.class_match import describe_unmatched, match_detector_classes

if TYPE_CHECKING:
    from ovsam.text.vocabulary import Vocabulary
    from ovsam_pipeline.detectors.base import Known
    from ovsam_pipeline.records import ObjectRecord
    from ovsam_pipeline.settings.label import LabelConfig

logger = logging.getLogger(__name__)

OTHER = "other"
IGNORED = "class ignored by the vocabulary"
BELOW_CONF = "label score below its class's conf"
BELOW_MIN_AREA = "mask smaller than its class's min_area"
BEYOND_MAX_PER_IMAGE = "beyond its class's max_per_image"


@dataclass(frozen=True)
class EvaluationRules:
    """How labels that are measured differ from labels that are used.

    In every evaluation a prompt whose mask is empty gives an object, as it is a wrong answer and
    not no answer; and the detector may have classes that the data set lacks.

    Attributes:
        protocol: its name, in `LabelConfig.protocol`, run.json and the fingerprint.
        restricts_to_split: whether classes outside the vocabulary's base/novel split are never
            chosen.
        scores_given_boxes: whether frozen CLIP scores the detector's boxes also where points are
            the prompts; else it scores those of the masks.
    """

    protocol: str
    restricts_to_split: bool = True
    scores_given_boxes: bool = False


PAPER = EvaluationRules("evaluate")
ALL_CLASSES = EvaluationRules("evaluate-all-classes", restricts_to_split=False)
RELEASED_POINTS = EvaluationRules("evaluate-released-points", scores_given_boxes=True)


def find_evaluation_rules(config: LabelConfig) -> EvaluationRules | None:
    """Return the rules of the evaluation that labels; None where nothing is evaluated."""
    every = (PAPER, ALL_CLASSES, RELEASED_POINTS)
    return next((rules for rules in every if rules.protocol == config.protocol), None)


@dataclass(frozen=True)
class LabelRules:
    """Which boxes are prompted and which objects come out.

    Attributes:
        vocabulary: the classes that the model chose from.
        kept: indices of the classes that come out; None keeps all.
        labels: who names the objects: "model", "detector" or "fused".
        detector_labels: index of the vocabulary's class for each detector class name that has one;
            None where the detector has no classes.
        passes_unmatched: whether, with labels "detector", boxes of other classes and of none are
            prompted too and named by the model; else they are left out.
        conf: boxes that score less are dropped.
        iou: of two boxes, and then of two masks, that overlap more than this, the one with the
            lower detector score is dropped; None keeps all (ground truth).
        max_det: most boxes per image; None for no limit (ground truth).
        min_score: objects whose label scores less are dropped, or named "other".
        below: "drop" or "other".
        evaluation: what an evaluation changes; None where nothing is evaluated.
    """

    vocabulary: Vocabulary
    kept: frozenset[int] | None = None
    labels: str = "model"
    detector_labels: Mapping[str, int] | None = None
    passes_unmatched: bool = False
    conf: float = 0.0
    iou: float | None = 0.5
    max_det: int | None = 300
    min_score: float = 0.0
    below: str = "drop"
    evaluation: EvaluationRules | None = None

    @property
    def keeps_empty_masks(self) -> bool:
        """Whether a prompt whose mask is empty gives an object."""
        return self.evaluation is not None

    def choose_boxes(
        self, found: Detections, size_hw: tuple[int, int]
    ) -> tuple[Detections, Counter[str]]:
        """Return the boxes of an image to prompt with, and how many were dropped, by reason."""
        usable, dropped = clean(found, size_hw, conf=self.conf, max_det=self.max_det)
        asked = self._keep_classes(usable)
        single = self._drop_duplicates(asked)
        kept = single
        if self.max_det is not None and len(single) > self.max_det:
            kept = single.select(np.arange(self.max_det))
        dropped["class not asked for"] += len(usable) - len(asked)
        dropped["duplicate"] += len(asked) - len(single)
        dropped[BEYOND_MAX_DET] += len(single) - len(kept)
        return kept, dropped

    def list_categories(self) -> list[dict[str, Any]]:
        """Return COCO categories of the classes that may come out."""
        categories = [
            {"id": item.category_id, "name": item.name}
            for index, item in enumerate(self.vocabulary.classes)
            if (self.kept is None or index in self.kept) and not item.rules.ignore
        ]
        if self.other is not None and self.other[0] not in {one["id"] for one in categories}:
            categories.append({"id": self.other[0], "name": self.other[1]})
        return categories

    @cached_property
    def other(self) -> tuple[int, str] | None:
        """Id and name of the class of objects whose label scores too low; None: they are dropped.

        It is the vocabulary's own class of that name, where there is one.
        """
        if self.below != "other":
            return None
        for item in self.vocabulary.classes:
            if fold_name(item.name) == OTHER:
                return item.category_id, item.name
        return max(self.vocabulary.category_ids) + 1, OTHER

    def name_object(self, index: int, score: float) -> tuple[int, str]:
        """Return the category id and name of an object, given the class of its label."""
        item = self.vocabulary.classes[index]
        if self.other is None or item.rules.ignore or score >= self.find_min_score(index):
            return item.category_id, item.name
        return self.other

    def is_sure(self, index: int, score: float) -> bool:
        """Whether the run's least score lets an object with this label pass.

        A class's own least score is the matter of `keep_by_class`, which counts it by its reason.
        """
        has_own = self.vocabulary.classes[index].rules.conf is not None
        return has_own or self.other is not None or score >= self.min_score

    def find_min_score(self, index: int) -> float:
        """Return the least score of a class's labels: its own rule, else the run's."""
        own = self.vocabulary.classes[index].rules.conf
        return self.min_score if own is None else own

    def keep_by_class(
        self, objects: Sequence[ObjectRecord]
    ) -> tuple[tuple[ObjectRecord, ...], Counter[str]]:
        """Return the objects that pass the rules of their classes, in order; count the others."""
        by_id = self.vocabulary.rules
        if not by_id:
            return tuple(objects), Counter()
        none = ClassRules()
        reasons = [_find_fault(item, by_id.get(item.category_id, none)) for item in objects]
        for category_id, rules in by_id.items():
            if rules.max_per_image is None:
                continue
            same = [
                place
                for place, item in enumerate(objects)
                if item.category_id == category_id and reasons[place] is None
            ]
            best_first = sorted(same, key=lambda place: -objects[place].score)
            for place in best_first[rules.max_per_image :]:
                reasons[place] = BEYOND_MAX_PER_IMAGE
        kept = tuple(item for item, reason in zip(objects, reasons, strict=True) if reason is None)
        return kept, Counter(reason for reason in reasons if reason is not None)

    def _keep_classes(self, found: Detections) -> Detections:
        """Leave out boxes whose class could not come out, before a network looks at them."""
        if self.labels != "detector":
            return found
        names = frozenset(name for name in found.category_names or () if self._is_wanted(name))
        return keep_classes(found, names)

    def _is_wanted(self, name: str | None) -> bool:
        label = None if name is None else (self.detector_labels or {}).get(name)
        if label is None:
            return self.passes_unmatched
        return self.kept is None or label in self.kept

    def _drop_duplicates(self, found: Detections) -> Detections:
        """Return the best of overlapping boxes, best first; ground truth stays as it is."""
        if self.iou is None:
            return found
        indices = suppress_duplicates(found.boxes_xyxy, found.scores, self.iou)
        return found.select(np.asarray(indices, dtype=np.int64))


def _find_fault(item: ObjectRecord, rules: ClassRules) -> str | None:
    """Return why an object of a class with these rules does not come out; None: it does."""
    if rules.ignore:
        return IGNORED
    if rules.conf is not None and item.score < rules.conf:
        return BELOW_CONF
    height, width = item.segmentation["size"]
    least = max(rules.min_area or 0, (rules.min_area_share or 0) * height * width)
    return BELOW_MIN_AREA if item.area < least else None


def build_rules(
    config: LabelConfig,
    vocabulary: Vocabulary,
    kept: frozenset[int] | None,
    detector: Known,
) -> LabelRules:
    """Return the rules of a run.

    `kept`: indices of the classes that come out; None: all.
    """
    max_det = find_max_det(config)
    has_limit = config.min_score or any(item.rules.conf for item in vocabulary.classes)
    if config.below == "other" and not has_limit:
        raise ConfigError(
            "--below other names objects that score below --min-score, which is 0; give it, e.g. "
            "--min-score 0.3"
        )
    return LabelRules(
        vocabulary=vocabulary,
        kept=kept,
        labels=config.labels,
        detector_labels=_match_classes(config, detector, vocabulary),
        passes_unmatched=config.allow_unmatched,
        conf=config.conf,
        iou=None if max_det is None else config.iou,
        max_det=max_det,
        min_score=config.min_score,
        below=config.below,
        evaluation=find_evaluation_rules(config),
    )


def find_max_det(config: LabelConfig) -> int | None:
    """Return the most boxes per image; None for ground truth, whose every box is a prompt."""
    return None if config.detector.startswith("gt:") else config.max_det


def _match_classes(
    config: LabelConfig, detector: Known, vocabulary: Vocabulary
) -> dict[str, int] | None:
    """Return the vocabulary's index for each class name of the detector that it has."""
    names = detector.class_names
    if names is None:
        _refuse_nameless(config, detector.name)
        return None
    class_map = None if config.class_map is None else Path(config.class_map).expanduser()
    matched = match_detector_classes(names, vocabulary, class_map)
    missing = [name for name in names if name not in matched]
    if config.labels == "model" or not missing:
        return matched
    error = describe_unmatched(detector.name, missing, len(names), vocabulary)
    is_evaluation = find_evaluation_rules(config) is not None
    if not config.allow_unmatched and not (is_evaluation and matched):
        raise error
    if is_evaluation:
        # A class that a data set lacks is no answer to any of its annotations.
        logger.warning("%s", str(error).partition(";")[0])
    return matched


def _refuse_nameless(config: LabelConfig, detector: str) -> None:
    """Refuse settings that need the classes of a detector that has none, with a ConfigError."""
    wanted = f"--labels {config.labels}" if config.labels != "model" else "--class-map"
    if config.labels != "model" or config.class_map is not None:
        raise ConfigError(
            f"{wanted} needs a detector that names its boxes, and {detector} finds objects "
            "without naming them; use a detector that does (`ovsam detectors`), or --labels model "
            "without --class-map"
        )
