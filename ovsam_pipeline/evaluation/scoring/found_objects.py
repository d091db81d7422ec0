"""Detections → which annotation each one found, whatever its class: what confusions are drawn from.

AP compares within a class, so a cat called a dog is for it a dog too many and a cat too few. Here
boxes are matched first and names compared then.
"""

from __future__ import annotations

import numpy as np

from ovsam_pipeline.evaluation.scoring.instances import InstanceScores
from ovsam_pipeline.evaluation.scoring.matching import match_predictions
from ovsam_pipeline.evaluation.structures import GroundTruth, Predictions


def find_objects(truth: GroundTruth, predictions: Predictions) -> InstanceScores:
    """Match boxes at an IoU of 0.5 without looking at classes, the best-scoring ones first.

    Returns:
        One entry an annotation that counts; `ious` of boxes, 0 where none was found. There are no
        `metrics`.
    """
    matches = match_predictions(truth, predictions, "bbox", class_agnostic=True)
    has_answer = matches.found_by >= 0
    found = truth.category_index[matches.truth_rows]
    named = np.full(len(found), -1)
    named[has_answer] = predictions.category_index[matches.found_by[has_answer]]
    return InstanceScores(
        matches.truth_rows, matches.found_iou, found == named, has_answer, matches.found_by, {}
    )
