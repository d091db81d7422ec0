import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from build_tables import build_predictions
from evaluation_example import CAT, DOG, item_of, make_example, make_predictions, make_truth

from ovsam.masks import decode_mask
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reporting import examples
from ovsam_pipeline.evaluation.reporting.cases import choose_worst
from ovsam_pipeline.evaluation.reporting.examples import (
    count_matrix,
    read_examples,
    write_examples,
)
from ovsam_pipeline.evaluation.scoring.instances import find_objects, measure_instances


def write_example(path, find_image=lambda _: None):
    truth, predictions, _, instances = make_example()
    worst = choose_worst(truth, predictions, instances, None, 20)
    write_examples(path, truth, predictions, instances, worst, find_image)
    return read_examples(path)


def test_a_confusion_has_both_outlines_and_its_image(tmp_path) -> None:
    found = write_example(tmp_path / "examples.json", lambda i: Path(f"/data/{i}.png"))
    assert (found["num_pairs"], found["iou_of"]) == (1, "mask")
    (pair,) = found["confusions"]
    assert (pair["truth"], pair["predicted"], pair["count"]) == ("dog, small", "cat", 1)
    (example,) = pair["examples"]
    assert example["truth"]["annotation_id"] == 2
    assert example["truth"]["bbox"] == [50, 50, 40, 40]
    assert example["prediction"]["score"] == 0.8
    assert example["iou"] == pytest.approx(1)
    for side in ("truth", "prediction"):
        mask = decode_mask(example[side]["segmentation"], 100, 100)
        assert mask.sum() == mask[50:90, 50:90].sum() == 1600
    image = found["images"][example["image"]]
    assert image == {
        "id": 10, "file_name": "10.png", "path": "/data/0.png", "height": 100, "width": 100,
    }  # fmt: skip


def test_the_worst_share_the_images(tmp_path) -> None:
    found = write_example(tmp_path / "examples.json")
    assert found["worst"][0]["words"] == "IoU 0.50: cat, predicted cat 0.70"
    assert [image["id"] for image in found["images"]] == [20, 10]
    assert {image["path"] for image in found["images"]} == {None}


def test_the_surest_mistakes_of_a_pair_come_first_and_are_bounded(tmp_path) -> None:
    truth = make_truth()
    predictions = make_predictions(truth)
    predictions = replace(
        predictions, category_index=np.array([1, 0, 1]), labels=np.array(["dog", "cat", "dog"])
    )
    instances = measure_instances(truth, predictions)
    path = tmp_path / "examples.json"
    write_examples(path, truth, predictions, instances, [], lambda _: None)
    pair = read_examples(path)["confusions"][0]
    assert (pair["truth"], pair["predicted"], pair["count"]) == ("cat", "dog", 2)
    assert [example["prediction"]["score"] for example in pair["examples"]] == [0.9, 0.7]


def test_a_full_file_keeps_counting_without_examples(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(examples, "_MOST_BYTES", 0)
    found = write_example(tmp_path / "examples.json")
    assert len(found["worst"]) == 1
    assert [len(pair["examples"]) for pair in found["confusions"]] == [0]
    assert found["confusions"][0]["count"] == 1


def test_the_matrix_counts_every_answer_of_the_classes_mistaken() -> None:
    truth = make_truth()
    results = [
        item_of(10, DOG, [10, 10, 20, 20], score=0.9),  # a cat called a dog
        item_of(20, CAT, [0, 0, 10, 10], score=0.7),  # right
    ]
    predictions = build_predictions(results, truth)
    matrix = count_matrix(truth, predictions, find_objects(truth, predictions))
    assert matrix["classes"] == ["cat", "dog, small"]
    assert matrix["counts"] == [[1, 1], [0, 0]]
    assert (matrix["others"], matrix["missed"]) == ([0, 0], [0, 1])


def test_a_class_without_counterpart_is_among_the_others() -> None:
    truth = make_truth()
    predictions = make_predictions(truth)
    predictions = replace(predictions, category_index=np.array([0, -1, 0]))
    matrix = count_matrix(truth, predictions, measure_instances(truth, predictions))
    assert (matrix["classes"], matrix["others"]) == (["dog, small"], [1])


def test_classes_that_were_not_compared_give_no_pairs(tmp_path) -> None:
    truth, predictions, _, _ = make_example()
    path = tmp_path / "examples.json"
    write_examples(path, truth, predictions, None, [], lambda _: None)
    found = read_examples(path)
    assert (found["confusions"], found["matrix"]) == ([], None)


def test_a_path_that_is_no_text_is_left_out(tmp_path) -> None:
    found = write_example(tmp_path / "examples.json", lambda _: Path("/data/\udcff.png"))
    assert {image["path"] for image in found["images"]} == {None}


def test_old_folders_have_none_and_other_files_are_refused(tmp_path) -> None:
    path = tmp_path / "examples.json"
    assert read_examples(path) is None
    path.write_text(json.dumps({"format": 99}))
    with pytest.raises(DatasetError, match=r"expected examples\.json of ovsam eval"):
        read_examples(path)
    path.write_text("{")
    with pytest.raises(DatasetError, match="cannot read"):
        read_examples(path)
