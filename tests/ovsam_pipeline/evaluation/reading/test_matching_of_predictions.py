"""Which image and which class of the truth a prediction is of, and what is told of it."""

import json
from dataclasses import replace

import pytest
from coco_files import make_truth, read_results, read_truth

from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.predictions import read_predictions
from ovsam_pipeline.evaluation.scoring.average_precision import score_detections
from ovsam_pipeline.evaluation.scoring.matching import count_beyond_limit

BOXES = {"0003.jpg": [10, 10, 30, 30], "0001.jpg": [50, 40, 20, 20], "0002.jpg": [5, 5, 60, 60]}


def make_boxes(names=tuple(BOXES), categories=("mug",), ids=None):
    """One box on each image, the classes in turn."""
    ids = ids or range(1, len(names) + 1)
    images = [
        {"id": i, "file_name": n, "width": 100, "height": 80}
        for i, n in zip(ids, names, strict=True)
    ]
    boxes = list(BOXES.values())
    annotations = [
        {
            "id": k + 1,
            "image_id": image["id"],
            "category_id": 1 + k % len(categories),
            "area": 900,
            "bbox": boxes[k],
        }
        for k, image in enumerate(images)
    ]
    classes = [{"id": k + 1, "name": name} for k, name in enumerate(categories)]
    return {"images": images, "annotations": annotations, "categories": classes}


def make_rows(**more):
    """Results that are right, on images that `more` names: a function of the file name each."""
    return [
        {"category_id": 1, "bbox": box, "score": 0.9, **{key: of(name) for key, of in more.items()}}
        for name, box in BOXES.items()
    ]


def measure(tmp_path, truth, results, **options):
    for name, data in (("truth", truth), ("results", results)):
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
    truth = read_truth(tmp_path, truth)
    truth, found = read_predictions(tmp_path / "results.json", truth, min_match=0.5, **options)
    return score_detections(truth, found, "bbox").metrics["AP"], found


def get_number(name):
    return int(name[:4])


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"image_id": get_number, "file_name": str}, "name"),
        ({"image_id": get_number, "file_name": "shots/{}".format}, "end of the name"),
        ({"file_name": "C:\\x\\{}".format}, "end of the name"),
        ({"image_id": str}, "name"),
        ({"image_id": lambda name: name[:4]}, "name without its suffix"),
        ({"image_id": lambda name: list(BOXES).index(name) + 1}, "id"),
        ({"image_id": lambda name: str(list(BOXES).index(name) + 1)}, "id"),
    ],
    ids=["both", "prefix", "windows", "name", "stem", "id", "text id"],
)
def test_images_are_found_whoever_wrote_the_results(tmp_path, more, rule) -> None:
    precision, found = measure(tmp_path, make_boxes(), make_rows(**more))
    assert precision == pytest.approx(1)
    assert (found.images.matched, found.images.counts) == (3, {rule: 3})


def test_numbers_in_names_count_where_no_id_is_known(tmp_path) -> None:
    truth = make_boxes(ids=[71, 72, 73])
    precision, found = measure(tmp_path, truth, make_rows(image_id=get_number))
    assert precision == pytest.approx(1)
    assert found.images.counts == {"number in the name": 3}


def test_numbers_that_may_be_ids_or_names_are_told(tmp_path) -> None:
    _, found = measure(tmp_path, make_boxes(), make_rows(image_id=get_number))
    assert "3 image_ids are numbers in the names of other images" in found.problems.describe()[0]


def test_a_data_set_as_predictions_is_matched_by_its_names(tmp_path) -> None:
    """As our annotations.json, whose ids are our own."""
    scored = make_boxes(ids=[901, 902, 903])
    for row in scored["annotations"]:
        row["score"] = 0.9
    for data in (scored, dict(reversed(scored.items()))):
        precision, found = measure(tmp_path, make_boxes(), data)
        assert (precision, found.images.counts) == (pytest.approx(1), {"name": 3})


def test_one_stem_of_two_images_is_an_error(tmp_path) -> None:
    truth = make_boxes(["cam1/frame.jpg", "cam2/frame.jpg", "x.jpg"])
    with pytest.raises(
        DatasetError, match=r"none of 1 image.*frame may be cam1/frame.jpg or cam2/f"
    ):
        measure(tmp_path, truth, make_rows(image_id=lambda _: "frame"))


def test_two_images_for_one_of_the_truth_are_an_error(tmp_path) -> None:
    rows = [{**make_rows()[0], "file_name": f"cam{n}/0001.jpg"} for n in range(2)]
    with pytest.raises(DatasetError, match=r"got cam0/0001\.jpg and cam1/0001\.jpg for the same"):
        measure(tmp_path, make_boxes(), rows)


