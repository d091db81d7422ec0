"""Which prediction finds which annotation: ground truth and predictions in, `Matches` out.

The greedy rule of pycocotools (COCO) and lvis-api (LVIS), at every IoU threshold and for every area
range at once. Groups (an image and a category, or an image where categories are put together) do
not touch each other, so all groups go step by step together: first the best prediction of each,
then the second, and only those that overlap something enough.

Letters: N predictions, G annotations, K categories, E pairs, A area ranges, T IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ovsam.errors import ConfigError
from ovsam.masks import compute_mask_areas
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.columns import rank_in_group
from ovsam_pipeline.evaluation.scoring.overlaps import (
    compute_box_overlaps,
    compute_mask_overlaps,
    compute_pairs,
)
from ovsam_pipeline.evaluation.structures import (
    AREA_RANGES,
    IOU_THRESHOLDS,
    GroundTruth,
    IouType,
    Matches,
    Predictions,
)

AreaRule = Literal["auto", "box", "mask"]

# A pair takes about 0.5 kB while it is matched: every area range and threshold has its values.
_PAIRS_IN_MEMORY = 200_000
# Source: COCO evaluation; the cap keeps a threshold of 1 within reach.
_LOWEST_IOUS = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)


@dataclass(frozen=True, eq=False)
class _Table:
    """Predictions and annotations of all groups, both sorted by group."""

    rows: np.ndarray  # (N,) of the predictions; within a group by falling score
    groups: np.ndarray  # (N,) int64
    ranks: np.ndarray  # (N,) int32 within the group
    truth_rows: np.ndarray  # (G,) of the annotations; within a group in the order of the file
    truth_groups: np.ndarray  # (G,) int64
    truth_ignored: np.ndarray  # (G, A) bool


def match_predictions(
    truth: GroundTruth,
    predictions: Predictions,
    iou_type: IouType,
    *,
    class_agnostic: bool = False,
    area_rule: AreaRule = "auto",
) -> Matches:
    """Find for every prediction whether it is right, wrong, or does not count.

    The best 100 predictions of an image and category take part (COCO; of an image where categories
    are put together), or the best 300 of an image (LVIS). Those without a category of the ground
    truth do not. By `area_rule` the area of a prediction is that of its box, of its mask, or as in
    the reference tools ("auto"): of the box where the file states boxes.
    """
    if iou_type == "segm" and len(predictions) and not predictions.has_masks:
        raise DatasetError(
            f"{predictions.title}: masks are to be compared, but the predictions have none (the "
            "first one decides for all); evaluate boxes (--type bbox), or give results with "
            "`segmentation`"
        )
    if iou_type == "segm" and not truth.has_masks:
        raise DatasetError(
            f"{truth.title}: masks are to be compared, but no annotation has a segmentation; "
            "evaluate boxes (--type bbox)"
        )
    table = _build_table(truth, predictions, class_agnostic)
    areas = compute_prediction_areas(truth, predictions, table.rows, area_rule)[:, None]
    if truth.is_lvis:
        # As lvis-api, which looks up both sides by "area > 0".
        kept = areas[:, 0] > 0
        rows, groups, areas = table.rows[kept], table.groups[kept], areas[kept]
        table = replace(table, rows=rows, groups=groups, ranks=rank_in_group(groups))
    left_out = (areas < AREA_RANGES[:, 0]) | (areas > AREA_RANGES[:, 1])
    if truth.is_lvis:
        # What is found of a class whose objects are not all annotated cannot be called wrong.
        codes = _encode(predictions, table.rows, len(truth.categories))
        left_out |= np.isin(codes, truth.not_exhaustive)[:, None]
    shape = (len(table.rows), len(AREA_RANGES), len(IOU_THRESHOLDS))
    matched = np.zeros(shape, bool)
    ignored = np.repeat(left_out[:, :, None], shape[2], axis=2)
    found_by = np.full(len(table.truth_rows), -1, np.int64)
    found_iou = np.zeros(len(table.truth_rows))
    for p, t in _iterate_pairs(table):
        ious = _compute_overlaps(truth, predictions, table, iou_type, (p, t))
        close = ious >= _LOWEST_IOUS[0]
        found = _match_greedily(truth, table, (p[close], t[close], ious[close]), matched, ignored)
        found_by[found[0]], found_iou[found[0]] = table.rows[found[1]], found[2]

    category = predictions.category_index[table.rows]
    truth_category = truth.category_index[table.truth_rows]
    num_categories = len(truth.categories)
    if class_agnostic:
        category, truth_category = np.zeros_like(category), np.zeros_like(truth_category)
        num_categories = 1
    in_area = ~table.truth_ignored
    num_truth = np.stack(
        [np.bincount(truth_category[column], minlength=num_categories) for column in in_area.T],
        axis=1,
    ).astype(np.int64)
    # Stable: within a category rows stay in the order of groups, which is that of images.
    order, counts = np.argsort(category, kind="stable"), in_area[:, 0]
    return Matches(
        rows=table.rows[order],
        image_index=predictions.image_index[table.rows[order]],
        category_index=category[order],
        ranks=table.ranks[order],
        scores=predictions.scores[table.rows[order]],
        matched=matched[order],
        ignored=ignored[order],
        num_truth=num_truth,
        truth_image_index=truth.image_index[table.truth_rows[counts]],
        truth_category_index=truth_category[counts],
        truth_in_area=in_area[counts],
        truth_rows=table.truth_rows[counts],
        found_by=found_by[counts],
        found_iou=found_iou[counts],
    )


def select_predictions(truth: GroundTruth, predictions: Predictions) -> np.ndarray:
    """Return the rows that take part, before the cut by category: (N',) int64, ascending.

    LVIS: the best of every image, of categories that the image is annotated for. COCO: all.
    """
    rows = np.flatnonzero(predictions.category_index >= 0)
    if not truth.is_lvis:
        return rows
    rows = rows[predictions.ranks[rows] < truth.max_detections[-1]]
    num_categories = len(truth.categories)
    present = _encode(truth, np.flatnonzero(truth.areas > 0), num_categories)
    codes = _encode(predictions, rows, num_categories)
    return rows[np.isin(codes, np.concatenate([present, truth.negative]))]


def put_classes_together(truth: GroundTruth, predictions: Predictions) -> Predictions:
    """Return predictions of which those without a class of the truth take part, too.

    Where classes are not looked at, any will do; so a detector's boxes can be measured that have
    none. LVIS's images are annotated for some classes only: there a DatasetError says so.
    """
    if not predictions.has_classes and truth.is_lvis:
        raise DatasetError(
            f"{predictions.title}: boxes without classes cannot be measured by LVIS's rules, by "
            "which an image is annotated for some classes only; measure on COCO annotations"
        )
    if truth.is_lvis:
        return predictions
    return replace(predictions, category_index=np.maximum(predictions.category_index, 0))


def count_beyond_limit(
    truth: GroundTruth, predictions: Predictions, *, class_agnostic: bool
) -> None:
    """Tell how many predictions are beyond the number of an image that counts."""
    rows = np.flatnonzero(predictions.category_index >= 0)
    image = predictions.image_index[rows].astype(np.int64)
    by_class = not (class_agnostic or truth.is_lvis)
    groups = image * len(truth.categories) + predictions.category_index[rows] if by_class else image
    limit = truth.max_detections[-1]
    num = int((np.unique(groups, return_counts=True)[1] - limit).clip(min=0).sum())
    what = "an image and class" if by_class else "an image"
    predictions.problems.add(
        f"predictions are beyond the best {limit} of {what}, which count: left out (--max-det)",
        [],
        num,
    )


def compute_prediction_areas(
    truth: GroundTruth, predictions: Predictions, rows: np.ndarray, area_rule: AreaRule
) -> np.ndarray:
    """Return the areas in pixels by which predictions are small, medium or large: (n,) float64."""
    if area_rule == "box" or (area_rule == "auto" and predictions.has_boxes):
        return predictions.boxes_xywh[rows, 2] * predictions.boxes_xywh[rows, 3]
    areas = predictions.areas[rows].astype(np.float64)
    unknown = np.flatnonzero(np.isnan(areas))
    if len(unknown) and not predictions.has_masks:
        raise ConfigError(
            f"the area rule is {area_rule!r}, but {predictions.title} has no masks; use the area "
            'rule "box"'
        )
    sizes_hw = truth.image_sizes_hw[predictions.image_index[rows[unknown]]]
    segment_rows = predictions.segment_rows[rows[unknown]]
    for some, rles in predictions.segments.iterate_rles(segment_rows, sizes_hw):
        areas[unknown[some]] = compute_mask_areas(rles)
    return areas


def _build_table(truth: GroundTruth, predictions: Predictions, class_agnostic: bool) -> _Table:
    rows = select_predictions(truth, predictions)
    num_categories = len(truth.categories)
    codes = _encode(predictions, rows, num_categories)
    truth_codes = _encode(truth, np.arange(len(truth.areas)), num_categories)
    # A code is image * K + category, so that what is left of it is the image.
    group_size = num_categories if class_agnostic else 1
    groups = codes // group_size
    # The codes sort by category within an image: the order in which pycocotools joins categories.
    order = np.lexsort((codes, -predictions.scores[rows], groups))
    rows, groups = rows[order], groups[order]
    ranks = rank_in_group(groups)
    if not truth.is_lvis:  # there `select_predictions` has cut, by image
        kept = ranks < truth.max_detections[-1]
        rows, groups, ranks = rows[kept], groups[kept], ranks[kept]
    truth_rows = np.argsort(truth_codes, kind="stable")
    if truth.is_lvis:
        truth_rows = truth_rows[truth.areas[truth_rows] > 0]
    areas = truth.areas[truth_rows, None]
    ignored = (
        truth.is_ignored[truth_rows, None]
        | (areas < AREA_RANGES[:, 0])
        | (areas > AREA_RANGES[:, 1])
    )
    return _Table(rows, groups, ranks, truth_rows, truth_codes[truth_rows] // group_size, ignored)


def _encode(table: GroundTruth | Predictions, rows: np.ndarray, num_categories: int) -> np.ndarray:
    """Return image and category of rows as one number: (n,) int64."""
    return table.image_index[rows].astype(np.int64) * num_categories + table.category_index[rows]


def _iterate_pairs(table: _Table) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of one group, prediction and annotation, whole groups at a time."""
    groups = table.groups
    first = np.searchsorted(table.truth_groups, groups, side="left")
    counts = np.searchsorted(table.truth_groups, groups, side="right") - first
    ends = np.cumsum(counts)
    start = 0
    while start < len(groups):
        seen = ends[start - 1] if start else 0
        # A group is never split: its predictions compete for its annotations.
        last = min(int(np.searchsorted(ends, seen + _PAIRS_IN_MEMORY)), len(groups) - 1)
        stop = int(np.searchsorted(groups, groups[last], side="right"))
        p, t = compute_pairs(groups[start:stop], table.truth_groups)
        if len(p):
            yield p + start, t
        start = stop


def _compute_overlaps(
    truth: GroundTruth,
    predictions: Predictions,
    table: _Table,
    iou_type: IouType,
    pairs: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Return the overlap of each pair: (E,) float64."""
    p, t = pairs
    if iou_type == "segm":
        rows = (table.rows, table.truth_rows)
        return compute_mask_overlaps(truth, predictions, rows, pairs, table.groups[p])
    truth_rows = table.truth_rows[t]
    return compute_box_overlaps(
        predictions.boxes_xywh[table.rows[p]],
        truth.boxes_xywh[truth_rows],
        truth.is_crowd[truth_rows],
    )


def _match_greedily(
    truth: GroundTruth,
    table: _Table,
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
    matched: np.ndarray,
    ignored: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Match the pairs of whole groups; write rows of `matched` and `ignored`, (N, A, T) bool.

    `pairs` are (E,) predictions, (E,) annotations, (E,) overlaps, by prediction; `ignored` comes as
    it is where nothing matches. Return what the lowest threshold found over all areas: annotations,
    predictions, overlaps.
    """
    p, t, ious = pairs
    # Rising overlaps, of equals the later annotation last: where `_choose` looks first.
    order = np.lexsort((t, ious, p))
    p, t, ious = p[order], t[order], ious[order]
    base = int(t.min()) if len(t) else 0
    size = int(t.max()) - base + 1 if len(t) else 0
    taken = np.zeros((size, *matched.shape[1:]), bool)
    is_crowd = truth.is_crowd[table.truth_rows]
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for step in _iterate_steps(p, table.groups):
        starts = np.flatnonzero(np.diff(p[step], prepend=-1))
        who = p[step][starts]
        chosen, is_matched, is_ignored = _choose(
            ious[step],
            # A crowd can be found by any number of predictions.
            taken[t[step] - base] & ~is_crowd[t[step], None, None],
            table.truth_ignored[t[step]],
            starts,
        )
        matched[who] = is_matched
        ignored[who] = np.where(is_matched, is_ignored, ignored[who])
        target = t[step][chosen]
        i, a, k = np.nonzero(is_matched)
        taken[target[i, a, k] - base, a, k] = True
        first = np.flatnonzero(is_matched[:, 0, 0])
        found.append((target[first, 0, 0], who[first], ious[step][chosen[first, 0, 0]]))
    if not found:
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0)
    annotations, finders, values = (np.concatenate(part) for part in zip(*found, strict=True))
    return annotations, finders, values


def _iterate_steps(p: np.ndarray, groups: np.ndarray) -> Iterator[np.ndarray]:
    """Yield pairs of the first prediction of every group, then of the second, and so on."""
    starts = np.flatnonzero(np.diff(p, prepend=-1))
    turns = rank_in_group(groups[p[starts]])
    turn = np.repeat(turns, np.diff(starts, append=len(p)))
    order = np.argsort(turn, kind="stable")
    start = 0
    for stop in np.cumsum(np.bincount(turn)).tolist():
        yield order[start:stop]
        start = stop


def _choose(
    ious: np.ndarray, is_taken: np.ndarray, is_ignored: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose an annotation for each prediction: one that counts before one that is ignored.

    Args:
        ious: (E,) float64, rising within a prediction; of equals the later annotation is later.
        is_taken: (E, A, T) bool.
        is_ignored: (E, A) bool.
        starts: (P,) the first pair of each prediction.

    Returns:
        (P, A, T) the chosen pair, whether there is one, whether its annotation is ignored.
    """
    # One maximum per prediction replaces the loop over annotations: pairs are numbered from 1 by
    # rising IoU, those that count above all that are ignored, and 0 is "none".
    num = len(ious)
    preference = np.arange(1, num + 1, dtype=np.int32)[:, None] + np.where(is_ignored, 0, num)
    reaches = ious[:, None] >= _LOWEST_IOUS
    value = np.where(reaches[:, None, :] & ~is_taken, preference[:, :, None].astype(np.int32), 0)
    best = value if len(starts) == num else np.maximum.reduceat(value, starts, axis=0)
    return (best - 1) % num, best > 0, best <= num
