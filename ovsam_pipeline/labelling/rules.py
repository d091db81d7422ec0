"""A run's settings → its rules: which classes of the detector are which of the vocabulary."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ovsam.errors import ConfigError
from ovsam_pipeline.detectors.base import Detections
from ovsam_pipeline.detectors.box_rules import keep_classes, suppress_duplicates
from ovsam_pipeline.detectors.class_match import describe_unmatched, match_detector_classes

if TYPE_CHECKING:
    from ovsam.text.vocabulary import Vocabulary
    from ovsam_pipeline.detectors.base import Detector
    from ovsam_pipeline.settings.label import LabelConfig


@dataclass(frozen=True)
class LabelRules:
    """Which boxes are prompted and which objects come out.

    Attributes:
        vocabulary: the classes that the model chose from.
        kept: indices of the classes that come out; None keeps all.
        labels: who names the objects: "model", "detector" or "fused".
        detector_labels: index of the vocabulary's class for each detector class name that has one;
            None where the detector has no classes.
        passes_unmatched: whether, with labels "detector", boxes of other classes are prompted too
            and named by the model; else they are left out.
        iou: of two boxes, and then of two masks, that overlap more than this, the one with the
            lower detector score is dropped; None keeps all (ground truth).
        max_det: most boxes an image; None for no limit (ground truth).
        keeps_empty_masks: whether a prompt whose mask is empty gives an object (evaluation: it is a
            wrong answer, not no answer).
    """

    vocabulary: Vocabulary
    kept: frozenset[int] | None = None
    labels: str = "model"
    detector_labels: Mapping[str, int] | None = None
    passes_unmatched: bool = False
    iou: float | None = 0.5
    max_det: int | None = 300
    keeps_empty_masks: bool = False

    def keep_boxes(self, found: Detections) -> Detections:
        """Return the detections to prompt with, best first where duplicates are dropped."""
        if self.labels == "detector":
            names = frozenset(filter(self._is_wanted, found.category_names or ()))
            found = keep_classes(found, names)
        if self.iou is None:
            return found
        indices = suppress_duplicates(found.boxes_xyxy, found.scores, self.iou)
        return found.select(np.asarray(indices[: self.max_det], dtype=np.int64))

    def _is_wanted(self, name: str) -> bool:
        """Whether boxes of this class of the detector may become objects."""
        label = (self.detector_labels or {}).get(name)
        if label is None:
            return self.passes_unmatched
        return self.kept is None or label in self.kept


logger = logging.getLogger(__name__)


def build_rules(
    config: LabelConfig,
    vocabulary: Vocabulary,
    kept: frozenset[int] | None,
    detector: Detector,
) -> LabelRules:
    """Return the rules of a run.

    Args:
        config: of the run.
        vocabulary: the classes that OV-SAM chooses from.
        kept: indices of the classes that come out; None: all.
        detector: the source of boxes.

    Raises:
        ConfigError: the detector is to name objects, and has no classes or some that the
            vocabulary lacks.
        DatasetError: the class map cannot be used.
    """
    is_truth = config.detector.startswith("gt:")
    return LabelRules(
        vocabulary=vocabulary,
        kept=kept,
        labels=config.labels,
        detector_labels=_match_classes(config, detector, vocabulary),
        passes_unmatched=config.allow_unmatched,
        iou=None if is_truth else config.iou,
        max_det=None if is_truth else config.max_det,
        keeps_empty_masks=config.protocol != "label",
    )


def _match_classes(
    config: LabelConfig, detector: Detector, vocabulary: Vocabulary
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
    is_evaluation = config.protocol != "label"
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
            "without naming them; use --labels model without --class-map"
        )
