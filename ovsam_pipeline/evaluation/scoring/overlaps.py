"""Intersection over union of predictions and annotations that may answer each other.

Only pairs of one group (image and category) are looked at, and masks only where their tight boxes
and areas leave room for the lowest threshold. The numbers are those of pycocotools, bit for bit.

Letters: P predictions, G annotations, E pairs.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ovsam.masks import compute_mask_areas, compute_mask_ious, compute_tight_boxes
from ovsam_pipeline.evaluation.reading.segment_store import check_size, draw_segmentation
from ovsam_pipeline.evaluation.structures import IOU_THRESHOLDS, GroundTruth, Predictions

# So that rounding never rules out a pair at the threshold.
_SLACK = 1e-9


def compute_pairs(
    prediction_groups: np.ndarray, truth_groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return every pair of a prediction and an annotation of its group; truth groups ascend.

    They are (E,) positions of predictions, ascending, and (E,) of annotations, ascending within
    each prediction.
    """
    first = np.searchsorted(truth_groups, prediction_groups, side="left")
    counts = np.searchsorted(truth_groups, prediction_groups, side="right") - first
    p = np.repeat(np.arange(len(prediction_groups)), counts)
    within = np.arange(len(p)) - np.repeat(np.cumsum(counts) - counts, counts)
    return p, np.repeat(first, counts) + within


def compute_box_overlaps(
    predicted_xywh: np.ndarray, truth_xywh: np.ndarray, is_crowd: np.ndarray
) -> np.ndarray:
    """Return the overlap of (E, 4) boxes, pair by pair: (E,) float64, 0 where they do not meet.

    Where `is_crowd`, it is the intersection over the prediction's area instead of over the union.
    """
    # In pycocotools' order of operations: another one rounds otherwise, and so orders ties.
    intersections = _intersect(predicted_xywh, truth_xywh)
    areas = predicted_xywh[:, 2] * predicted_xywh[:, 3]
    truth_areas = truth_xywh[:, 2] * truth_xywh[:, 3]
    unions = np.where(is_crowd, areas, areas + truth_areas - intersections)
    return np.divide(intersections, unions, out=np.zeros(len(unions)), where=intersections > 0)


def compute_mask_overlaps(
    truth: GroundTruth,
    predictions: Predictions,
    rows: tuple[np.ndarray, np.ndarray],
    pairs: tuple[np.ndarray, np.ndarray],
    groups: np.ndarray,
) -> np.ndarray:
    """Return the overlap of masks, pair by pair: (E,), 0 also below the lowest threshold.

    `rows`: (P,) rows of the predictions and (G,) of the annotations that `pairs` index. `pairs`:
    (E,) positions of predictions, ascending, and (E,) of annotations. `groups`: (E,) group of each
    pair, ascending.
    """
    overlaps = np.zeros(len(groups))
    used_p, p = np.unique(pairs[0], return_inverse=True)
    used_t, t = np.unique(pairs[1], return_inverse=True)
    prediction_rows, truth_rows = rows[0][used_p], rows[1][used_t]
    predicted = read_prediction_rles(truth, predictions, prediction_rows)
    annotated = truth.segments.read_many(truth.segment_rows[truth_rows])
    is_crowd = truth.is_crowd[truth_rows]

    # What boxes and areas rule out, without drawing a polygon or decoding a run: most pairs.
    boxes, areas = compute_tight_boxes(predicted), compute_mask_areas(predicted)
    sizes_hw = truth.image_sizes_hw[truth.image_index[truth_rows]].tolist()
    truth_boxes, truth_areas = _bound_annotations(annotated, sizes_hw)
    most = np.minimum(_intersect(boxes[p], truth_boxes[t]), areas[p])
    # Against a crowd the prediction's area is the divisor; else it is at most the union.
    divisor = np.where(
        is_crowd[t] | np.isnan(truth_areas[t]), areas[p], np.fmax(areas[p], truth_areas[t])
    )
    within_reach = np.flatnonzero((most > 0) & (most >= (IOU_THRESHOLDS[0] - _SLACK) * divisor))

    for position in np.unique(t[within_reach]).tolist():
        annotated[position] = draw_segmentation(annotated[position], *sizes_hw[position])
    crowds = is_crowd.tolist()
    p, t = p[within_reach], t[within_reach]
    # A call per group, as pycocotools gives all overlaps of two lists: of all at once far too many.
    starts = np.flatnonzero(np.diff(groups[within_reach], prepend=-1)).tolist()
    for start, stop in pairwise([*starts, len(within_reach)]):
        chosen = slice(start, stop)
        pair = (p[chosen].tolist(), t[chosen].tolist())
        overlaps[within_reach[chosen]] = _compute_group(predicted, annotated, pair, crowds)
    return overlaps


