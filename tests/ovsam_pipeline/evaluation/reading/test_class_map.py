import json

import numpy as np
import pytest

from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.columns import RawPredictions
from ovsam_pipeline.evaluation.reading.predictions import _choose_classes, map_classes
from ovsam_pipeline.evaluation.structures import Categories


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
    with pytest.raises(DatasetError, match="stands twice"):
        map_classes({}, make_categories(["cat"]), class_map=tmp_path / "m.yaml")
