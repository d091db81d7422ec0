"""How each annotation was answered: `InstanceScores`.

`measure_instances` compares each prediction with the annotation that prompted it, no matter how it
scores: the paper's mean IoU over annotations, and the accuracy of their labels. `find_objects` does
the same for detections, where nothing names the annotation that a box is of.

Letters: G annotations, N predictions, n annotations that count.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ovsam.masks import compute_mask_areas, intersect_masks
from ovsam_pipeline.evaluation.reading.columns import find_positions
from ovsam_pipeline.evaluation.scoring.matching import match_predictions
from ovsam_pipeline.evaluation.structures import GroundTruth, Predictions

# Added to the union. Source: the paper's evaluation.
_EPSILON = 1e-8
# Pairs of masks in memory at once.
_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class InstanceScores:
    """How well each annotation was answered; sorted as the ground truth.

    Attributes:
        truth_rows: (n,) int64 rows of the GroundTruth.
        ious: (n,) float64, 0 without an answer.
        is_right: (n,) bool whether the predicted class is the annotation's.
        has_answer: (n,) bool.
        prediction_rows: (n,) int64 rows of the Predictions, -1 without an answer.
        metrics: "iou", "accuracy" (fractions, None where nothing counts) and "instances" (how
            many), the same with "_base" and "_novel"; and annotations or predictions that
            `measure_instances` treats on their own. Empty for detections.
    """

    truth_rows: np.ndarray
    ious: np.ndarray
    is_right: np.ndarray
    has_answer: np.ndarray
    prediction_rows: np.ndarray
    metrics: dict[str, float | int | None] = field(default_factory=dict)


def measure_instances(truth: GroundTruth, predictions: Predictions) -> InstanceScores:
    """Compare each annotation with the first prediction that it prompted, by masks.

    Crowds and ignored annotations are left out; with a base/novel split so are those of classes in
    neither set, as the paper's filter does.
    """
    split_of = truth.categories.get_splits(truth.category_index)
    is_prompted = ~(truth.is_crowd | truth.is_ignored)
    is_split_off = is_prompted & (split_of == "") & any(truth.categories.splits)
    is_answered = predictions.answered_images[truth.image_index]
    is_counted = is_prompted & ~is_split_off
    rows = np.flatnonzero(is_counted & is_answered)
    found, num_repeated = _find_answers(truth, predictions, rows)
    ious = np.zeros(len(rows))
    has_answer = found >= 0
    ious[has_answer] = _compute_ious(truth, rows[has_answer], predictions, found[has_answer])
    is_right = _compare_classes(truth, rows, predictions, found)
    metrics = {
        **_average("", ious, is_right, np.ones(len(rows), bool)),
        **_average("_base", ious, is_right, split_of[rows] == "base"),
        **_average("_novel", ious, is_right, split_of[rows] == "novel"),
        # Left out: their image failed, or was not predicted on.
        "instances_unanswered": int((is_counted & ~is_answered).sum()),
        # Counted as IoU 0 and wrong: their image was answered, they were not.
        "instances_missing": int((~has_answer).sum()),
        # Further predictions of one prompt, and annotations that the split leaves out.
        "instances_repeated": num_repeated,
        "instances_in_neither_split": int(is_split_off.sum()),
    }
    return InstanceScores(rows, ious, is_right, has_answer, found, metrics)


def find_objects(truth: GroundTruth, predictions: Predictions) -> InstanceScores:
    """Match boxes at an IoU of 0.5 without looking at classes, the best-scoring ones first.

    AP compares within a class: a cat that is called a dog is for it a dog too many and a cat too
    few. Here boxes are matched first and classes compared then, so confusions can be counted.
    """
    matches = match_predictions(truth, predictions, "bbox", class_agnostic=True)
    rows, found = matches.truth_rows, matches.found_by
    is_right = _compare_classes(truth, rows, predictions, found)
    return InstanceScores(rows, matches.found_iou, is_right, found >= 0, found)


def _compare_classes(
    truth: GroundTruth, rows: np.ndarray, predictions: Predictions, found: np.ndarray
) -> np.ndarray:
    """Return (n,) bool whether the answers (-1: none) have the class of the annotations."""
    is_right = np.zeros(len(rows), bool)
    has_answer = found >= 0
    is_right[has_answer] = (
        predictions.category_index[found[has_answer]] == truth.category_index[rows[has_answer]]
    )
    return is_right


def _find_answers(
    truth: GroundTruth, predictions: Predictions, rows: np.ndarray
) -> tuple[np.ndarray, int]:
    """Return the first prediction of each annotation (-1: none), and how many are further ones.

    An annotation's id on a prediction of another image answers nothing.
    """
    prompted = np.flatnonzero(predictions.prompt_ids >= 0)
    ids, first = np.unique(predictions.prompt_ids[prompted], return_index=True)
    positions = find_positions(ids, truth.annotation_ids[rows])
    found = np.full(len(rows), -1, np.int64)
    is_named = positions >= 0
    found[is_named] = prompted[first[positions[is_named]]]
    is_same = predictions.image_index[found[is_named]] == truth.image_index[rows[is_named]]
    found[is_named] = np.where(is_same, found[is_named], -1)
    return found, len(prompted) - len(ids)


def _compute_ious(
    truth: GroundTruth, truth_rows: np.ndarray, predictions: Predictions, rows: np.ndarray
) -> np.ndarray:
    """Return |both| / (|either| + 1e-8) of pairs of masks; 0 where their sizes differ."""
    ious = np.zeros(len(rows))
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        wanted, given = truth_rows[part], rows[part]
        sizes_hw = truth.image_sizes_hw[truth.image_index[wanted]]
        annotated = truth.segments.read_rles(truth.segment_rows[wanted], sizes_hw)
        answers = predictions.segments.read_rles(predictions.segment_rows[given], sizes_hw)
        pairs = list(zip(annotated, answers, strict=True))
        is_comparable = np.array([list(a["size"]) == list(b["size"]) for a, b in pairs], bool)
        # pycocotools cannot intersect masks of different sizes.
        kept = [pair for pair, keeps in zip(pairs, is_comparable.tolist(), strict=True) if keeps]
        both = compute_mask_areas([intersect_masks(a, b) for a, b in kept])
        sums = compute_mask_areas([a for a, _ in kept]) + compute_mask_areas([b for _, b in kept])
        ious[start + np.flatnonzero(is_comparable)] = both / (sums - both + _EPSILON)
    return ious


def _average(
    suffix: str, ious: np.ndarray, is_right: np.ndarray, is_meant: np.ndarray
) -> dict[str, float | int | None]:
    count = int(is_meant.sum())
    return {
        f"iou{suffix}": float(ious[is_meant].mean()) if count else None,
        f"accuracy{suffix}": float(is_right[is_meant].mean()) if count else None,
        f"instances{suffix}": count,
    }