def read_prediction_rles(
    truth: GroundTruth, predictions: Predictions, rows: np.ndarray
) -> list[dict[str, Any]]:
    """Return the masks of predictions as RLE; an empty mask where there is none."""
    sizes_hw = truth.image_sizes_hw[predictions.image_index[rows]]
    return predictions.segments.read_rles(predictions.segment_rows[rows], sizes_hw)


def _compute_group(
    predicted: list[dict[str, Any]],
    annotated: list[Any],
    pairs: tuple[list[int], list[int]],
    is_crowd: list[bool],
) -> np.ndarray:
    """Return the overlaps of the pairs of one group: (e,) float64."""
    some_p, some_t = (list(dict.fromkeys(side)) for side in pairs)
    ious = compute_mask_ious(
        [predicted[k] for k in some_p],
        [annotated[k] for k in some_t],
        [int(is_crowd[k]) for k in some_t],
    )
    if ious.size == 1:  # the usual case
        return ious[0]
    row_of = {k: row for row, k in enumerate(some_p)}
    column_of = {k: column for column, k in enumerate(some_t)}
    return ious[[row_of[k] for k in pairs[0]], [column_of[k] for k in pairs[1]]]


def _bound_annotations(
    segmentations: list[Any], sizes_hw: list[list[int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes that surely hold the masks, (G, 4), and their areas, (G,), NaN if not known."""
    boxes, areas = np.zeros((len(segmentations), 4)), np.full(len(segmentations), np.nan)
    are_rles = [isinstance(item, dict) for item in segmentations]
    rles = [draw_segmentation(item, 0, 0) for item in segmentations if isinstance(item, dict)]
    boxes[are_rles], areas[are_rles] = compute_tight_boxes(rles), compute_mask_areas(rles)
    for position, rings in enumerate(segmentations):
        if isinstance(rings, list) and rings:
            check_size(*sizes_hw[position])
            boxes[position] = _bound_polygons(rings, *sizes_hw[position])
    return boxes, areas


def _bound_polygons(rings: list[list[float]], height: int, width: int) -> tuple[float, ...]:
    """Return a box x, y, w, h that surely holds the drawn polygons."""
    x = np.concatenate([np.asarray(ring[0::2], np.float64) for ring in rings])
    y = np.concatenate([np.asarray(ring[1::2], np.float64) for ring in rings])
    low_x, low_y, high_x, high_y = x.min(), y.min(), x.max(), y.max()
    if low_x < 0 or low_y < 0 or high_x > width or high_y > height:
        # Parts outside are drawn on the border: nothing is sure.
        return (-1.0, -1.0, width + 2.0, height + 2.0)
    # Drawing rounds to pixels: two of room on every side.
    return (low_x - 2, low_y - 2, high_x - low_x + 4, high_y - low_y + 4)


def _intersect(first_xywh: np.ndarray, second_xywh: np.ndarray) -> np.ndarray:
    """Return the area that boxes share, pair by pair: (E,) float64."""
    x, y, w, h = first_xywh.T
    x2, y2, w2, h2 = second_xywh.T
    width = np.minimum(w + x, w2 + x2) - np.maximum(x, x2)
    height = np.minimum(h + y, h2 + y2) - np.maximum(y, y2)
    return np.where((width > 0) & (height > 0), width * height, 0.0)
