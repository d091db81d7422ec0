"""A prediction and the boxes it came from → the labelled objects of an image, by the run's rules.

Score semantics: with labels from the model, `score` is OV-SAM's probability of the label among the
vocabulary's classes; with labels from the detector, it is the detector's confidence.
`detector_score` is always the detector's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ovsam_pipeline.detectors.base import Detections
from ovsam_pipeline.detectors.class_filter import filter_classes
from ovsam_pipeline.detectors.suppression import suppress_duplicates
from ovsam_pipeline.records import ObjectRecord

if TYPE_CHECKING:
    from ovsam.structures import Prediction
    from ovsam.vocabulary import Vocabulary

__all__ = ["LabelRules", "build_objects"]


@dataclass(frozen=True)
class LabelRules:
    """Which boxes are prompted and which objects come out.

    Attributes:
        vocabulary: the classes that the model chose from.
        kept: indices of the classes that come out; None keeps all.
        detector_labels: index of the vocabulary's class for each detector class name when the
            detector names the objects; None when the model does.
        iou: of two boxes, and then of two masks, that overlap more than this, the one with the
            lower detector score is dropped; None keeps all (ground truth).
        max_det: most boxes an image; None for no limit (ground truth).
        keeps_empty_masks: whether a prompt whose mask is empty gives an object (evaluation: it is a
            wrong answer, not no answer).
    """

    vocabulary: Vocabulary
    kept: frozenset[int] | None = None
    detector_labels: Mapping[str, int] | None = None
    iou: float | None = 0.5
    max_det: int | None = 300
    keeps_empty_masks: bool = False

    @property
    def _wanted_names(self) -> frozenset[str]:
        """Names of the detector that become objects."""
        matched = (self.detector_labels or {}).items()
        return frozenset(n for n, label in matched if self.kept is None or label in self.kept)

    def keep_boxes(self, found: Detections) -> Detections:
        """Return the detections to prompt with, best first where duplicates are dropped."""
        if self.detector_labels is not None:
            found = filter_classes(found, self._wanted_names)
        if self.iou is None:
            return found
        indices = suppress_duplicates(found.boxes_xyxy, found.scores, self.iou)
        return found.select(np.asarray(indices[: self.max_det], dtype=np.int64))


def build_objects(
    prediction: Prediction, found: Detections, rules: LabelRules
) -> tuple[tuple[ObjectRecord, ...], Counter[str]]:
    """Return the objects of an image, and how many boxes gave none, by reason.

    Args:
        prediction: N masks and labels, with `rles`.
        found: the N detections that prompted them.
        rules: of the run.
    """
    dropped: Counter[str] = Counter()
    every = range(len(found))
    filled = [i for i in every if rules.keeps_empty_masks or prediction.areas[i] > 0]
    dropped["empty mask"] = len(found) - len(filled)
    single = filled if rules.iou is None else _drop_duplicate_masks(prediction, filled, rules.iou)
    dropped["duplicate mask"] = len(filled) - len(single)
    labels = {index: _choose_label(prediction, found, rules, index) for index in single}
    asked = [index for index in single if rules.kept is None or labels[index] in rules.kept]
    dropped["class not asked for"] = len(single) - len(asked)
    objects = [_build_object(prediction, found, rules, index, labels[index]) for index in asked]
    return tuple(objects), dropped


def _drop_duplicate_masks(prediction: Prediction, indices: list[int], iou: float) -> list[int]:
    """Return the indices without those whose mask overlaps an earlier one's by more than `iou`.

    Boxes that barely overlap can be of one object: its mask tells.
    """
    if len(indices) < 2:
        return indices
    from pycocotools import mask as coco_mask

    assert prediction.rles is not None
    rles = [prediction.rles[index] for index in indices]
    overlaps = coco_mask.iou(rles, rles, [False] * len(rles))
    kept: list[int] = []
    for row in range(len(indices)):
        if not (overlaps[row, kept] > iou).any():
            kept.append(row)
    return [indices[row] for row in kept]


def _choose_label(prediction: Prediction, found: Detections, rules: LabelRules, index: int) -> int:
    if rules.detector_labels is None:
        return int(prediction.labels[index])
    assert found.category_names is not None
    return rules.detector_labels[found.category_names[index]]


def _build_object(
    prediction: Prediction, found: Detections, rules: LabelRules, index: int, label: int
) -> ObjectRecord:
    assert prediction.rles is not None
    left, top, right, bottom = (float(value) for value in prediction.boxes_xyxy[index])
    rle = prediction.rles[index]
    is_from_model = rules.detector_labels is None
    detector_score = float(found.scores[index])
    item = rules.vocabulary.classes[label]
    prompt_id = -1 if found.prompt_ids is None else int(found.prompt_ids[index])
    return ObjectRecord(
        bbox_xywh=(left, top, right - left, bottom - top),
        category_id=item.category_id,
        category=item.name,
        score=float(prediction.scores[index]) if is_from_model else detector_score,
        detector_score=detector_score,
        detector_category=found.category_names[index] if found.category_names else None,
        margin=float(prediction.margins[index]),
        mask_score=float(prediction.mask_scores[index]),
        area=int(prediction.areas[index]),
        segmentation_size=(int(rle["size"][0]), int(rle["size"][1])),
        segmentation_counts=rle["counts"],
        prompt_id=prompt_id if prompt_id >= 0 else None,
    )
