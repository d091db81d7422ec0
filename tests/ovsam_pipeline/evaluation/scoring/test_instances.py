import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
from build_tables import build_predictions, build_truth
from locations import TESTS

from ovsam.text.vocabulary_files import load_vocabulary
from ovsam_pipeline.evaluation.reading.truth import with_splits
from ovsam_pipeline.evaluation.scoring.instances import measure_instances

GOLDEN = TESTS / "ovsam_pipeline" / "evaluation" / "golden"


def box(left, width):
    """Return a polygon of full height in a 10 x 10 image."""
    return [[left, 0, left + width, 0, left + width, 10, left, 10]]


def annotation(number, kind=1, image=1, **values):
    more = {"segmentation": box(0, 4), "bbox": [0, 0, 4, 10], "area": 40}
    return {"id": number, "image_id": image, "category_id": kind, **more, **values}


def make_truth(annotations, splits=("base", "novel", None)):
    images = [{"id": number, "height": 10, "width": 10} for number in (1, 2)]
    categories = [{"id": i, "name": name} for i, name in enumerate("abc", start=1)]
    data = {"images": images, "annotations": annotations, "categories": categories}
    return build_truth(data, splits=splits)


def answer(prompt, kind=1, image=1, **values):
    more = {"segmentation": box(0, 4), "bbox": [0, 0, 4, 10], "score": 0.5}
    return {"id": prompt, "image_id": image, "category_id": kind, **more, **values}


def measure(truth, answers):
    predictions = build_predictions(answers, truth)
    order = sorted(answers, key=lambda item: item["image_id"])
    ids = np.array([item["id"] for item in order], np.int64)
    return measure_instances(truth, replace(predictions, prompt_ids=ids))


def test_golden_pairs_give_the_published_metric():
    pairs = json.loads(gzip.decompress((GOLDEN / "miou_pairs.json.gz").read_bytes()))
    expected = json.loads((GOLDEN / "expected.json").read_text())["miou"]
    coco = load_vocabulary("coco")
    numbers = sorted({pair["image"] for pair in pairs})
    sizes = {pair["image"]: pair["gt"]["size"] for pair in pairs}
    zeros = {"bbox": [0] * 4, "area": 1, "score": 1}
    images = [{"id": i, "height": sizes[i][0], "width": sizes[i][1]} for i in numbers]
    truth, answers = [], []
    for row, pair in enumerate(pairs, start=1):
        common = {"id": row, "image_id": pair["image"], **zeros}
        truth.append(
            {
                **common,
                "category_id": coco.category_ids[pair["gt_label"]],
                "segmentation": pair["gt"],
            }
        )
        answers.append(
            {
                **common,
                "category_id": coco.category_ids[pair["pred_label"]],
                "segmentation": pair["pred"],
            }
        )
    categories = [{"id": item.category_id, "name": item.name} for item in coco.classes]
    data = {"images": images, "annotations": truth, "categories": categories}
    metrics = measure(with_splits(build_truth(data), coco), answers).metrics
    assert metrics["instances"] == expected["n"]
    names = {"iou": "miou", "iou_base": "base_iou", "iou_novel": "novel_iou"}
    for ours, theirs in names.items():
        assert metrics[ours] == pytest.approx(expected[theirs], abs=1e-9)
    shares = {"accuracy": "score", "accuracy_base": "base_score", "accuracy_novel": "novel_score"}
    for ours, theirs in shares.items():
        assert metrics[ours] * 100 == pytest.approx(expected[theirs], abs=1e-9)


def test_each_annotation_is_compared_with_what_it_prompted_whatever_the_order():
    truth = make_truth([annotation(5), annotation(3, kind=2, segmentation=box(4, 6))])
    answers = [answer(3, kind=2, segmentation=box(4, 3)), answer(5, kind=2)]
    scores = measure(truth, answers)
    assert truth.annotation_ids[scores.truth_rows].tolist() == [5, 3]
    assert scores.ious == pytest.approx([1, 0.5], abs=1e-9)
    assert scores.is_right.tolist() == [False, True]
    assert scores.prediction_rows.tolist() == [1, 0]
    assert scores.metrics["iou_base"] == pytest.approx(1)
    assert scores.metrics["iou_novel"] == pytest.approx(0.5)
    assert (scores.metrics["accuracy_base"], scores.metrics["accuracy_novel"]) == (0, 1)


def test_missing_answer_counts_as_wrong_and_image_without_answers_is_left_out():
    truth = make_truth([annotation(1), annotation(2), annotation(3, image=2)])
    predictions = build_predictions([answer(1)], truth)
    predictions = replace(
        predictions, prompt_ids=np.array([1]), answered_images=np.array([True, False])
    )
    scores = measure_instances(truth, predictions)
    assert scores.ious == pytest.approx([1, 0])
    assert scores.has_answer.tolist() == [True, False]
    assert (scores.metrics["accuracy"], scores.metrics["instances"]) == (0.5, 2)
    assert scores.metrics["instances_missing"] == 1
    assert scores.metrics["instances_unanswered"] == 1


def test_crowds_and_classes_in_neither_split_are_left_out():
    truth = make_truth([annotation(1), annotation(2, iscrowd=1), annotation(3, kind=3)])
    metrics = measure(truth, [answer(1), answer(2), answer(3, kind=3)]).metrics
    assert (metrics["instances"], metrics["instances_in_neither_split"]) == (1, 1)
    truth = make_truth([annotation(1), annotation(3, kind=3)], splits=None)
    metrics = measure(truth, [answer(1), answer(3, kind=3)]).metrics
    assert (metrics["instances"], metrics["instances_in_neither_split"]) == (2, 0)
    assert (metrics["iou_base"], metrics["instances_base"]) == (None, 0)


def test_empty_mask_other_size_and_other_image_are_no_overlap():
    truth = make_truth([annotation(1), annotation(2), annotation(3)])
    answers = [
        answer(1, segmentation={"size": [10, 10], "counts": [100]}),
        answer(2, segmentation={"size": [20, 5], "counts": [0, 100]}),
        answer(3, image=2),
    ]
    scores = measure(truth, answers)
    assert scores.ious.tolist() == [0, 0, 0]
    assert scores.has_answer.tolist() == [True, True, False]


def test_first_of_several_answers_counts():
    scores = measure(make_truth([annotation(1)]), [answer(1), answer(1, segmentation=box(0, 1))])
    assert scores.ious == pytest.approx([1])
    assert scores.metrics["instances_repeated"] == 1


def test_nothing_to_measure_gives_no_numbers():
    metrics = measure(make_truth([]), []).metrics
    assert (metrics["iou"], metrics["accuracy"], metrics["instances"]) == (None, None, 0)
