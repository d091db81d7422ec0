import json
import math

import numpy as np
import pytest
from coco_files import MASK, make_result, make_truth, read_results, read_truth

from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.columns import RawPredictions
from ovsam_pipeline.evaluation.reading.predictions import (
    _choose_classes,
    map_classes,
    read_predictions,
)
from ovsam_pipeline.evaluation.structures import Categories


def test_results_are_sorted_by_image_and_know_their_rows(tmp_path) -> None:
    found = read_results(tmp_path, [make_result(image_id=70), make_result(score=1)])
    assert found.image_index.tolist() == [0, 1]
    assert found.rows.tolist() == [1, 0]
    assert found.scores.tolist() == [1, 0.5]
    assert (found.has_boxes, found.has_masks) == (True, True)
    assert found.prompt_ids.tolist() == [-1, -1]
    assert found.answered_images.all()
    assert np.isnan(found.areas).all()


def test_results_may_name_the_annotation_that_they_answer(tmp_path) -> None:
    found = read_results(tmp_path, [make_result(annotation_id=3), make_result(prompt_id=4)])
    assert found.prompt_ids.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (make_result(image_id=1), "1 prediction is of an image"),
        (make_result(category_id=1), "1 prediction is of a class"),
        (make_result(score=math.nan), "1 prediction has a score that is not finite"),
        (make_result(bbox=[1, 2, 3]), "1 prediction has a box that is not four"),
        (make_result(bbox=[1, 2, math.inf, 3]), "1 prediction has a box that is not four"),
        (make_result(segmentation={"size": [40, 60], "counts": "0h"}), "1 mask has damaged"),
        (make_result(segmentation={"size": [40, 60], "counts": "0oooo0"}), "1 mask has damaged"),
        (make_result(segmentation={"size": [40, 60], "counts": [5, 5]}), "1 mask has damaged"),
        (make_result(segmentation={"size": [40], "counts": MASK}), "1 mask has damaged"),
    ],
)
def test_results_that_cannot_be_used_are_left_out_and_counted(tmp_path, result, sentence) -> None:
    found = read_results(tmp_path, [make_result(), result])
    assert found.rows.tolist() == [0]
    assert [line for line in found.problems.describe() if line.startswith(sentence)]


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (make_result(), "1 prediction is a duplicate: kept (row 1)"),
        (make_result(bbox=[50, 2, 30, 20]), "1 box reaches beyond its image: kept"),
        (make_result(bbox=[5, 2, -3, 20]), "1 box has a negative width"),
        (make_result(image_id="7", score=1), "1 image_id is written as text"),
        (
            make_result(score=1, segmentation={"size": [4, 6], "counts": [24]}),
            "1 mask has another size than its image: counts as a miss",
        ),
    ],
)
def test_odd_results_are_kept_and_counted(tmp_path, result, sentence) -> None:
    found = read_results(tmp_path, [make_result(), result])
    assert found.rows.tolist() == [0, 1]
    assert found.image_index.tolist() == [0, 0]
    assert [line for line in found.problems.describe() if line.startswith(sentence)]


@pytest.mark.parametrize(
    ("results", "words"),
    [
        (
            [make_result(image_id=1)],
            "got none of 1 image; the data set has names such as sub/a.jpg",
        ),
        ([make_result(category_id=1)], "expected predictions of the classes"),
        ([make_result(), {**make_result(), "score": "high"}], "a number as score in result 1"),
        ([{"image_id": 7, "category_id": 9, "score": 1}], "expected bbox or segmentation"),
        (["a"], "expected objects as results"),
        ({"images": []}, "without annotations"),
    ],
)
def test_results_that_make_no_sense_are_an_error(tmp_path, results, words) -> None:
    with pytest.raises(DatasetError, match=words):
        read_results(tmp_path, results)


def test_no_results_are_no_predictions(tmp_path) -> None:
    assert len(read_results(tmp_path, [])) == 0


def test_boxes_of_masks_are_tight(tmp_path) -> None:
    result = make_result(segmentation={"size": [40, 60], "counts": [85, 3, 37, 3, 2272]})
    del result["bbox"]
    found = read_results(tmp_path, [result])
    assert found.boxes_xywh.tolist() == [[2, 5, 2, 3]]
    assert found.areas.tolist() == [6]
    assert not found.has_boxes


def test_names_of_another_vocabulary_are_matched_by_alias(tmp_path) -> None:
    data = make_truth(categories=[{"id": 9, "name": "couch"}, {"id": 2, "name": "dog"}])
    scored = {
        "categories": [{"id": 1, "name": "sofa"}, {"id": 2, "name": "unicorn"}],
        "annotations": [make_result(category_id=1), make_result(category_id=2, score=1)],
    }
    found = read_results(tmp_path, scored, data)
    assert found.category_index.tolist() == [1, -1]
    assert found.labels.tolist() == ["sofa", "unicorn"]
    assert "unicorn" in found.problems.describe()[0]


def test_a_class_map_goes_before_names_and_unknown_names_are_an_error(tmp_path) -> None:
    results, path = tmp_path / "results.json", tmp_path / "map.yaml"
    results.write_text(json.dumps([make_result()]))
    truth = read_truth(tmp_path)
    path.write_text("cup: dog\n")
    assert read_predictions(results, truth, class_map=path)[1].category_index.tolist() == [0]
    path.write_text("cup: wolf\n")
    with pytest.raises(DatasetError, match="wolf"):
        read_predictions(results, truth, class_map=path)


