import csv
import os

import numpy as np
import pytest
from evaluation_example import make_example

from ovsam_pipeline.errors import DatasetError, OutputError
from ovsam_pipeline.evaluation.reporting.files import (
    read_curves,
    read_metrics,
    read_samples,
    write_confusions,
    write_curves,
    write_metrics,
    write_per_class,
    write_samples,
)
from ovsam_pipeline.evaluation.scoring.average_precision import score_detections


def read_lines(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_confusions_name_truth_then_prediction(tmp_path) -> None:
    truth, predictions, _, instances = make_example()
    write_confusions(tmp_path / "confusions.csv", truth, predictions, instances)
    (line,) = read_lines(tmp_path / "confusions.csv")
    assert line == {"truth": "dog, small", "predicted": "cat", "instances": "1"}


def test_metrics_come_back_as_written(tmp_path) -> None:
    metrics = {"metrics": {"segm": {"AP": 1 / 3}}, "dataset": {"name": "Zürich"}, "protocol": {}}
    write_metrics(tmp_path / "metrics.json", metrics)
    assert read_metrics(tmp_path / "metrics.json") == metrics


@pytest.mark.parametrize("text", ["", "[1]", '{"metrics": {}}', '{"metrics": 1, "dataset": {}, '
                                  '"protocol": {}}'])  # fmt: skip
def test_a_file_that_is_no_metrics_json_is_named(tmp_path, text) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"other\.json"):
        read_metrics(path)


def test_a_pipe_as_metrics_json_is_refused_at_once(tmp_path) -> None:
    os.mkfifo(tmp_path / "m.json")
    with pytest.raises(DatasetError, match="it is a pipe, socket or device"):
        read_metrics(tmp_path / "m.json")


def test_a_missing_metrics_json_is_named(tmp_path) -> None:
    with pytest.raises(DatasetError, match="nowhere"):
        read_metrics(tmp_path / "nowhere.json")


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path) -> None:
    with pytest.raises(OutputError):
        write_metrics(tmp_path / "no" / "metrics.json", {})


def test_every_class_has_its_line(tmp_path) -> None:
    truth, _, scores, instances = make_example()
    write_per_class(tmp_path / "c.csv", truth, {"segm": scores}, instances)
    cat, dog, bird = read_lines(tmp_path / "c.csv")
    # Cat: IoU 1 and 1/2, both right. Its predictions: the dog's is wrong and ranked between.
    assert (cat["category_id"], cat["split"], cat["annotations"]) == ("3", "base", "2")
    assert (float(cat["iou"]), float(cat["accuracy"])) == (pytest.approx(0.75), 1.0)
    assert cat["segm_predictions"] == "3"
    assert (dog["name"], float(dog["accuracy"])) == ("dog, small", 0.0)
    assert float(dog["iou"]) == pytest.approx(1.0, abs=1e-9)
    assert float(dog["segm_AP"]) == 0
    assert (bird["instances"], bird["iou"], bird["segm_AP"]) == ("0", "", "")


def test_samples_tell_image_annotation_and_result(tmp_path) -> None:
    truth, _, scores, instances = make_example()
    write_samples(tmp_path / "samples", truth, {"segm": scores}, instances)
    rows = read_samples(tmp_path / "samples", "instances")
    assert rows["image_id"].tolist() == [10, 10, 20]
    assert rows["annotation_id"].tolist() == [1, 2, 3]
    assert rows["category_id"].tolist() == [3, 7, 3]
    assert rows["split"].tolist() == ["base", "novel", "base"]
    assert rows["is_right"].tolist() == [True, False, True]
    assert rows["iou"] == pytest.approx([1, 1, 0.5])


def test_samples_keep_every_threshold(tmp_path) -> None:
    truth, _, scores, _ = make_example()
    write_samples(tmp_path, truth, {"segm": scores}, None)
    rows = read_samples(tmp_path, "segm")
    matches = scores.matches
    assert rows["matched"].tolist() == matches.matched[:, 0].tolist()
    assert rows["ignored"].tolist() == matches.ignored[:, 0].tolist()
    found = dict(zip(rows["score"].tolist(), rows["matched"].sum(axis=1).tolist(), strict=True))
    # IoU 1 is right at all ten thresholds, IoU 1/2 at the first.
    assert found == {0.9: 10, 0.8: 0, 0.7: 1}
    assert np.sort(read_samples(tmp_path, "segm-truth")["image_id"]).tolist() == [10, 10, 20]


def test_damaged_samples_are_named(tmp_path) -> None:
    (tmp_path / "segm.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DatasetError, match=r"segm\.parquet"):
        read_samples(tmp_path, "segm")


def test_curves_are_those_that_were_measured(tmp_path) -> None:
    truth, _, scores, _ = make_example()
    write_curves(tmp_path / "curves.parquet", truth, {"segm": scores})
    found = read_curves(tmp_path / "curves.parquet")["segm"]
    assert found["category_id"].tolist() == [3, 7]  # there is no bird to be found
    precision = scores.curves.precision[..., 0]
    assert np.allclose(found["precision_50"], precision[0, :, :2].T)
    assert np.allclose(found["precision"], precision[:, :, :2].mean(axis=0).T)
    assert found["precision"].mean() == pytest.approx(scores.metrics["AP"])
    assert np.allclose(found["recall"], scores.curves.recall[:, :2, 0, -1].T)


def test_curves_of_all_classes_together_have_no_class(tmp_path) -> None:
    truth, predictions, _, _ = make_example()
    scores = score_detections(truth, predictions, "segm", class_agnostic=True)
    write_curves(tmp_path / "curves.parquet", truth, {"segm": scores})
    assert read_curves(tmp_path / "curves.parquet")["segm"]["category_id"].tolist() == [-1]


def test_folders_without_curves_have_none_and_damaged_ones_are_named(tmp_path) -> None:
    path = tmp_path / "curves.parquet"
    assert read_curves(path) == {}
    path.write_bytes(b"no table")
    with pytest.raises(DatasetError, match="cannot read the curves"):
        read_curves(path)
