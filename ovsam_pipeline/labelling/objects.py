"""A prediction and the boxes it came from → the labelled objects of an image, by the run's rules.

Score semantics: with labels from the model, `score` is OV-SAM's probability of the label among the
vocabulary's classes; with labels from the detector, it is the detector's confidence; with fused
labels, it is that of `choice.py`. `detector_score` is always the detector's, `model_score`
always OV-SAM's, None where the model named nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ovsam_pipeline.detectors.base import Detections
from ovsam_pipeline.labelling.choice import ChosenLabel, choose_label
from ovsam_pipeline.labelling.risk import NameOpinions, assess_objects
from ovsam_pipeline.labelling.rules import LabelRules
from ovsam_pipeline.records import BoxRecord, ObjectRecord

if TYPE_CHECKING:
    from ovsam.structures import FloatArray, Prediction

BELOW_MIN_SCORE = "label score below --min-score"


def build_objects(
    prediction: Prediction, found: Detections, rules: LabelRules
) -> tuple[tuple[ObjectRecord, ...], Counter[str]]:
    """Return the objects of an image, and how many boxes gave none, by reason."""
    dropped: Counter[str] = Counter()
    every = range(len(found))
    filled = [i for i in every if rules.keeps_empty_masks or prediction.areas[i] > 0]
    dropped["empty mask"] = len(found) - len(filled)
    single = filled if rules.iou is None else _drop_duplicate_masks(prediction, filled, rules.iou)
    dropped["duplicate mask"] = len(filled) - len(single)
    labels = {row: choose_label(prediction, found, rules, row) for row in single}
    asked = [row for row in single if rules.kept is None or labels[row].index in rules.kept]
    dropped["class not asked for"] = len(single) - len(asked)
    sure = [row for row in asked if rules.is_sure(labels[row].index, labels[row].score)]
    dropped[BELOW_MIN_SCORE] = len(asked) - len(sure)
    halves = read_halves(prediction)
    objects = [_build_object(prediction, found, rules, row, labels[row], halves) for row in sure]
    opinions = [collect_opinions(prediction, rules, row, labels[row], halves) for row in sure]
    kept, dropped_by_class = rules.keep_by_class(assess_objects(objects, opinions))
    return kept, dropped + dropped_by_class


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


@dataclass(frozen=True)
class Halves:
    """What the trained head, and frozen CLIP, think of N prompts by themselves.

    Attributes:
        best: (2, N) int64, the best class by each; a class that cannot be chosen is never best.
        sums: (2, N) float32, the logarithm of the sum of the classes' exponentials.
    """

    best: NDArray[np.int64]
    sums: FloatArray


def read_halves(prediction: Prediction) -> Halves | None:
    """Return what head and CLIP think; None where nothing was named. All prompts at once: fast."""
    from ovsam.classifier import EXCLUDED  # imports torch, which labels alone need

    if not prediction.is_named:
        return None
    # Classes outside a split cannot be chosen, whatever head and CLIP think.
    is_out = prediction.fused_logits[:, :-1] <= EXCLUDED
    best, sums = [], []
    for logits in (prediction.head_logits[:, :-1], prediction.clip_logits[:, :-1]):
        largest = logits.max(axis=1, initial=EXCLUDED)
        sums.append(largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1)))
        best.append(np.where(is_out, -np.inf, logits).argmax(axis=1))
    return Halves(np.stack(best), np.stack(sums))


def _build_object(
    prediction: Prediction,
    found: Detections,
    rules: LabelRules,
    row: int,
    label: ChosenLabel,
    halves: Halves | None,
) -> ObjectRecord:
    assert prediction.rles is not None
    left, top, right, bottom = (float(value) for value in prediction.boxes_xyxy[row])
    return ObjectRecord(
        prompt=build_box(found, row),
        bbox=(left, top, right - left, bottom - top),
        mask_score=float(prediction.mask_scores[row]),
        area=int(prediction.areas[row]),
        segmentation=prediction.rles[row],
        **describe_label(prediction, rules, row, label, halves),
    )


def describe_label(
    prediction: Prediction,
    rules: LabelRules,
    row: int,
    label: ChosenLabel,
    halves: Halves | None,
) -> dict[str, Any]:
    """Return the fields of an object that follow from its label, and not from its mask."""
    head_score, clip_score = _find_probabilities(prediction, row, label.index, halves)
    category_id, name = rules.name_object(label.index, label.score)
    classes, is_named = rules.vocabulary.classes, prediction.is_named
    return {
        "category_id": category_id,
        "category": name,
        "score": label.score,
        "margin": float(prediction.margins[row]) if is_named else None,
        "detector_margin": label.detector_margin,
        "model_category": classes[int(prediction.labels[row])].name if is_named else None,
        "model_score": float(prediction.scores[row]) if is_named else None,
        "head_score": head_score,
        "clip_score": clip_score,
    }


def _find_probabilities(
    prediction: Prediction, row: int, label: int, halves: Halves | None
) -> tuple[float | None, float | None]:
    """Return the probability of a class by head and by CLIP; None where they cannot see it."""
    from ovsam.classifier import EXCLUDED  # imports torch, which labels alone need

    if halves is None:
        return None, None
    logits = prediction.head_logits[row, label], prediction.clip_logits[row, label]
    head, clip = (
        None if value <= EXCLUDED else min(1.0, math.exp(value - total))
        for value, total in zip(logits, halves.sums[:, row], strict=True)
    )
    return head, clip


def collect_opinions(
    prediction: Prediction,
    rules: LabelRules,
    row: int,
    label: ChosenLabel,
    halves: Halves | None,
) -> NameOpinions:
    """Return what else was thought of an object's name."""
    if halves is None:
        return NameOpinions(is_by_detector=label.is_by_detector)
    names = rules.vocabulary.names
    head, clip = halves.best[:, row].tolist()
    rival = _find_rival(prediction.fused_logits[row, :-1], label.index)
    return NameOpinions(
        names[head], names[clip], None if rival is None else names[rival], label.is_by_detector
    )


def _find_rival(fused: FloatArray, label: int) -> int | None:
    """Return the best class of (K,) logits but one; None where no other can be chosen."""
    from ovsam.classifier import EXCLUDED  # imports torch, which labels alone need

    others = fused.copy()
    others[label] = EXCLUDED
    best = int(others.argmax())
    return best if others[best] > EXCLUDED else None


def build_box(found: Detections, row: int) -> BoxRecord:
    """Return one detection as plain values."""
    prompt_id = -1 if found.prompt_ids is None else int(found.prompt_ids[row])
    ids, points = found.category_ids, found.points_xy
    return BoxRecord(
        detector_box_xyxy=tuple(found.boxes_xyxy[row].tolist()),
        detector_score=float(found.scores[row]),
        detector_category=found.category_names[row] if found.category_names else None,
        detector_category_id=None if ids is None else int(ids[row]),
        detector_point_xy=None if points is None else tuple(points[row].tolist()),
        prompt_id=prompt_id if prompt_id >= 0 else None,
    )
