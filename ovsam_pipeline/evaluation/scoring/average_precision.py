"""Average precision and recall: ground truth and predictions in, `DetectionScores` out.

match predictions (or run a reference tool) → curves of precision and recall → the numbers that the
reference tools print. With weights of images (bootstrap) sort the matches once with `sort_matches`,
then compute curves as often as needed.

Letters: N predictions, K categories, T IoU thresholds, A area ranges, R recalls, M limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ovsam_pipeline.evaluation.scoring.matching import (
    AreaRule,
    match_predictions,
    select_predictions,
)
from ovsam_pipeline.evaluation.structures import (
    AREA_NAMES,
    IOU_THRESHOLDS,
    RECALL_THRESHOLDS,
    Categories,
    Curves,
    GroundTruth,
    IouType,
    Matches,
    Predictions,
)

Engine = Literal["fast", "faster-coco-eval", "reference"]


@dataclass(frozen=True, eq=False)
class DetectionScores:
    """How good predictions are.

    Attributes:
        metrics: fractions by name ("AP", "AP50", "APs", "AR@100", …); -1 where undefined.
        per_category: "AP", "AP50", "AR" (fractions, -1 undefined), "num_truth",
            "num_predictions": (K,) each; K is 1 where categories are put together.
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
    """Compute average precision and recall of boxes or masks.

    The engine "fast" is ours; "reference" runs pycocotools (COCO) or lvis-api (LVIS). For the rest
    see `match_predictions`.
    """
    matches = curves = None
    if engine != "fast":
        from ovsam_pipeline.evaluation.scoring.reference_engines import compute_reference_curves

        curves = compute_reference_curves(
            truth, predictions, iou_type,
            engine=engine, class_agnostic=class_agnostic, area_rule=area_rule,
        )  # fmt: skip
    if curves is None:
        matches = match_predictions(
            truth, predictions, iou_type, class_agnostic=class_agnostic, area_rule=area_rule
        )
        curves = compute_curves(matches, max_detections=truth.max_detections)
    categories = None if class_agnostic else truth.categories
    return DetectionScores(
        iou_type,
        _summarize(curves, categories, is_lvis=truth.is_lvis),
        _score_categories(curves)
        | _count_by_category(truth, predictions, matches, class_agnostic=class_agnostic),
        curves,
        matches,
    )


@dataclass(frozen=True, eq=False)
class SortedMatches:
    """Matches by category and falling score, split by area range and threshold.

    Attributes:
        image_index: (N,) int32.
        ranks: (N,) int32.
        category_index: (N,) int32, ascending.
        right: A * T times the positions of right predictions, ascending.
        wrong: (A * T, N) bool.
    """

    shape: tuple[int, int, int]
    image_index: np.ndarray
    ranks: np.ndarray
    category_index: np.ndarray
    right: tuple[np.ndarray, ...]
    wrong: np.ndarray
    matches: Matches


def sort_matches(matches: Matches) -> SortedMatches:
    """Sort matches by category and falling score; equal scores by image, then rank."""
    # Stable, so ties stay in the order that `Matches` has; the reference tools have the same.
    order = np.lexsort((-matches.scores, matches.category_index))
    category = matches.category_index[order]
    num, num_areas, num_thresholds = matches.matched.shape
    columns = (num, num_areas * num_thresholds)
    counts = ~matches.ignored.reshape(columns)[order]
    matched = matches.matched.reshape(columns)[order]
    right = counts & matched
    # After the last right prediction of its category nothing changes a curve: leave the rest out.
    hits = np.flatnonzero(right.any(axis=1))
    last = np.full(len(matches.num_truth), -1)
    last[category[hits]] = hits
    kept = np.arange(num) <= last[category]
    order, right = order[kept], right[kept]
    return SortedMatches(
        shape=(len(matches.num_truth), num_areas, num_thresholds),
        image_index=matches.image_index[order],
        ranks=matches.ranks[order],
        category_index=category[kept],
        right=tuple(np.flatnonzero(column) for column in right.T),
        wrong=np.ascontiguousarray((counts & ~matched)[kept].T),
        matches=matches,
    )


def compute_curves(
    matches: Matches | SortedMatches,
    *,
    max_detections: tuple[int, ...],
    image_weights: np.ndarray | None = None,
) -> Curves:
    """Compute precision over recall, and recall, for every category.

    `max_detections`: m limits, ascending: the recall is that of the best so many of an image and
    category. Precision is at the limit of the matches. `image_weights`: (I,) integers or floats,
    how often each image counts (bootstrap); None: once.
    """
    table = matches if isinstance(matches, SortedMatches) else sort_matches(matches)
    num_categories, num_areas, num_thresholds = table.shape
    num_truth = _count_truth(table, image_weights)
    weights = None if image_weights is None else image_weights[table.image_index]
    limits = (num_thresholds, num_categories, num_areas, len(max_detections))
    precision = np.empty((num_thresholds, len(RECALL_THRESHOLDS), num_categories, num_areas))
    recall = np.empty(limits)
    for column, positions in enumerate(table.right):
        a, t = divmod(column, num_thresholds)
        wrong = table.wrong[column]
        # Columns one by one: all at once would be N * A * T floats.
        precision[t, :, :, a] = _compute_precision(
            positions, wrong, weights, table.category_index, num_truth[:, a]
        ).T
        recall[t, :, a] = _compute_recall(
            table, positions, weights, num_truth[:, a], max_detections
        )
    undefined = num_truth <= 0
    precision[:, :, undefined] = -1
    recall[:, undefined] = -1
    return Curves(precision, recall, tuple(max_detections))


