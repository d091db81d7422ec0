import json
import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from ovsam.errors import ConfigError
from ovsam.text.vocabulary import Vocabulary
from ovsam.text.vocabulary_files import load_vocabulary
from ovsam_pipeline.detectors.base import Detections
from ovsam_pipeline.detectors.class_match import match_detector_classes, read_class_map
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.labelling.provenance import describe_matching
from ovsam_pipeline.labelling.rules import build_rules
from ovsam_pipeline.settings.label import LabelConfig

ANIMALS = Vocabulary(["cat", "dog", "traffic light"], title="animals")


def build(names, vocabulary=ANIMALS, kept=None, **settings):
    config = LabelConfig(**{"sources": ("x",), "labels": "model", **settings})
    return build_rules(config, vocabulary, kept, SimpleNamespace(class_names=names, name="fake"))


def test_detector_of_coco_and_the_coco_vocabulary_match_without_a_word(caplog):
    coco = load_vocabulary("coco")
    rules = build(coco.names, coco, labels="fused")
    assert rules.detector_labels == {name: index for index, name in enumerate(coco.names)}
    assert not caplog.records
    assert describe_matching(LabelConfig(sources=("x",), labels="fused"), rules) == {}


def test_names_are_compared_folded_and_an_exact_name_wins_over_an_alias():
    words = Vocabulary(["Sofa", "couch"], aliases=[["sofa", "couch"], []])
    assert match_detector_classes(["COUCH", "sofa"], words) == {"COUCH": 1, "sofa": 0}
    assert match_detector_classes(["Traffic_Light"], ANIMALS) == {"Traffic_Light": 2}


@pytest.mark.parametrize(
    ("name", "lvis"),
    [("tv", "television_set"), ("couch", "sofa"), ("car", "car_(automobile)"), ("tie", "necktie")],
)
def test_coco_and_lvis_call_one_thing_by_two_names(name, lvis):
    vocabulary = load_vocabulary("lvis")
    assert match_detector_classes([name], vocabulary) == {name: vocabulary.names.index(lvis)}
    assert match_detector_classes([lvis], Vocabulary([name])) == {lvis: 0}


def test_a_word_of_two_meanings_belongs_to_neither():
    """LVIS has bow_(weapon) and bow_(decorative_ribbons)."""
    assert match_detector_classes(["bow"], load_vocabulary("lvis")) == {}


@pytest.mark.parametrize(
    ("name", "text"), [("m.json", '{"Wolf": "dog"}'), ("m.yaml", "Wolf: dog\n")]
)
def test_a_class_map_goes_before_names(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    path = str(tmp_path / name)
    for labels in ("model", "detector", "fused"):
        rules = build(("wolf", "cat"), labels=labels, class_map=path)
        assert rules.detector_labels == {"wolf": 1, "cat": 0}
        found = describe_matching(LabelConfig(sources=("x",), class_map=path), rules)
        assert list(found) == ["class_map_hash"]


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ({"lynx": "cat", "puma": "cat"}, "lynx, puma not among the classes of the detector$"),
        ({"wolf": "hound"}, "classes: hound not among the classes of the vocabulary animals$"),
        ({"lynx": "hound"}, "lynx not among .* the detector; hound not among .* animals$"),
        ({"Wolf": "cat", "wolf": "dog"}, "expected one class for .*, got 'Wolf: cat' and 'wolf: d"),
        (["wolf"], "expected .* to map names of the detector to names of the vocabulary animals"),
    ],
)
def test_names_of_a_class_map_that_are_not_there_are_listed(tmp_path, pairs, reason):
    (tmp_path / "m.json").write_text(json.dumps(pairs))
    with pytest.raises(DatasetError, match=reason):
        build(("wolf",), class_map=str(tmp_path / "m.json"))


def test_two_spellings_of_one_name_may_mean_the_same_class(tmp_path):
    (tmp_path / "m.json").write_text('{"Wolf": "dog", "wolf": "Dog"}')
    rules = build(("wolf",), class_map=str(tmp_path / "m.json"))
    assert rules.detector_labels == {"wolf": 1}


def test_a_class_map_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match=r"cannot read the class map .*none.yaml"):
        build(("wolf",), class_map=str(tmp_path / "none.yaml"))


@pytest.mark.parametrize("labels", ["detector", "fused"])
def test_classes_that_the_vocabulary_lacks_are_an_error_that_lists_them(labels):
    with pytest.raises(ConfigError, match=r"2 of the 3 .* fake .* animals: wolf, gryphon; .*-map"):
        build(("wolf", "cat", "gryphon"), labels=labels)
    many = tuple(f"thing {index}" for index in range(30))
    with pytest.raises(ConfigError, match=r"thing 19 and 10 more; .*--allow-unmatched"):
        build(many, labels=labels)


def test_labels_of_the_model_need_no_match():
    assert build(("wolf", "cat")).detector_labels == {"cat": 0}


def test_allowed_names_pass_and_what_is_not_asked_for_does_not():
    found = Detections(
        np.array([[9 * i, 0, 9 * i + 5, 5] for i in range(3)], np.float32),
        np.array([0.9, 0.8, 0.7], np.float32),
        ("wolf", "cat", "dog"),
    )
    rules = build(("wolf", "cat", "dog"), labels="detector", allow_unmatched=True)
    assert rules.choose_boxes(found, (99, 99))[0].category_names == ("wolf", "cat", "dog")
    rules = replace(rules, kept=frozenset([1]))
    assert rules.choose_boxes(found, (99, 99))[0].category_names == ("wolf", "dog")
    assert describe_matching(
        LabelConfig(sources=("x",), labels="detector", allow_unmatched=True), rules
    ) == {"allow_unmatched": True}


def test_an_evaluation_leaves_out_what_the_data_set_lacks(caplog):
    rules = build(("wolf", "cat"), labels="detector", protocol="evaluate")
    boxes = np.array([[0, 0, 5, 5], [9, 9, 15, 15]], np.float32)
    found = Detections(boxes, np.ones(2, np.float32), ("wolf", "cat"))
    assert rules.choose_boxes(found, (99, 99))[0].category_names == ("cat",)
    assert "1 of the 2 classes of fake are not in the vocabulary animals: wolf" in caplog.text


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"labels": "fused"}, "--labels fused"),
        ({"labels": "detector"}, "--labels detector"),
        ({"class_map": "m.json"}, "--class-map"),
    ],
)
def test_a_detector_without_classes_cannot_name_objects(settings, flag):
    with pytest.raises(ConfigError, match=f"{flag} needs a detector that names its boxes"):
        build(None, **settings)


def test_a_pipe_as_class_map_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "m.yaml")
    with pytest.raises(DatasetError, match="it is a pipe, socket or device"):
        read_class_map(tmp_path / "m.yaml", ["cat"], ["dog"], ("a", "b"))
