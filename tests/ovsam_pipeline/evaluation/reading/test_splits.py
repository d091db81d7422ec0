import numpy as np
from build_tables import build_truth

from ovsam.text.vocabulary import Vocabulary
from ovsam.text.vocabulary_files import load_vocabulary
from ovsam_pipeline.evaluation.reading.truth import keep_split_classes, with_splits


def make_truth(names, splits=None):
    categories = [{"id": i, "name": name} for i, name in enumerate(names, start=1)]
    data = {"images": [], "annotations": [], "categories": categories}
    return build_truth(data, splits=splits)


def test_splits_come_from_the_vocabulary_by_name():
    names = ("Traffic_Light", "umbrella", "person", "no such thing")
    found = with_splits(make_truth(names), load_vocabulary("coco"))
    assert found.categories.splits == (None, "novel", "base", None)


def test_coco_has_48_base_and_17_novel_classes_and_lvis_337_rare_ones():
    for name, counts in (("coco", (48, 17, 15)), ("lvis", (866, 337, 0))):
        vocabulary = load_vocabulary(name)
        splits = np.array(with_splits(make_truth(vocabulary.names), vocabulary).categories.splits)
        found = tuple(int((splits == kind).sum()) for kind in ("base", "novel", None))
        assert found == counts


def test_alias_of_one_class_finds_its_split():
    vocabulary = Vocabulary(["couch", "lamp"], novel=[0], aliases=[["couch", "sofa"], []])
    assert with_splits(make_truth(["sofa"]), vocabulary).categories.splits == ("novel",)


def test_own_splits_of_a_file_win_and_none_takes_them_away():
    truth = make_truth(("person", "umbrella"), splits=("novel", None))
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
        truth = make_truth(("a", "b"), splits=splits)
        assert keep_split_classes(truth) is truth
