import json

import numpy as np
import pytest
from build_tables import build_truth
from coco_files import RLE, make_annotation, make_truth, read_truth

from ovsam.text.vocabulary import Vocabulary
from ovsam.text.vocabulary_files import load_vocabulary
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.truth import (
    keep_split_classes,
    read_ground_truth,
    with_splits,
)


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
        (make_annotation(1, 99), "1 annotation is of an image that the file does not list"),
        (make_annotation(1, 7, category_id=5), "1 annotation is of a category that"),
        (make_annotation("1", "7"), "1 id is written as text"),
        (make_annotation(1, 7, segmentation=[[1, 2, 3, 4]]), "1 polygon has fewer than three"),
        (
            make_annotation(1, 7, segmentation={"size": [40, 60], "counts": "0h"}),
            "1 mask has dam",
        ),
        (make_annotation(1, 7, area=None), "1 annotation has no area"),
        (make_annotation(1, 7, bbox=None), "1 annotation has no box"),
    ],
)
def test_odd_annotations_are_counted_and_named(tmp_path, annotation, sentence) -> None:
    truth = read_truth(tmp_path, make_truth(annotations=[annotation]))
    found = [line for line in truth.problems.describe() if line.startswith(sentence)]
    assert found
    assert found[0].endswith(")")


def test_a_missing_box_is_that_of_the_polygon(tmp_path) -> None:
    annotation = make_annotation(1, 7, bbox=None, segmentation=[[1, 2, 5, 2, 5, 9]])
    truth = read_truth(tmp_path, make_truth(annotations=[annotation]))
    assert truth.boxes_xywh.tolist() == [[1, 2, 4, 7]]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"images": [{"id": 1}, {"id": 1}]}, "different image ids"),
        ({"images": [{"id": [1]}]}, "expected a whole number or a text as id in images"),
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


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"annotations": None}, "expected a list of annotations"),
        ({"images": [{"id": 7, "neg_category_ids": [0.5]}]}, "neg_category_ids of image 7"),
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
    for words in ("'common'", "1 annotation has the id 0", "1 annotation has no segmentation"):
        assert words in told


def test_a_truth_without_any_mask_says_so(tmp_path) -> None:
    truth = read_truth(tmp_path, make_truth(annotations=[make_annotation(1, 7, segmentation=[])]))
    assert not truth.has_masks
    assert truth.problems.describe() == []


def make_classes(names, splits=None):
    categories = [{"id": i, "name": name} for i, name in enumerate(names, start=1)]
    data = {"images": [], "annotations": [], "categories": categories}
    return build_truth(data, splits=splits)


def test_splits_come_from_the_vocabulary_by_name():
    names = ("Traffic_Light", "umbrella", "person", "no such thing")
    found = with_splits(make_classes(names), load_vocabulary("coco"))
    assert found.categories.splits == (None, "novel", "base", None)


def test_coco_has_48_base_and_17_novel_classes_and_lvis_337_rare_ones():
    for name, counts in (("coco", (48, 17, 15)), ("lvis", (866, 337, 0))):
        vocabulary = load_vocabulary(name)
        splits = np.array(with_splits(make_classes(vocabulary.names), vocabulary).categories.splits)
        found = tuple(int((splits == kind).sum()) for kind in ("base", "novel", None))
        assert found == counts


def test_alias_of_one_class_finds_its_split():
    vocabulary = Vocabulary(["couch", "lamp"], novel=[0], aliases=[["couch", "sofa"], []])
    assert with_splits(make_classes(["sofa"]), vocabulary).categories.splits == ("novel",)


def test_own_splits_of_a_file_win_and_none_takes_them_away():
    truth = make_classes(("person", "umbrella"), splits=("novel", None))
    kept = with_splits(truth, load_vocabulary("coco"))
    assert kept.categories.splits == ("novel", None)
    assert with_splits(truth, None).categories.splits == (None, None)


def make_small(is_lvis=False):
    """Two images; the first has only an annotation of a class in neither set."""
    images = [{"id": n, "height": 9, "width": 9, "neg_category_ids": [1, 2]} for n in (5, 6)]
    items = [(1, 5, 2), (2, 6, 2), (3, 6, 3)]
    return build_truth(
        {
            "images": images,
            "annotations": [{"id": a, "image_id": i, "category_id": c} for a, i, c in items],
            "categories": [{"id": n, "name": str(n)} for n in (1, 2, 3)],
        },
        is_lvis=is_lvis,
        splits=("base", None, "novel"),
    )


def test_classes_in_neither_set_go_and_images_with_nothing_else():
    truth = keep_split_classes(make_small(is_lvis=True))
    assert truth.image_ids.tolist() == [6]
    assert truth.num_left_out == 1
    assert truth.categories.ids.tolist() == [1, 3]
    assert truth.categories.splits == ("base", "novel")
    assert truth.annotation_ids.tolist() == [3]
    assert (truth.image_index.tolist(), truth.category_index.tolist()) == ([0], [1])
    assert truth.negative.tolist() == [0]  # image 6, class 1


def test_nothing_goes_where_all_or_no_classes_are_in_a_set():
    for splits in ((None, None), ("base", "novel")):
        truth = make_classes(("a", "b"), splits=splits)
        assert keep_split_classes(truth) is truth
