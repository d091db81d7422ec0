"""Precision and recall over rank: `Matches` in, `Curves` out, with the numbers of pycocotools.

Precision can only be highest at a right prediction, so only those are looked at. With weights of
images (bootstrap) sort once with `sort_matches`, then compute as often as needed.

Letters: N predictions, K categories, T IoU thresholds, A area ranges, R recalls, M limits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ovsam_pipeline.evaluation.structures import RECALL_THRESHOLDS, Matches


@dataclass(frozen=True, eq=False)
class Curves:
    """Precision and recall; -1 where a category has no annotation to be found.

    Attributes:
        precision: (T, R, K, A) float64 at the highest limit.
        recall: (T, K, A, M) float64.
        max_detections: the M limits, ascending.
    """

    precision: np.ndarray
    recall: np.ndarray
    max_detections: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class SortedMatches:
    """Matches by category and falling score, split by area range and threshold.

    Attributes:
        shape: K, A, T.
        image_index: (N,) int32.
        ranks: (N,) int32.
        category_index: (N,) int32, ascending.
        right: A * T times the positions of right predictions, ascending.
        wrong: (A * T, N) bool.
        matches: where they come from.
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
    order = np.lexsort((-matches.scores, matches.category_index))
    category = matches.category_index[order]
    num, num_areas, num_thresholds = matches.matched.shape
    columns = (num, num_areas * num_thresholds)
    counts = ~matches.ignored.reshape(columns)[order]
    matched = matches.matched.reshape(columns)[order]
    right = counts & matched
    # Behind the last right prediction of its category nothing changes a curve.
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

    Args:
        matches: as matched with the highest limit; sorted ones save time when asked repeatedly.
        max_detections: M limits, ascending: the recall is that of the best so many of an image and
            category.
        image_weights: (I,) integers or floats, how often each image counts (bootstrap); None: once.

    Returns:
        The curves.
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
    in_area = matches.truth_in_area
    if in_area is None:
        in_area = np.zeros((len(matches.truth_rows), table.shape[1]), bool)
        in_area[:, 0] = True
    weights = image_weights[matches.truth_image_index]
    category = matches.truth_category_index
    return np.stack(
        [
            np.bincount(category, weights=weights * column, minlength=table.shape[0])
            for column in in_area.T
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
    """Return the highest precision at every recall or beyond: (K, R) float64."""
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
    precision = tp / (fp + tp + np.spacing(1))
    reached = np.searchsorted(RECALL_THRESHOLDS, tp / num_truth[category], side="right") - 1
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
    """Return the share that was found, for every limit: (K, M) float64."""
    found = np.empty((len(num_truth), len(max_detections)))
    for index, limit in enumerate(max_detections):
        some = positions[table.ranks[positions] < limit]
        found[:, index] = np.bincount(
            table.category_index[some],
            weights=None if weights is None else weights[some],
            minlength=len(num_truth),
        )
    return found / np.where(num_truth > 0, num_truth, 1)[:, None]