def test_predictions_of_mostly_other_images_are_an_error(tmp_path) -> None:
    rows = [*make_rows(file_name=lambda name: f"other/{name}.png"), *make_rows(file_name=str)[:1]]
    with pytest.raises(DatasetError, match=r"got 1 of 4 images; .*--min-match 0 measures what"):
        measure(tmp_path, make_boxes(), rows)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([0.1, 0.1, 0.5, 0.5], "expected boxes in pixels"),
        ([30, 30, 90, 70], "would fit as left, top, right, bottom"),
        ([30, 30, 0, 0], "got none of 3: the others have no area"),
        ([1, 2, 3], "got none of 3: the others have no area or are not four finite numbers"),
    ],
)
def test_boxes_that_cannot_be_right_are_an_error(tmp_path, box, words) -> None:
    rows = [{**row, "bbox": box} for row in make_rows(file_name=str)]
    with pytest.raises(DatasetError, match=words):
        measure(tmp_path, make_boxes(), rows)


def test_answers_to_prompts_may_all_be_empty(tmp_path) -> None:
    rows = make_rows(image_id=lambda name: list(BOXES).index(name) + 1)
    rows = [{**row, "bbox": [0, 0, 0, 0], "prompt_id": k} for k, row in enumerate(rows, 1)]
    _, found = measure(tmp_path, make_boxes(), rows)
    assert found.prompt_ids.tolist() == [1, 2, 3]


def test_category_ids_that_begin_at_0_are_told(tmp_path) -> None:
    truth = make_boxes(categories=("cup", "mug", "jar"))
    rows = [{**row, "category_id": k} for k, row in enumerate(make_rows(file_name=str))]
    _, found = measure(tmp_path, truth, rows)
    assert any(
        "begin at 0 in the predictions and at 1" in line for line in found.problems.describe()
    )
    with pytest.raises(DatasetError, match="of id 0; category ids begin at 0 in the predictions"):
        measure(tmp_path, make_boxes(), [{**row, "category_id": 0} for row in rows])


@pytest.mark.parametrize("categories", [("mug", "Mug"), ("Mug ", "jar", "m_ug", "mug")])
def test_classes_of_one_name_are_measured_as_one(tmp_path, categories) -> None:
    truth = make_boxes(categories=("mug",))
    truth["categories"] = [{"id": k, "name": n} for k, n in enumerate(categories, 1)]
    rows = {
        "categories": [{"id": 40, "name": "MUG"}],
        "annotations": [{**row, "category_id": 40} for row in make_rows(file_name=str)],
    }
    truth["annotations"][1]["category_id"] = len(categories)
    precision, _ = measure(tmp_path, truth, rows)
    assert precision == pytest.approx(1)
    merged, _ = read_predictions(tmp_path / "results.json", read_truth(tmp_path, truth))
    (told,) = [line for line in merged.problems.describe() if "share their name" in line]
    assert f"(id {len(categories)})" in told


def test_classes_of_one_name_stay_apart_where_ids_decide(tmp_path) -> None:
    truth = make_boxes(categories=("mug", "Mug"))
    rows = make_rows(file_name=str)
    rows[1]["category_id"] = 2
    precision, found = measure(tmp_path, truth, rows)
    assert (precision, sorted(found.category_index)) == (pytest.approx(1), [0, 0, 1])


def test_the_cut_of_crowded_images_is_told_and_can_be_moved(tmp_path) -> None:
    boxes = [[20 * (k % 25), 20 * (k // 25), 15, 15] for k in range(250)]
    truth = make_truth(
        images=[{"id": 1, "file_name": "cells.png", "width": 500, "height": 200}],
        annotations=[
            {"id": k, "image_id": 1, "category_id": 1, "bbox": box, "area": 225}
            for k, box in enumerate(boxes, 1)
        ],
        categories=[{"id": 1, "name": "cell"}],
    )
    rows = [
        {"image_id": 1, "category_id": 1, "bbox": b, "score": 1 - k / 300}
        for k, b in enumerate(boxes)
    ]
    found = read_results(tmp_path, rows, truth)
    truth = read_truth(tmp_path, truth)
    count_beyond_limit(truth, found, class_agnostic=False)
    assert found.problems.describe() == [
        "150 predictions are beyond the best 100 of an image and class, which count: left out "
        "(--max-det)"
    ]
    more = replace(truth, max_det=1000)
    assert more.max_detections == (1, 10, 1000)
    assert replace(truth, max_det=5).max_detections == (1, 5)
    assert replace(truth, max_det=10, is_lvis=True).max_detections == (10,)
    assert score_detections(truth, found, "bbox").metrics["AP"] == pytest.approx(0.4, abs=0.01)
    measured = score_detections(more, found, "bbox").metrics
    assert (measured["AP"], measured["AR@1000"]) == (pytest.approx(1), pytest.approx(1))
