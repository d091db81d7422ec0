"""Who names an object; numbers worked by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from ovsam.errors import ConfigError
from ovsam.text.vocabulary import Vocabulary
from ovsam_pipeline.detectors.base import Detections
from ovsam_pipeline.labelling.choice import choose_label, fuse_with_detector
from ovsam_pipeline.labelling.rules import LabelRules

NAMES = ("cat", "dog", "tree")


def make_prediction(*rows):
    """OV-SAM's probabilities, one row a prompt, as it gives them: not scaled, background last."""
    shares = np.array(rows)
    logits = np.log(np.concatenate([shares, np.full((len(shares), 1), 0.9)], axis=1)) + 3
    return SimpleNamespace(
        labels=shares.argmax(1),
        scores=shares.max(1),
        fused_logits=logits.astype(np.float32),
        is_named=True,
    )


def choose(shares, names, score, labels, matched=None):
    boxes = np.array([[0, 0, 5, 5]], np.float32)
    names = (names,) if isinstance(names, str) else names
    found = Detections(boxes, np.array([score], np.float32), names)
    matched = {"kitty": 0, "wolf": 1} if matched is None else matched
    rules = LabelRules(Vocabulary(NAMES), labels=labels, detector_labels=matched)
    return choose_label(make_prediction(shares), found, rules, 0)


def test_model_names_the_object_and_the_margin_compares_it_with_the_detectors_class():
    chosen = choose((0.5, 0.2, 0.3), "wolf", 0.9, "model")
    assert (chosen.index, chosen.score) == (0, 0.5)
    assert chosen.detector_margin == pytest.approx(0.5 - 0.2)


def test_margin_is_zero_where_both_agree():
    assert choose((0.5, 0.2, 0.3), "kitty", 0.9, "model").detector_margin == 0.0


def test_detector_names_the_object_with_its_own_score():
    chosen = choose((0.5, 0.2, 0.3), "wolf", 0.75, "detector")
    assert (chosen.index, chosen.score) == (1, 0.75)
    assert chosen.detector_margin == pytest.approx(0.3)


@pytest.mark.parametrize("labels", ["model", "detector", "fused"])
@pytest.mark.parametrize("names", [("gryphon",), (None,), None])
def test_box_without_a_known_class_is_named_by_the_model(labels, names):
    chosen = choose((0.2, 0.3, 0.5), names, 0.9, labels)
    assert (chosen.index, chosen.score, chosen.detector_margin) == (2, 0.5, None)


def test_detector_alone_names_where_the_model_named_nothing():
    found = Detections(np.array([[0, 0, 5, 5]], np.float32), np.array([0.5], np.float32), ("wolf",))
    rules = LabelRules(Vocabulary(NAMES), labels="detector", detector_labels={"wolf": 1})
    nothing = SimpleNamespace(is_named=False)
    chosen = choose_label(nothing, found, rules, 0)
    assert (chosen.index, chosen.score, chosen.detector_margin) == (1, 0.5, None)
    nameless = Detections(found.boxes_xyxy, found.scores)
    with pytest.raises(ConfigError, match="expected the detector to name every box"):
        choose_label(nothing, nameless, rules, 0)


# p = (0.5, 0.2, 0.3), the detector says 1 with s; q = ((1-s)·0.625, s, (1-s)·0.375), since
# 0.5 / 0.8 = 0.625; f before scaling = sqrt(p·q).
@pytest.mark.parametrize(
    ("score", "index", "expected"),
    [
        # q = (0.0625, 0.9, 0.0375): sqrt 0.176777, 0.424264, 0.106066; sum 0.707107.
        (0.9, 1, (0.25, 0.6, 0.15)),
        # q = (0.5, 0.2, 0.3) = p: nothing changes.
        (0.2, 0, (0.5, 0.2, 0.3)),
        # q = (0.3125, 0.5, 0.1875): sqrt 0.395285, 0.316228, 0.237171; sum 0.948683.
        (0.5, 0, (0.416667, 0.333333, 0.25)),
    ],
)
def test_fused_is_the_scaled_geometric_mean(score, index, expected):
    fused = np.exp(fuse_with_detector(np.log([0.5, 0.2, 0.3]), 1, score))
    assert fused == pytest.approx(expected, abs=1e-6)
    chosen = choose((0.5, 0.2, 0.3), "wolf", score, "fused")
    assert (chosen.index, chosen.score) == (index, pytest.approx(expected[index], abs=1e-6))


@pytest.mark.parametrize("score", [1.0, 7.5, 0.0, -2.0])
def test_scores_at_or_beyond_the_ends_leave_a_doubt(score):
    fused = fuse_with_detector(np.log([0.5, 0.2, 0.3]), 1, score)
    assert np.isfinite(fused).all()
    assert int(fused.argmax()) == (1 if score > 0.5 else 0)


def test_excluded_and_impossible_classes_stay_finite():
    fused = fuse_with_detector(np.array([0.0, -1000.0, -800.0]), 1, 0.9)
    assert np.isfinite(fused).all()
    assert int(fused.argmax()) == 0


def test_with_a_single_class_fused_is_certain():
    assert fuse_with_detector(np.zeros(1), 0, 0.3).tolist() == [0.0]


def test_a_class_that_the_model_cannot_see_is_weighed_by_the_detector_alone():
    shares = np.log(np.array([0.6, 0.0001, 0.3999]))
    unseen = fuse_with_detector(np.where([0, 1, 0], -1000.0, shares), 1, 0.5, is_known=False)
    assert np.exp(unseen[1]) == pytest.approx(0.5)
    assert np.exp(unseen[0]) == pytest.approx(0.5 * 0.6 / 0.9999, rel=1e-3)

    weighed = fuse_with_detector(shares, 1, 0.5)
    assert np.exp(weighed[1]) < 0.02
