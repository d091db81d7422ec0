"""Which instances a person should look at: the worst, and examples of confused classes.

With prompts from annotations the worst are those of lowest IoU, wrong names first. With a detector:
the surest wrong predictions, and the largest annotations that no prediction matches, half each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ovsam_pipeline.evaluation.scoring.overlaps import compute_box_overlaps
from ovsam_pipeline.evaluation.structures import GroundTruth, Matches, Predictions

if TYPE_CHECKING:
    from ovsam_pipeline.evaluation.scoring.instances import InstanceScores

# Around an object: a share of its longer side, and so many pixels at least.
_MARGIN, _LEAST_MARGIN = 0.4, 16


@dataclass(frozen=True)
class Case:
    """One thing to look at: rows of the tables, None where there is none, and a line of text.

    Attributes:
        predictions: the table that `prediction_row` is of.
        iou: of the two, as far as it was measured.
    """

    image_index: int
    truth_row: int | None
    prediction_row: int | None
    words: str
    predictions: Predictions
    iou: float | None = None


@dataclass(frozen=True, eq=False)
class Confusion:
    """One class that was named as another.

    Attributes:
        positions: (n,) int64 into the columns of `InstanceScores`, ascending.
    """

    truth: str
    predicted: str
    positions: np.ndarray


def choose_worst(
    truth: GroundTruth,
    predictions: Predictions,
    instances: InstanceScores | None,
    matches: Matches | None,
    count: int,
) -> list[Case]:
    """Return the worst of `instances` (prompted with annotations), else of `matches`."""
    if instances is not None:
        return choose_instances(truth, predictions, instances, count)
    return [] if matches is None else choose_matches(truth, predictions, matches, count)


def choose_instances(
    truth: GroundTruth, predictions: Predictions, instances: InstanceScores, count: int
) -> list[Case]:
    """Return the instances of lowest IoU, wrong names first."""
    order = np.lexsort((instances.is_right, instances.ious))[:count]
    return [make_case(truth, predictions, instances, index) for index in order.tolist()]


def make_case(
    truth: GroundTruth, predictions: Predictions, instances: InstanceScores, index: int
) -> Case:
    """Return one instance, by its position, as a case."""
    row, answer = int(instances.truth_rows[index]), int(instances.prediction_rows[index])
    predicted = "nothing" if answer < 0 else _name_prediction(predictions, answer)
    iou = float(instances.ious[index])
    words = f"IoU {iou:.2f}: {truth.name_class(row)}, predicted {predicted}"
    image = int(truth.image_index[row])
    return Case(image, row, None if answer < 0 else answer, words, predictions, iou)


def choose_matches(
    truth: GroundTruth, predictions: Predictions, matches: Matches, count: int
) -> list[Case]:
    """Return the surest wrong predictions and the largest missed annotations, half each."""
    wrong = np.flatnonzero(~matches.matched[:, 0, 0] & ~matches.ignored[:, 0, 0])
    wrong = wrong[np.argsort(-matches.scores[wrong], kind="stable")][: (count + 1) // 2]
    cases = []
    for row in matches.rows[wrong].tolist():
        words = f"wrong: {_name_prediction(predictions, row)}"
        nearest, iou = _find_nearest(truth, predictions, row)
        if nearest is not None:
            words += f"; nearest: {truth.name_class(nearest)}, IoU of boxes {iou:.2f}"
        image = int(predictions.image_index[row])
        overlap = None if nearest is None else iou
        cases.append(Case(image, nearest, row, words, predictions, overlap))
    missed = matches.truth_rows[matches.found_by < 0]
    missed = missed[np.argsort(-truth.areas[missed], kind="stable")][: count // 2]
    return cases + [
        Case(
            int(truth.image_index[row]), row, None, f"missed: {truth.name_class(row)}", predictions
        )
        for row in missed.tolist()
    ]


def group_confusions(
    truth: GroundTruth, predictions: Predictions, instances: InstanceScores
) -> list[Confusion]:
    """Return which class was named as which other one, the most frequent first."""
    wrong = np.flatnonzero(~instances.is_right & instances.has_answer)
    positions: dict[tuple[str, str], list[int]] = {}
    for index in wrong.tolist():
        row, answer = instances.truth_rows[index], instances.prediction_rows[index]
        pair = (truth.name_class(row), str(predictions.labels[answer]))
        positions.setdefault(pair, []).append(index)
    ordered = sorted(positions.items(), key=lambda item: -len(item[1]))
    return [Confusion(*pair, np.array(found)) for pair, found in ordered]


def choose_window(boxes_xywh: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom around all boxes with a margin, inside the image."""
    boxes_xywh = boxes_xywh[(boxes_xywh[:, 2:] > 0).all(axis=1)]
    if not len(boxes_xywh):
        return 0, 0, width, height
    low = boxes_xywh[:, :2].min(axis=0)
    high = (boxes_xywh[:, :2] + boxes_xywh[:, 2:]).max(axis=0)
    margin = max(_LEAST_MARGIN, _MARGIN * float((high - low).max()))
    left, top = np.clip(np.floor(low - margin), 0, (width - 1, height - 1)).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high + margin), 1, (width, height)).astype(int).tolist()
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _find_nearest(
    truth: GroundTruth, predictions: Predictions, row: int
) -> tuple[int | None, float]:
    """Return the annotation whose box overlaps a prediction's most, and their IoU; None without."""
    rows = np.flatnonzero(truth.image_index == predictions.image_index[row])
    if not len(rows):
        return None, 0.0
    boxes = truth.boxes_xywh[rows]
    predicted = np.broadcast_to(predictions.boxes_xywh[row], boxes.shape)
    ious = compute_box_overlaps(predicted, boxes, np.zeros(len(rows), bool))
    best = int(ious.argmax())
    return (int(rows[best]), float(ious[best])) if ious[best] > 0 else (None, 0.0)


def _name_prediction(predictions: Predictions, row: int) -> str:
    return f"{predictions.labels[row]} {predictions.scores[row]:.2f}"
