import json
import math

import numpy as np
import pytest

from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.predictions import read_predictions
from ovsam_pipeline.evaluation.reading.truth import read_ground_truth

# Rows 5 to 8 and columns 3 to 19 of an image of 60 x 40 pixels.
MASK = "m34T10000000000000000000000000000000ka1"
RLE = {"size": [40, 60], "counts": [100, 20, 2280]}


def make_truth(**more):
    return {
        "images": [
            {"id": 70, "file_name": "b.jpg", "height": 40, "width": 60},
            {"id": 7, "file_name": "sub/a.jpg", "height": 40, "width": 60},
        ],
        "annotations": [make_annotation(5, 70), make_annotation(3, 7), make_annotation(4, 7)],
        "categories": [{"id": 9, "name": "cup"}, {"id": 2, "name": "dog", "split": "novel"}],
        **more,
    }


def make_annotation(number, image_id, **more):
    fields = {"category_id": 9, "bbox": [1, 2, 10, 20], "area": 150, "segmentation": RLE}
    return {"id": number, "image_id": image_id, **fields, **more}


def make_result(**more):
    fields = {"image_id": 7, "category_id": 9, "bbox": [1, 2, 10, 20], "score": 0.5}
    return {**fields, "segmentation": {"size": [40, 60], "counts": MASK}, **more}


def read_truth(tmp_path, data=None, **options):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(make_truth() if data is None else data))
    return read_ground_truth(path, **options)


def read_results(tmp_path, results, data=None):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    return read_predictions(path, read_truth(tmp_path, data))


def test_images_are_sorted_by_id_and_annotations_by_image(tmp_path) -> None:
    truth = read_truth(tmp_path)
    assert truth.image_ids.tolist() == [7, 70]
    assert truth.file_names == ("sub/a.jpg", "b.jpg")
    assert truth.annotation_ids.tolist() == [3, 4, 5]
    assert truth.image_index.tolist() == [0, 0, 1]
    assert truth.categories.names == ("dog", "cup")
    assert truth.categories.splits == ("novel", None)
    assert truth.category_index.tolist() == [1, 1, 1]
    assert truth.segments.read(int(truth.segment_rows[0])) == RLE
    assert not truth.is_lvis
    assert truth.problems.describe() == []


def test_the_first_images_by_id_can_be_asked_for(tmp_path) -> None:
    truth = read_truth(tmp_path, limit=1)
    assert truth.image_ids.tolist() == [7]
    assert truth.annotation_ids.tolist() == [3, 4]
    assert truth.problems.describe() == []


def test_lvis_lists_become_codes_of_image_and_category(tmp_path) -> None:
    data = make_truth()
    data["images"][0] |= {"neg_category_ids": [2], "not_exhaustive_category_ids": [9, 1234]}
    truth = read_truth(tmp_path, data)
    assert truth.is_lvis
    assert truth.negative.tolist() == [1 * 2 + 0]
    assert truth.not_exhaustive.tolist() == [1 * 2 + 1]


def test_crowds_are_ignored_in_coco_and_unknown_to_lvis(tmp_path) -> None:
    data = make_truth(annotations=[make_annotation(1, 7, iscrowd=1)])
    assert read_truth(tmp_path, data).is_ignored.tolist() == [True]
    assert read_truth(tmp_path, data, style="lvis").is_ignored.tolist() == [False]


@pytest.mark.parametrize(
    ("annotation", "sentence"),
    [
        (make_annotation(1, 99), "1 annotations are of images that the file does not list"),
        (make_annotation(1, 7, category_id=5), "1 annotations are of categories that"),
        (make_annotation("1", "7"), "1 ids are written as text"),
        (make_annotation(1, 7, segmentation=[[1, 2, 3, 4]]), "1 polygons have fewer than three"),
        (
            make_annotation(1, 7, segmentation={"size": [40, 60], "counts": "0h"}),
            "1 masks have dam",
        ),
        (make_annotation(1, 7, area=None), "1 annotations have no area"),
        (make_annotation(1, 7, bbox=None), "1 annotations have no box"),
    ],
)
def test_odd_annotations_are_counted_and_named(tmp_path, annotation, sentence) -> None:
    truth = read_truth(tmp_path, make_truth(annotations=[annotation]))
    found = [line for line in truth.problems.describe() if line.startswith(sentence)]
    assert found
    assert "such as" in found[0]


def test_a_missing_box_is_that_of_the_polygon(tmp_path) -> None:
    annotation = make_annotation(1, 7, bbox=None, segmentation=[[1, 2, 5, 2, 5, 9]])
    truth = read_truth(tmp_path, make_truth(annotations=[annotation]))
    assert truth.boxes_xywh.tolist() == [[1, 2, 4, 7]]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"images": [{"id": 1}, {"id": 1}]}, "different image ids"),
        ({"images": [{"id": "a1"}]}, "whole number as id in images"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "different category"),
        ({"annotations": [make_annotation(1, 7), make_annotation(1, 70)]}, "got 1 2 times"),
    ],
)
def test_truth_that_makes_no_sense_is_an_error(tmp_path, more, words) -> None:
    with pytest.raises(DatasetError, match=words):
        read_truth(tmp_path, make_truth(**more))


