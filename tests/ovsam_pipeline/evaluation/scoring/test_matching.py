import numpy as np
import pytest
from build_tables import build_predictions, build_truth
from random_detections import make_case

from ovsam.errors import ConfigError
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading import segment_store
from ovsam_pipeline.evaluation.scoring import matching
from ovsam_pipeline.evaluation.scoring.matching import match_predictions


def make_truth(*boxes):
    items = [
        {"id": i + 1, "image_id": 1, "category_id": 1, "bbox": box, "area": box[2] * box[3]}
        for i, box in enumerate(boxes)
    ]
    image = {"id": 1, "height": 100, "width": 100}
    kinds = [{"id": 1, "name": "cat"}]
    return build_truth({"images": [image], "annotations": items, "categories": kinds})


def predict(truth, *boxes):
    item = {"image_id": 1, "category_id": 1, "score": 0.5}
    return build_predictions([item | {"bbox": box} for box in boxes], truth)


def test_the_second_of_two_equal_predictions_is_wrong() -> None:
    truth = make_truth([0, 0, 10, 10])
    matches = match_predictions(truth, predict(truth, [0, 0, 10, 10], [0, 0, 10, 10]), "bbox")
    assert matches.matched[:, 0, 0].tolist() == [True, False]
    assert matches.found_by.tolist() == [0]
    assert matches.found_iou.tolist() == [1.0]


def test_of_equal_overlaps_the_later_annotation_is_found() -> None:
    truth = make_truth([0, 0, 10, 10], [0, 0, 10, 10])
    assert match_predictions(truth, predict(truth, [0, 0, 10, 10]), "bbox").found_by.tolist() == [
        -1,
        0,
    ]


def test_masks_cannot_be_compared_without_masks() -> None:
    truth = make_truth([0, 0, 10, 10])
    predictions = predict(truth, [0, 0, 10, 10])
    with pytest.raises(DatasetError, match="have none"):
        match_predictions(truth, predictions, "segm")
    with pytest.raises(ConfigError, match="no masks"):
        match_predictions(truth, predictions, "bbox", area_rule="mask")


@pytest.mark.parametrize("is_lvis", [False, True], ids=["coco", "lvis"])
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_pieces_of_a_large_data_set_match_as_the_whole(monkeypatch, iou_type, is_lvis) -> None:
    data, results = make_case(5)
    truth = build_truth(data, is_lvis=is_lvis)
    for item in results:
        del item["bbox"]  # areas are then those of the masks, which are read in pieces, too
    predictions = build_predictions(results, truth)
    whole = match_predictions(truth, predictions, iou_type)
    monkeypatch.setattr(matching, "_PAIRS_IN_MEMORY", 7)
    monkeypatch.setattr(segment_store, "MASKS_IN_MEMORY", 3)
    pieces = match_predictions(truth, predictions, iou_type)
    for name in ("rows", "matched", "ignored", "found_by", "found_iou"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(pieces, name))
    assert whole.matched.any()
