"""The rules of `ovsam filter` on tables of stored rows, and what becomes of classes."""

import json

import numpy as np
import pyarrow as pa
import pytest
from row_objects import make_object

from ovsam.errors import ConfigError, VocabularyError
from ovsam.text.vocabulary_files import load_vocabulary
from ovsam_pipeline.labelling.filter_rules import FilterConfig, plan_filter
from ovsam_pipeline.labelling.filter_table import filter_table
from ovsam_pipeline.labelling.rules import LabelRules
from ovsam_pipeline.output.parts import SCHEMA
from ovsam_pipeline.records import LabelRecord

NAMES = ("cat", "dog", "mug", "cup")
CATEGORIES = [{"id": 3 * n, "name": name} for n, name in enumerate(NAMES, start=1)]
SIZE = {"size": [10, 20], "counts": "abc"}


def make(name="cat", score=0.5, **values):
    category_id = 3 * (NAMES.index(name) + 1) if name in NAMES else 99
    values = {"segmentation": SIZE, "model_category": name, **values}
    return make_object(category_id=category_id, category=name, score=score, **values)


def make_table(*images):
    rows = [
        LabelRecord(n, f"{n}.jpg", 20, 10, "labelled" if objects else "empty", objects=objects)
        for n, objects in enumerate(map(tuple, images))
    ]
    return pa.Table.from_pylist([row.to_row() for row in rows], schema=SCHEMA)


def run(images, **settings):
    table, dropped = filter_table(
        make_table(*images), plan_filter(FilterConfig(**settings), CATEGORIES)
    )
    assert table.schema.names == SCHEMA.names
    rows = table.to_pylist()
    return [[(o["category"], o["score"]) for o in row["objects"]] for row in rows], dropped, rows


def write(tmp_path, content, name="rules.json"):
    path = tmp_path / name
    path.write_text(json.dumps(content))
    return str(path)


def test_objects_below_a_threshold_go_and_images_without_any_become_empty():
    found, dropped, rows = run([[make(score=0.25), make(score=0.75)], [], [make()]], min_score=0.6)
    assert found == [[("cat", 0.75)], [], []]
    assert [row["status"] for row in rows] == ["labelled", "empty", "empty"]
    assert dropped == {"label score below --min-score": 2}


def test_failed_rows_stay_as_they_are():
    failed = LabelRecord(7, "x.jpg", None, None, "failed", "damaged")
    table = pa.Table.from_pylist([failed.to_row()], schema=SCHEMA)
    plan = plan_filter(FilterConfig(min_score=0.5), CATEGORIES)
    assert filter_table(table, plan)[0].to_pylist() == table.to_pylist()


def test_all_other_columns_of_an_object_stay():
    table = make_table([make(), make("dog", 0.75)])
    plan = plan_filter(FilterConfig(min_score=0.6), CATEGORIES)
    kept = filter_table(table, plan)[0].to_pylist()[0]["objects"]
    assert kept == table.to_pylist()[0]["objects"][1:]


def test_risk_above_the_limit_or_unknown_goes():
    images = [[make(risk=0.25), make(risk=0.5), make(risk=None)]]
    found, dropped, _ = run(images, max_risk=0.25)
    assert found == [[("cat", 0.5)]]
    assert dropped == {"risk above --max-risk, or not known": 2}


def test_rows_of_before_there_was_a_risk_have_none():
    table = make_table([make()])
    objects = table["objects"].combine_chunks()
    fields = [field for field in objects.type.value_type if field.name != "risk"]
    columns = [objects.values.field(field.name) for field in fields]
    old = pa.ListArray.from_arrays(
        objects.offsets, pa.StructArray.from_arrays(columns, fields=fields)
    )
    table = table.set_column(table.column_names.index("objects"), "objects", old)
    plan = plan_filter(FilterConfig(max_risk=1.0), CATEGORIES)
    assert filter_table(table, plan)[0].to_pylist()[0]["status"] == "empty"


@pytest.mark.parametrize("area", ["12", "6%", "12.0"])
def test_the_least_area_is_in_pixels_or_a_share_of_the_image(area):
    images = [[make(area=11), make(area=12)]]
    assert [len(objects) for objects in run(images, min_area=area)[0]] == [1]


def test_a_rename_keeps_the_id_and_names_the_models_opinion_too():
    _, _, rows = run([[make("mug")]], renames=("mug=beer mug",))
    (item,) = rows[0]["objects"]
    names = (item["category_id"], item["category"], item["model_category"])
    assert names == (9, "beer mug", "beer mug")