def _count_truth(table: SortedMatches, image_weights: np.ndarray | None) -> np.ndarray:
    """Return the annotations to be found, (K, A), counted as often as their images."""
    matches = table.matches
    if image_weights is None:
        return matches.num_truth
    weights = image_weights[matches.truth_image_index]
    category = matches.truth_category_index
    return np.stack(
        [
            np.bincount(category, weights=weights * column, minlength=table.shape[0])
            for column in matches.truth_in_area.T
        ],
        axis=1,
    )


def _compute_precision(
    positions: np.ndarray,
    wrong: np.ndarray,
    weights: np.ndarray | None,
    category_index: np.ndarray,
    num_truth: np.ndarray,
) -> np.ndarray:
    """Return the highest precision at every recall or beyond: (K, R) float64.

    Precision falls at every wrong prediction, so it can be highest only at a right one: only
    `positions` are looked at, at which sums over all predictions are taken.
    """
    num_categories = len(num_truth)
    result = np.zeros((num_categories, len(RECALL_THRESHOLDS)))
    category = category_index[positions]
    kept = num_truth[category] > 0
    positions, category = positions[kept], category[kept]
    if not len(positions):
        return result
    every = np.arange(num_categories)
    hits = _sum_up(np.ones(len(positions), int) if weights is None else weights[positions])
    misses = _sum_up(wrong if weights is None else wrong * weights)
    tp = hits[1:] - hits[np.searchsorted(category, every)][category]
    fp = misses[positions + 1] - misses[np.searchsorted(category_index, every)][category]
    # np.spacing(1) is in pycocotools' formula; without it numbers differ in the last digits.
    precision = tp / (fp + tp + np.spacing(1))
    reached = np.searchsorted(RECALL_THRESHOLDS, tp / num_truth[category], side="right") - 1
    # The highest precision that each recall is reached with, then of all higher recalls.
    keys = category.astype(np.int64) * len(RECALL_THRESHOLDS) + reached
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    result.flat[keys[starts]] = np.maximum.reduceat(precision, starts)
    return np.maximum.accumulate(result[:, ::-1], axis=1)[:, ::-1]


def _sum_up(values: np.ndarray) -> np.ndarray:
    """Return sums of the first 0, 1, … values: (N + 1,)."""
    kind = np.float64 if values.dtype.kind == "f" else np.int64
    result = np.zeros(len(values) + 1, kind)
    np.cumsum(values, out=result[1:])
    return result


def _compute_recall(
    table: SortedMatches,
    positions: np.ndarray,
    weights: np.ndarray | None,
    num_truth: np.ndarray,
    max_detections: tuple[int, ...],
) -> np.ndarray:
    """Return the fraction that was found, for every limit: (K, M) float64."""
    found = np.empty((len(num_truth), len(max_detections)))
    for index, limit in enumerate(max_detections):
        some = positions[table.ranks[positions] < limit]
        found[:, index] = np.bincount(
            table.category_index[some],
            weights=None if weights is None else weights[some],
            minlength=len(num_truth),
        )
    # Where there is nothing to find the caller writes -1.
    return found / np.where(num_truth > 0, num_truth, 1)[:, None]


def _summarize(curves: Curves, categories: Categories | None, *, is_lvis: bool) -> dict[str, float]:
    """Return the numbers that the reference tools print, under their names.

    Without `categories` (all put together) there are no means over some of them.
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
    truth: GroundTruth, predictions: Predictions, matches: Matches | None, *, class_agnostic: bool
) -> dict[str, np.ndarray]:
    """Return annotations that count, and predictions that take part: (K,) int64 each."""
    # LVIS: annotations without area do not take part, see `match_predictions`.
    counts = ~truth.is_ignored & ((truth.areas > 0) | (not truth.is_lvis))
    annotated = truth.category_index[counts]
    if matches is None:
        predicted = predictions.category_index[select_predictions(truth, predictions)]
    else:
        predicted = matches.category_index
    if class_agnostic:
        return {
            "num_truth": np.array([len(annotated)]),
            "num_predictions": np.array([len(predicted)]),
        }
    size = len(truth.categories)
    return {
        "num_truth": np.bincount(annotated, minlength=size),
        "num_predictions": np.bincount(predicted, minlength=size),
    }