def test_an_alias_of_two_classes_is_nobody_s(tmp_path) -> None:
    categories = [
        {"id": 9, "name": "mug", "synonyms": ["beaker", "tankard"]},
        {"id": 2, "name": "flask", "synonyms": ["beaker"]},
    ]
    names = ["mug", "beaker", "tankard"]
    scored = {
        "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
        "annotations": [make_result(category_id=n, score=n) for n in range(3)],
    }
    found = read_results(tmp_path, scored, make_truth(categories=categories, annotations=[]))
    assert found.category_index.tolist() == [1, -1, 1]


def test_predictions_behind_the_limit_are_no_mistakes(tmp_path) -> None:
    truth = read_truth(tmp_path, limit=1)
    path = tmp_path / "results.json"
    path.write_text(json.dumps([make_result(), make_result(image_id=70), make_result()]))
    _, found = read_predictions(path, truth)
    assert len(found) == 2
    (sentence,) = (x for x in found.problems.describe() if "an image" in x)
    assert sentence.startswith("1 prediction is of an image that is not among the 1 measured")
    assert sentence.endswith("(row 1 (image_id 70, category_id 9))")


def test_only_predictions_behind_the_limit_are_no_predictions(tmp_path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([make_result(image_id=70)]))
    assert len(read_predictions(path, read_truth(tmp_path, limit=1))[1]) == 0


@pytest.mark.parametrize("category", ["cup", {"id": "", "name": "cup"}, {"id": 9}])
def test_categories_of_predictions_are_checked(tmp_path, category) -> None:
    with pytest.raises(DatasetError, match="expected an id and a name in the categories"):
        read_results(tmp_path, {"categories": [category], "annotations": [make_result()]})


def test_predictions_without_a_mask_among_others_are_told(tmp_path) -> None:
    found = read_results(tmp_path, [make_result(), make_result(segmentation=None, score=0.4)])
    assert "1 prediction has no segmentation, though others have" in found.problems.describe()[0]


def test_a_results_file_has_one_score(tmp_path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([make_result()]))
    _, found = read_predictions(path, read_truth(tmp_path), scores="detector")
    assert "1 prediction has one score: --scores detector" in found.problems.describe()[0]


def test_places_in_an_image_count_predictions_that_are_left_out(tmp_path) -> None:
    scores = [0.2, 0.9, 0.5, 0.9]
    results = [make_result(score=score) for score in scores]
    results[1]["category_id"] = 1234
    found = read_results(tmp_path, results)
    assert found.rows.tolist() == [0, 2, 3]
    assert found.ranks.tolist() == [3, 2, 1]


def make_categories(names, ids=None, aliases=None):
    number = len(names)
    return Categories(
        ids=np.array(ids or range(1, number + 1), np.int64),
        names=tuple(names),
        frequencies=(None,) * number,
        splits=(None,) * number,
        aliases=aliases or ((),) * number,
    )


def test_ids_without_names_are_the_ground_truths():
    categories = make_categories(["cat", "dog"], ids=[3, 90])
    found = _choose_classes(RawPredictions("results.json"), categories, None)
    assert found.index_of_id == {3: 0, 90: 1}
    assert found.names == {3: "cat", 90: "dog"}


def test_a_name_wins_over_the_same_id_and_is_folded():
    predicted = {1: "Traffic_Light", 2: "zebra"}
    found = map_classes(predicted, make_categories(["dog", "traffic light"]))
    assert found.index_of_id == {1: 1}
    assert found.names == predicted


def test_a_name_is_found_among_the_files_own_synonyms():
    categories = make_categories(["alpha", "beta"], aliases=(("first",), ("second", "second_one")))
    assert map_classes({5: "second one"}, categories).index_of_id == {5: 1}


def test_lvis_names_are_found_on_coco_and_back():
    coco, lvis = ["tv", "couch", "person"], ["television_set", "sofa", "person"]
    for predicted, truth in ((lvis, coco), (coco, lvis)):
        found = map_classes(dict(enumerate(predicted, 50)), make_categories(truth))
        assert found.index_of_id == {50: 0, 51: 1, 52: 2}


@pytest.mark.parametrize(
    ("name", "text"), [("m.json", '{"Kitty": "cat"}'), ("m.yaml", "Kitty: cat\n")]
)
def test_a_file_wins_over_names(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    found = map_classes(
        {1: "kitty", 2: "dog"}, make_categories(["cat", "dog"]), class_map=tmp_path / name
    )
    assert found.index_of_id == {1: 0, 2: 1}


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ({"a": "cat", "b": "cat"}, "a, b not among the classes of the predictions"),
        ({"dog": "wolf", "kitty": "lion"}, "wolf, lion not among the classes of the data set"),
        ({"dog": 3}, "3 not among the classes of the data set"),
        (["dog"], "to map names of the predictions"),
    ],
)
def test_names_that_are_not_there_are_listed(tmp_path, pairs, reason):
    path = tmp_path / "m.json"
    path.write_text(json.dumps(pairs))
    with pytest.raises(DatasetError, match=reason):
        map_classes({1: "dog", 2: "kitty"}, make_categories(["cat"]), class_map=path)


def test_a_map_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="cannot read the class map"):
        map_classes({}, make_categories(["cat"]), class_map=tmp_path / "none.yaml")
    (tmp_path / "m.yaml").write_text("a: b\na: c\n")
    with pytest.raises(DatasetError, match="duplicate key"):
        map_classes({}, make_categories(["cat"]), class_map=tmp_path / "m.yaml")
