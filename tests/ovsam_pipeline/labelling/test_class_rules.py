"""The rules of classes, on objects and through the labelling of images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_labeller import NAMES, make_labeller
from row_objects import make_object

from ovsam.errors import ConfigError
from ovsam.text.class_rules import ClassRules
from ovsam.text.vocabulary import Vocabulary
from ovsam_pipeline.labelling.facts import refuse_ignored
from ovsam_pipeline.labelling.label_images import label_images
from ovsam_pipeline.labelling.rules import (
    BELOW_CONF,
    BELOW_MIN_AREA,
    BEYOND_MAX_PER_IMAGE,
    IGNORED,
    LabelRules,
)
from ovsam_pipeline.labelling.stats import ShardStats
from ovsam_pipeline.records import ImageRecord

SIZE = {"size": [10, 20], "counts": "abc"}


def make_vocabulary(**rules: ClassRules) -> Vocabulary:
    plain = Vocabulary(NAMES).classes
    classes = [replace(item, rules=rules.get(item.name, ClassRules())) for item in plain]
    return Vocabulary.from_classes(classes, "own")


def keep(rules: ClassRules, *objects):
    return LabelRules(make_vocabulary(cat=rules)).keep_by_class(objects)


def make_cat(score=0.5, area=12):
    return make_object(category_id=1, category="cat", score=score, area=area, segmentation=SIZE)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (ClassRules(ignore=True), IGNORED),
        (ClassRules(conf=0.51), BELOW_CONF),
        (ClassRules(min_area=12.5), BELOW_MIN_AREA),
        (ClassRules(min_area_share=0.061), BELOW_MIN_AREA),
    ],
)
def test_an_object_that_breaks_a_rule_of_its_class_goes_and_others_stay(rules, reason):
    dog = make_object(category_id=2, category="dog", segmentation=SIZE)
    kept, dropped = keep(rules, make_cat(), dog)
    assert kept == (dog,)
    assert dropped == {reason: 1}


def test_limits_themselves_are_kept():
    rules = ClassRules(conf=0.5, min_area=12, min_area_share=0.06, max_per_image=1)
    assert keep(rules, make_cat())[0] == (make_cat(),)


def test_the_best_objects_of_an_image_stay_in_their_order():
    low, best, fair, tie = (make_cat(score) for score in (0.25, 0.875, 0.5, 0.5))
    kept, dropped = keep(ClassRules(max_per_image=2), low, best, fair, tie)
    assert kept == (best, fair)
    assert dropped == {BEYOND_MAX_PER_IMAGE: 2}


def test_objects_that_another_rule_drops_take_no_place():
    small, large = make_cat(0.875, area=1), make_cat(0.5)
    assert keep(ClassRules(max_per_image=1, min_area=5), small, large)[0] == (large,)


def label(name: str, vocabulary: Vocabulary, **rules):
    """Label one picture with the fakes, which call its two boxes by brightness, with .75."""
    stats = ShardStats()
    labeller = make_labeller(
        rules=LabelRules(vocabulary, **rules),
        decode=lambda record, **_: np.zeros((20, 40, 3), np.uint8),
    )
    (row,) = label_images([ImageRecord(1, name, Path(name), 1, 1)], labeller, stats=stats)
    return row, stats.dropped


def test_an_ignored_class_competes_and_never_comes_out():
    everything, _ = label("a.jpg", make_vocabulary())
    named = [item.category for item in everything.objects]
    row, dropped = label("a.jpg", make_vocabulary(**{named[0]: ClassRules(ignore=True)}))
    assert [item.category for item in row.objects] == named[1:]
    assert dropped == {IGNORED: 1}


def test_a_conf_of_a_class_stands_in_for_the_least_score_of_the_run():
    everything, _ = label("a.jpg", make_vocabulary())
    first = everything.objects[0].category
    row, dropped = label("a.jpg", make_vocabulary(**{first: ClassRules(conf=0.7)}), min_score=0.8)
    assert [item.category for item in row.objects] == [first]
    assert dropped["label score below --min-score"] == 1


def test_ignored_classes_are_no_categories_of_the_output():
    rules = LabelRules(make_vocabulary(dog=ClassRules(ignore=True)))
    assert [item["name"] for item in rules.list_categories()] == ["cat", "tree"]


def test_asking_for_an_ignored_class_is_refused():
    vocabulary = make_vocabulary(dog=ClassRules(ignore=True))
    with pytest.raises(ConfigError, match="--classes asks for 'dog', which the vocabulary 'own'"):
        refuse_ignored(vocabulary, frozenset({1}))


def test_a_vocabulary_of_ignored_classes_alone_is_refused():
    vocabulary = make_vocabulary(**dict.fromkeys(NAMES, ClassRules(ignore=True)))
    with pytest.raises(ConfigError, match="expected a class that is not ignored in the vocab"):
        refuse_ignored(vocabulary, None)


def test_below_other_names_low_scores_other_and_keeps_their_masks():
    everything, _ = label("a.jpg", make_vocabulary())
    row, dropped = label("a.jpg", make_vocabulary(), min_score=0.8, below="other")
    assert [(item.category_id, item.category) for item in row.objects] == [(4, "other")] * 2
    kept = [(item.score, item.segmentation, item.model_category) for item in everything.objects]
    assert [(o.score, o.segmentation, o.model_category) for o in row.objects] == kept
    assert not dropped


def test_below_other_goes_by_the_conf_of_a_class_and_leaves_ignored_ones_ignored():
    everything, _ = label("a.jpg", make_vocabulary())
    first, second = (item.category for item in everything.objects)
    vocabulary = make_vocabulary(**{first: ClassRules(conf=0.7), second: ClassRules(ignore=True)})
    row, dropped = label("a.jpg", vocabulary, min_score=0.8, below="other")
    assert [item.category for item in row.objects] == [first]
    assert dropped == {IGNORED: 1}


def test_other_is_a_category_of_its_own_unless_the_vocabulary_has_it():
    rules = LabelRules(make_vocabulary(), min_score=0.8, below="other")
    assert rules.list_categories()[-1] == {"id": 4, "name": "other"}
    rules = LabelRules(Vocabulary(["cat", "Other"]), min_score=0.8, below="other")
    assert rules.list_categories() == [{"id": 1, "name": "cat"}, {"id": 2, "name": "Other"}]


def test_a_score_below_the_conf_of_a_class_is_counted_as_that():
    everything, _ = label("a.jpg", make_vocabulary())
    first = everything.objects[0].category
    _, dropped = label("a.jpg", make_vocabulary(**{first: ClassRules(conf=0.8)}))
    assert dropped == {BELOW_CONF: 1}
