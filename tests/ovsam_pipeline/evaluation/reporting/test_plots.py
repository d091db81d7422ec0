from dataclasses import replace

import cv2
import numpy as np
import pytest
from build_tables import build_predictions
from evaluation_example import make_example, make_truth
from matplotlib import rc_context

from ovsam_pipeline.evaluation.reporting.plots import (
    _draw_confusions,
    _draw_curves,
    _draw_histogram,
    _draw_sizes,
    write_plots,
)
from ovsam_pipeline.evaluation.scoring.average_precision import score_detections
from ovsam_pipeline.export.drawing.charts import start_chart


def test_what_was_measured_is_drawn(tmp_path) -> None:
    truth, predictions, scores, instances = make_example()
    paths = write_plots(tmp_path, truth, predictions, {"segm": scores}, instances)
    # Three instances are too few for means by size, one confusion for a bar.
    names = ["precision_recall_segm.png", "iou_histogram.png"]
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


def test_only_repeated_confusions_are_bars(tmp_path) -> None:
    truth, predictions, _, instances = make_example()
    rows = np.array([1, 1, 0])  # the dog named cat twice, and a cat that is right
    twice = replace(instances, truth_rows=rows, prediction_rows=rows, is_right=rows == 0)
    names = [path.name for path in write_plots(tmp_path, truth, predictions, {}, twice)]
    assert names == ["iou_histogram.png", "confusions.png"]


@pytest.mark.parametrize("num_once", [0, 3])
def test_confusions_say_what_they_leave_out(num_once) -> None:
    _, axes = start_chart(7, 5)
    _draw_confusions(axes, [(f"a → {i}", 40 - i) for i in range(30)], num_once)
    assert len(axes.patches) == 25
    once = "3 seen once and " if num_once else ""
    assert axes.get_title(loc="left").endswith(f"(without {once}5 rarer ones)")


def test_every_plot_has_a_title_and_names_its_axes(tmp_path) -> None:
    truth, _, scores, instances = make_example()
    many = replace(instances, truth_rows=np.arange(3))
    for draw in (
        lambda axes: _draw_curves(axes, scores),
        lambda axes: _draw_histogram(axes, truth, instances, "mask"),
        lambda axes: _draw_sizes(axes, truth, many),
    ):
        _, axes = start_chart(6, 4)
        draw(axes)
        texts = (axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel())
        assert all(text and text[0].isupper() for text in texts)
    _, axes = start_chart(6, 4)
    _draw_histogram(axes, truth, instances, "mask")
    assert axes.get_title(loc="left") == f"IoU of 3 instances: mean {instances.ious.mean():.3f}"


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


def test_names_of_classes_are_no_formulas_and_leave_room_for_bars(tmp_path) -> None:
    truth, predictions, _, instances = make_example()
    rows = np.array([1, 1, 0])
    twice = replace(instances, truth_rows=rows, prediction_rows=rows, is_right=rows == 0)
    sizes = []
    for name in (r"$\frac{", "x" * 400, "猫\nb"):
        names = tuple(f"{name}{i}" for i in range(len(truth.categories)))
        named = replace(truth, categories=replace(truth.categories, names=names))
        path = write_plots(tmp_path, named, predictions, {}, twice)[1]
        sizes.append(cv2.imread(str(path)).shape)
    assert sizes == [sizes[0]] * 3


def test_plots_do_not_depend_on_the_settings_of_who_runs_eval(tmp_path) -> None:
    truth, predictions, scores, instances = make_example()
    pictures = []
    for size in (10, 40):
        with rc_context({"font.size": size, "axes.facecolor": "red"}):
            path = write_plots(tmp_path, truth, predictions, {"segm": scores}, instances)[0]
        pictures.append(path.read_bytes())
    assert pictures[0] == pictures[1]