def test_a_list_is_no_truth_and_a_cut_file_says_so(tmp_path) -> None:
    with pytest.raises(DatasetError, match="results are given as --predictions"):
        read_truth(tmp_path, [])
    path = tmp_path / "cut.json"
    path.write_text(json.dumps(make_truth())[:300])
    with pytest.raises(DatasetError, match=r"expected JSON in .*cut\.json"):
        read_ground_truth(path)


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
        (make_result(image_id=1), "1 predictions are of images"),
        (make_result(category_id=1), "1 predictions are of classes"),
        (make_result(score=math.nan), "1 predictions have a score that is not finite"),
        (make_result(bbox=[1, 2, 3]), "1 predictions have a box that is not four"),
        (make_result(bbox=[1, 2, math.inf, 3]), "1 predictions have a box that is not four"),
        (make_result(segmentation={"size": [40, 60], "counts": "0h"}), "1 masks have damaged"),
        (make_result(segmentation={"size": [40, 60], "counts": "0oooo0"}), "1 masks have damaged"),
        (make_result(segmentation={"size": [40, 60], "counts": [5, 5]}), "1 masks have damaged"),
        (make_result(segmentation={"size": [40], "counts": MASK}), "1 masks have damaged"),
    ],
)
def test_results_that_cannot_be_used_are_left_out_and_counted(tmp_path, result, sentence) -> None:
    found = read_results(tmp_path, [make_result(), result])
    assert found.rows.tolist() == [0]
    assert [line for line in found.problems.describe() if line.startswith(sentence)]


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (make_result(), "1 predictions are there twice: kept, such as row 1"),
        (make_result(bbox=[50, 2, 30, 20]), "1 boxes reach beyond their image: kept"),
        (make_result(bbox=[5, 2, -3, 20]), "1 boxes have a negative width"),
        (make_result(image_id="7", score=1), "1 image_ids are written as text"),
        (make_result(image_id="a", score=1), "1 image_ids are written as file names"),
        (
            make_result(score=1, segmentation={"size": [4, 6], "counts": [24]}),
            "1 masks have another size than their image",
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
        ([make_result(image_id=1)], "got none of 1: they are of images such as 1"),
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
    assert read_predictions(results, truth, class_map=path).category_index.tolist() == [0]
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
    found = read_predictions(path, truth)
    assert len(found) == 2
    (sentence,) = (x for x in found.problems.describe() if "images" in x)
    assert sentence.startswith("1 predictions are of images that are not among the 1 measured")
    assert sentence.endswith("row 1 (image_id 70, category_id 9)")


def test_only_predictions_behind_the_limit_are_no_predictions(tmp_path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([make_result(image_id=70)]))
    assert len(read_predictions(path, read_truth(tmp_path, limit=1))) == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"annotations": None}, "expected a list of annotations"),
        ({"images": [{"id": 7, "neg_category_ids": ["x"]}]}, "neg_category_ids of image 7"),
        ({"images": [{"id": 7, "neg_category_ids": 3}]}, "neg_category_ids of image 7"),
    ],
)
def test_lists_that_are_none_are_named(tmp_path, more, words) -> None:
    with pytest.raises(DatasetError, match=words):
        read_truth(tmp_path, make_truth(**more))


def test_absent_lists_may_be_null_and_sides_whole_floats(tmp_path) -> None:
    image = {"id": 7, "height": 40.0, "width": 60, "neg_category_ids": None}
    truth = read_truth(tmp_path, make_truth(images=[image]))
    assert truth.is_lvis
    assert truth.image_sizes_hw.tolist() == [[40, 60]]


def test_odd_frequencies_ids_of_zero_and_missing_masks_are_told(tmp_path) -> None:
    annotations = [make_annotation(0, 7, segmentation=None), make_annotation(1, 7)]
    categories = [{"id": 9, "name": "cup", "frequency": "common"}]
    truth = read_truth(tmp_path, make_truth(annotations=annotations, categories=categories))
    assert truth.categories.frequencies == (None,)
    assert truth.has_masks
    told = " ".join(truth.problems.describe())
    for words in ("'common'", "1 annotations have the id 0", "1 annotations have no segmentation"):
        assert words in told


def test_a_truth_without_any_mask_says_so(tmp_path) -> None:
    truth = read_truth(tmp_path, make_truth(annotations=[make_annotation(1, 7, segmentation=[])]))
    assert not truth.has_masks
    assert truth.problems.describe() == []


@pytest.mark.parametrize("category", ["cup", {"id": "x", "name": "cup"}, {"id": 9}])
def test_categories_of_predictions_are_checked(tmp_path, category) -> None:
    with pytest.raises(DatasetError, match="whole number as id and a name in the categories"):
        read_results(tmp_path, {"categories": [category], "annotations": [make_result()]})


def test_predictions_without_a_mask_among_others_are_told(tmp_path) -> None:
    found = read_results(tmp_path, [make_result(), make_result(segmentation=None, score=0.4)])
    assert "1 predictions have no segmentation, though others have" in found.problems.describe()[0]


def test_a_results_file_has_one_score(tmp_path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([make_result()]))
    found = read_predictions(path, read_truth(tmp_path), scores="detector")
    assert "1 predictions have one score: --scores detector" in found.problems.describe()[0]


def test_places_in_an_image_count_predictions_that_are_left_out(tmp_path) -> None:
    scores = [0.2, 0.9, 0.5, 0.9]
    results = [make_result(score=score) for score in scores]
    results[1]["category_id"] = 1234
    found = read_results(tmp_path, results)
    assert found.rows.tolist() == [0, 2, 3]
    assert found.ranks.tolist() == [3, 2, 1]