def test_classes_that_get_one_name_become_one_with_the_id_of_who_had_it():
    plan = plan_filter(FilterConfig(renames=("mug=cup",)), CATEGORIES)
    assert plan.categories == [{"id": 3, "name": "cat"}, {"id": 6, "name": "dog"}, CATEGORIES[3]]
    _, _, rows = run([[make("mug"), make("cup")]], renames=("mug=cup",))
    assert [item["category_id"] for item in rows[0]["objects"]] == [12, 12]


def test_classes_merged_under_a_new_name_take_the_first_id():
    plan = plan_filter(FilterConfig(renames=("dog=pet", "cat=Pet")), CATEGORIES)
    assert plan.categories[0] == {"id": 3, "name": "Pet"}
    assert plan.names == {"cat": "Pet", "dog": "Pet"}
    assert plan.new_ids.tolist() == [3, 3, 9, 12]


def test_two_classes_can_swap_their_names():
    plan = plan_filter(FilterConfig(renames=("cat=dog", "dog=cat")), CATEGORIES)
    assert plan.categories[:2] == [{"id": 3, "name": "dog"}, {"id": 6, "name": "cat"}]


def test_the_best_of_a_merged_class_stay(tmp_path):
    rules = write(tmp_path, {"cup": {"aliases": ["mug"], "max_per_image": 2}})
    objects = [make("mug", 0.25), make("cup", 0.5), make("mug", 0.75), make("cup", 0.5)]
    found, dropped, _ = run([objects, [make("cup", 0.125)]], rules=rules)
    assert found == [[("cup", 0.5), ("cup", 0.75)], [("cup", 0.125)]]
    assert dropped == {"beyond its class's max_per_image": 2}


def test_rules_of_a_class_stand_in_for_the_general_ones(tmp_path):
    rules = write(tmp_path, {"cat": {"conf": 0.25, "min_area": 1}, "dog": {"ignore": True}})
    objects = [make("cat", 0.25, area=5), make("cat", 0.125), make("dog"), make("mug", area=5)]
    found, dropped, _ = run([objects], rules=rules, min_score=0.5, min_area="10")
    assert found == [[("cat", 0.25)]]
    assert dropped == {
        "label score below its class's conf": 1,
        "class ignored by the vocabulary": 1,
        "mask smaller than its class's min_area": 1,
    }


def test_only_classes_asked_for_stay_by_their_new_names():
    found, dropped, _ = run(
        [[make("mug"), make("cat")]], renames=("mug=glass",), classes=("Glass",)
    )
    assert found == [[("glass", 0.5)]]
    assert dropped == {"class not asked for": 1}


def test_objects_of_a_class_that_run_json_lacks_stay_unless_classes_are_chosen():
    images = [[make("ghost"), make("cat")]]
    assert run(images, min_score=0.1)[0] == [[("ghost", 0.5), ("cat", 0.5)]]
    assert run(images, classes=("cat",))[0] == [[("cat", 0.5)]]


