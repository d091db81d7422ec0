import numpy as np
from build_tables import build_truth

from ovsam.vocabulary import Vocabulary, load_vocabulary
from ovsam_pipeline.evaluation.splits import with_splits


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
