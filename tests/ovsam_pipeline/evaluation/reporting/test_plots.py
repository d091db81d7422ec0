from dataclasses import replace

import cv2
import numpy as np
import pytest
from build_tables import build_predictions
from evaluation_example import make_example, make_truth

from ovsam_pipeline.evaluation.reporting.plots import _count_confusions, write_plots
from ovsam_pipeline.evaluation.scoring.average_precision import score_detections


def test_what_was_measured_is_drawn(tmp_path) -> None:
    truth, predictions, scores, instances = make_example()
    paths = write_plots(tmp_path, truth, predictions, {"segm": scores}, instances)
    # Three instances are too few for means by size.
    names = ["precision_recall_segm.png", "iou_histogram.png", "confusions.png"]
    assert [path.name for path in paths] == names
    for path in paths:
        picture = cv2.imread(str(path))
        assert min(picture.shape[:2]) > 200
        assert (picture < 255).any()


def test_plots_without_data_are_not_drawn(tmp_path) -> None:
    truth = make_truth()
    assert write_plots(tmp_path, truth, build_predictions([], truth), {}, None) == []
    assert not list(tmp_path.iterdir())


def test_no_predictions_give_a_flat_curve(tmp_path) -> None:
    truth = make_truth()
    empty = build_predictions([], truth)
    scores = score_detections(truth, empty, "bbox")
    (path,) = write_plots(tmp_path, truth, empty, {"bbox": scores}, None)
    assert path.name == "precision_recall_bbox.png"


def test_confusions_name_truth_then_prediction() -> None:
    truth, predictions, _, instances = make_example()
    assert _count_confusions(truth, predictions, instances) == [("dog, small → cat", 1)]


@pytest.mark.parametrize("sizes", [[5.0] * 40, np.geomspace(1, 1e6, 40).tolist()])
def test_sizes_are_drawn_even_where_all_are_alike(tmp_path, sizes) -> None:
    truth, predictions, _, instances = make_example()
    truth = replace(truth, areas=np.array(sizes), category_index=np.zeros(40, np.int32))
    many = replace(
        instances, truth_rows=np.arange(40), ious=np.linspace(0, 1, 40),
        is_right=np.ones(40, bool), has_answer=np.ones(40, bool),
        prediction_rows=np.zeros(40, np.int64),
    )  # fmt: skip
    paths = write_plots(tmp_path, truth, predictions, {}, many)
    assert [path.name for path in paths] == ["iou_histogram.png", "by_size.png"]