def test_a_filter_drops_what_labelling_with_the_same_rules_drops(tmp_path):
    random = np.random.default_rng(3)
    entries = {
        "cat": {"conf": 0.6, "max_per_image": 2},
        "dog": {"min_area": "5%", "max_per_image": 1},
        "mug": {"ignore": True},
    }
    path = write(
        tmp_path, [{"name": n, "id": 3 * i + 3, **entries.get(n, {})} for i, n in enumerate(NAMES)]
    )
    images = [
        [
            make(NAMES[n % 4], float(s) / 64, area=int(a))
            for n, s, a in random.integers(64, size=(12, 3))
        ]
        for _ in range(20)
    ]
    rules = LabelRules(load_vocabulary(path))
    labelled = [rules.keep_by_class(objects)[0] for objects in images]
    found, _, _ = run(images, vocabulary=path)
    assert found == [[(o.category, o.score) for o in objects] for objects in labelled]
    assert 0 < sum(map(len, found)) < 12 * 20


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "expected something to filter by: --min-score, --max-risk"),
        ({"min_score": 1.5}, "expected --min-score from 0 to 1, got 1.5"),
        ({"max_risk": float("nan")}, "expected --max-risk from 0 to 1, got nan"),
        ({"min_area": "-3"}, "expected an area as a number of at least 0, got -3"),
        ({"min_area": "many"}, "expected an area as pixels, or a share of the image"),
        ({"renames": ("mug",)}, "expected --rename as OLD=NEW, got 'mug'"),
        ({"renames": ("mugg=cup",)}, r"of a class of the output, got 'mugg' \(did you mean 'mug'"),
        ({"renames": ("mug= ",)}, "expected a class name at --rename mug= , got ' '"),
        ({"renames": ("mug=a", "mug=b")}, "expected one new name for 'mug', got --rename to 'a'"),
        ({"classes": ("dgo",)}, r"expected --classes of the output, .* got 'dgo' \(did you mean"),
        ({"renames": ("dog=x",), "classes": ("dog",)}, "as they are after renaming, got 'dog'"),
    ],
)
def test_what_cannot_work_is_one_sentence(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        plan_filter(FilterConfig(**settings), CATEGORIES)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"cta": {"conf": 0.5}}, "has rules for 'cta', which is no class of the output"),
        (["cat", "dog"], "expected rules of classes .* got names alone"),
        ({"cat": {"conf": 2}}, "expected 'conf' as a number from 0 to 1 at entry 1"),
        ({n: {"ignore": True} for n in NAMES}, "expected a class that is kept, got none of the 4"),
    ],
)
def test_files_with_rules_that_cannot_work_are_refused(tmp_path, entries, sentence):
    config = FilterConfig(rules=write(tmp_path, entries))
    with pytest.raises((ConfigError, VocabularyError), match=sentence):
        plan_filter(config, CATEGORIES)


def test_a_name_with_an_equals_sign_can_be_renamed():
    categories = [{"id": 1, "name": "E=mc2"}, {"id": 2, "name": "b"}]
    plan = plan_filter(FilterConfig(renames=("E=mc2=formula", "b=a=c")), categories)
    assert plan.names == {"E=mc2": "formula", "b": "a=c"}


def test_a_vocabulary_may_have_more_classes_and_its_aliases_rename_nothing(tmp_path):
    entries = {"cup": {"aliases": ["mug"], "conf": 0.75}, "fork": {"ignore": True}}
    images = [[make("mug"), make("cup")]]
    assert run(images, vocabulary=write(tmp_path, entries))[0] == [[("mug", 0.5)]]


def test_a_vocabulary_without_rules_is_refused():
    with pytest.raises(ConfigError, match=r"expected rules of a class .* in everyday, got none"):
        plan_filter(FilterConfig(vocabulary="everyday"), CATEGORIES)


def test_below_other_names_low_scores_other_and_keeps_them(tmp_path):
    rules = write(tmp_path, {"dog": {"ignore": True}, "cup": {"conf": 0.125}})
    objects = [make("cat", 0.25), make("cat", 0.75), make("dog", 0.25), make("cup", 0.25)]
    found, dropped, rows = run([objects], rules=rules, min_score=0.5, below="other")
    assert found == [[("other", 0.25), ("cat", 0.75), ("cup", 0.25)]]
    first = rows[0]["objects"][0]
    assert (first["category_id"], first["model_category"]) == (13, "cat")
    assert dropped == {"class ignored by the vocabulary": 1}


def test_the_outputs_own_class_other_is_taken():
    categories = [*CATEGORIES, {"id": 40, "name": "Other"}]
    plan = plan_filter(FilterConfig(min_score=0.5, below="other"), categories)
    assert plan.categories == categories
    table, _ = filter_table(make_table([make("cat", 0.25)]), plan)
    (item,) = table.to_pylist()[0]["objects"]
    assert (item["category_id"], item["category"]) == (40, "Other")


def test_other_objects_have_to_pass_the_general_area_and_risk():
    images = [[make(score=0.25, area=5), make(score=0.25, risk=0.9), make(score=0.25, risk=0.1)]]
    found, dropped, _ = run(images, min_score=0.5, below="other", min_area="10", max_risk=0.5)
    assert found == [[("other", 0.25)]]
    assert dropped.total() == 2


def test_below_other_alone_filters_nothing_and_is_refused():
    with pytest.raises(ConfigError, match="expected something to filter by"):
        FilterConfig(below="other")
    with pytest.raises(ConfigError, match="expected --below as drop or other, got 'keep'"):
        FilterConfig(min_score=0.5, below="keep")


def test_a_rename_may_change_the_case_alone():
    plan = plan_filter(FilterConfig(renames=("cat=Cat",)), CATEGORIES)
    assert plan.categories[0] == {"id": 3, "name": "Cat"}
    assert plan.names == {"cat": "Cat"}
