"""Average precision and recall of a data set: ground truth and predictions in, numbers out.

The engine is our own ("fast", equal to the reference tools), or one of the reference tools.

Letters: K categories, A area ranges, T IoU thresholds, R recalls, M limits of predictions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ovsam_pipeline.evaluation.scoring.average_precision import Curves, compute_curves
from ovsam_pipeline.evaluation.scoring.matching import (
    AreaRule,
    match_predictions,
    select_predictions,
)
from ovsam_pipeline.evaluation.structures import (
    AREA_NAMES,
    IOU_THRESHOLDS,
    Categories,
    GroundTruth,
    IouType,
    Matches,
    Predictions,
)

Engine = Literal["fast", "faster-coco-eval", "reference"]

COCO_MAX_DETECTIONS = (1, 10, 100)
LVIS_MAX_DETECTIONS = (300,)


@dataclass(frozen=True, eq=False)
class DetectionScores:
    """How good predictions are.

    Attributes:
        iou_type: "bbox" or "segm".
        metrics: fractions by name ("AP", "AP50", "APs", "AR@100", …); -1 where undefined.
        per_category: "AP", "AP50", "AR" (fractions, -1 undefined), "num_truth",
            "num_predictions": (K,) each; K is 1 where categories are put together.
        curves: precision and recall.
        matches: who found what; None from the reference tools.
    """

    iou_type: IouType
    metrics: dict[str, float]
    per_category: dict[str, np.ndarray]
    curves: Curves
    matches: Matches | None


def score_detections(
    truth: GroundTruth,
    predictions: Predictions,
    iou_type: IouType,
    *,
    engine: Engine = "fast",
    class_agnostic: bool = False,
    area_rule: AreaRule = "auto",
) -> DetectionScores:
    """Compute average precision and recall.

    Args:
        truth: the annotations.
        predictions: the predictions.
        iou_type: compare boxes or masks.
        engine: "fast" is ours; "reference" runs pycocotools (COCO) or lvis-api (LVIS).
        class_agnostic: put all categories together.
        area_rule: see `match_predictions`.

    Returns:
        The scores.

    Raises:
        ConfigError: an engine or area rule that does not fit the data.
        DatasetError: masks are to be compared, and there are none.
        MissingDependencyError: the engine's package is not installed.
    """
    limits = LVIS_MAX_DETECTIONS if truth.is_lvis else COCO_MAX_DETECTIONS
    matches = None
    if engine == "fast":
        matches = match_predictions(
            truth, predictions, iou_type, class_agnostic=class_agnostic, area_rule=area_rule
        )
        curves = compute_curves(matches, max_detections=limits)
    else:
        from ovsam_pipeline.evaluation.scoring.reference_engines import compute_reference_curves

        curves = compute_reference_curves(
            truth,
            predictions,
            iou_type,
            engine=engine,
            class_agnostic=class_agnostic,
            area_rule=area_rule,
        )
    categories = None if class_agnostic else truth.categories
    metrics = summarize_curves(curves, categories, is_lvis=truth.is_lvis)
    counts = _count_by_category(truth, predictions, matches, class_agnostic)
    return DetectionScores(
        iou_type, metrics, {**_score_categories(curves), **counts}, curves, matches
    )


def summarize_curves(
    curves: Curves, categories: Categories | None, *, is_lvis: bool
) -> dict[str, float]:
    """Return the numbers that the reference tools print, under their names.

    Args:
        curves: precision and recall.
        categories: the K classes, for means over some of them; None leaves those out.
        is_lvis: with the means over rare, common and frequent classes.
    """
    precision, recall, last = curves.precision, curves.recall, curves.max_detections[-1]
    sizes = list(enumerate(AREA_NAMES))[1:]
    metrics = {
        "AP": _mean(precision[..., 0]),
        "AP50": _mean(precision[_at(0.5), ..., 0]),
        "AP75": _mean(precision[_at(0.75), ..., 0]),
        **{f"AP{name[0]}": _mean(precision[..., a]) for a, name in sizes},
    }
    if is_lvis and categories is not None:
        for letter in "rcf":
            chosen = [value == letter for value in categories.frequencies]
            metrics[f"AP{letter}"] = _mean(precision[:, :, chosen, 0])
    for index, limit in enumerate(curves.max_detections):
        metrics[f"AR@{limit}"] = _mean(recall[:, :, 0, index])
    for a, name in sizes:
        key = f"AR{name[0]}@{last}" if is_lvis else f"AR{name[0]}"
        metrics[key] = _mean(recall[:, :, a, -1])
    if categories is not None and any(categories.splits):
        for split in ("base", "novel"):
            chosen = [value == split for value in categories.splits]
            metrics[f"AP_{split}"] = _mean(precision[:, :, chosen, 0])
            metrics[f"AP50_{split}"] = _mean(precision[_at(0.5)][:, chosen, 0])
    return metrics


def _at(threshold: float) -> int:
    return int(np.argmin(np.abs(IOU_THRESHOLDS - threshold)))


def _mean(values: np.ndarray) -> float:
    """Return the mean of what is defined, -1 where nothing is."""
    defined = values[values > -1]
    return float(np.mean(defined)) if len(defined) else -1.0


def _score_categories(curves: Curves) -> dict[str, np.ndarray]:
    # An undefined category is -1 everywhere, so its mean is -1, too.
    return {
        "AP": curves.precision[..., 0].mean(axis=(0, 1)),
        "AP50": curves.precision[_at(0.5), ..., 0].mean(axis=0),
        "AR": curves.recall[:, :, 0, -1].mean(axis=0),
    }


def _count_by_category(
    truth: GroundTruth, predictions: Predictions, matches: Matches | None, class_agnostic: bool
) -> dict[str, np.ndarray]:
    """Return annotations that count, and predictions that take part: (K,) int64 each."""
    num_categories = 1 if class_agnostic else len(truth.categories)
    counts = ~truth.is_ignored & ((truth.areas > 0) | (not truth.is_lvis))
    annotated = truth.category_index[counts]
    if matches is None:
        predicted = predictions.category_index[select_predictions(truth, predictions)]
    else:
        predicted = matches.category_index
    if class_agnostic:
        annotated, predicted = np.zeros_like(annotated), np.zeros_like(predicted)
    return {
        "num_truth": np.bincount(annotated, minlength=num_categories),
        "num_predictions": np.bincount(predicted, minlength=num_categories),
    }
