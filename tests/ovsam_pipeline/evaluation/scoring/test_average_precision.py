from dataclasses import replace

import numpy as np
import pytest
from build_tables import build_predictions, build_truth
from random_detections import make_case

from ovsam_pipeline.evaluation.scoring.average_precision import (
    compute_curves,
    score_detections,
    sort_matches,
)
from ovsam_pipeline.evaluation.scoring.matching import match_predictions


@pytest.mark.parametrize("engine", ["fast", "reference", "faster-coco-eval"])
@pytest.mark.parametrize("is_lvis", [False, True])
def test_no_predictions_score_zero(engine, is_lvis) -> None:
    truth = build_truth(make_case(1)[0], is_lvis=is_lvis)
    scores = score_detections(truth, build_predictions([], truth), "segm", engine=engine)
    assert scores.metrics["AP"] == 0
    assert scores.per_category["AP"].tolist() == [0, 0, 0, -1]


def test_weights_of_one_change_nothing() -> None:
    data, results = make_case(3)
    truth = build_truth(data)
    table = sort_matches(match_predictions(truth, build_predictions(results, truth), "bbox"))
    plain = compute_curves(table, max_detections=(1, 10, 100))
    for ones in (np.ones(5, int), np.ones(5)):
        same = compute_curves(table, max_detections=(1, 10, 100), image_weights=ones)
        np.testing.assert_array_equal(plain.precision, same.precision)
        np.testing.assert_array_equal(plain.recall, same.recall)


def test_means_of_base_and_novel_leave_out_classes_in_neither_set() -> None:
    data, results = make_case(3)
    truth = build_truth(data, splits=("base", "novel", None, "base"))
    predictions = build_predictions(results, truth)
    metrics = score_detections(truth, predictions, "bbox").metrics
    by_class = score_detections(truth, predictions, "bbox", engine="reference").per_category["AP"]
    assert by_class[3] == -1  # without annotations, as pycocotools says
    assert metrics["AP_base"] == pytest.approx(by_class[0], abs=1e-12)
    assert metrics["AP_novel"] == pytest.approx(by_class[1], abs=1e-12)
    assert metrics["AP"] == pytest.approx(by_class[:3].mean(), abs=1e-12)


def test_without_a_split_there_are_no_means_of_it() -> None:
    data, results = make_case(3)
    truth = build_truth(data)
    metrics = score_detections(truth, build_predictions(results, truth), "bbox").metrics
    assert not [name for name in metrics if "base" in name or "novel" in name]


def test_lvis_cuts_an_image_before_unknown_classes_are_left_out() -> None:
    image = {"id": 1, "height": 100, "width": 100}
    item = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10], "area": 100}
    data = {"images": [image], "annotations": [item], "categories": [{"id": 1, "name": "cup"}]}
    truth = build_truth(data, is_lvis=True)
    found = build_predictions([{**item, "score": 0.5}], truth)
    for rank, ap in ((299, 1), (300, 0)):
        behind = replace(found, ranks=np.array([rank], np.int32))
        for engine in ("fast", "reference"):
            scores = score_detections(truth, behind, "bbox", engine=engine)
            assert scores.metrics["AP"] == pytest.approx(ap)
