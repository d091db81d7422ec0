import numpy as np
import pytest
from row_objects import make_object

from ovsam.masks import encode_mask
from ovsam_pipeline.labelling.risk import (
    NameOpinions,
    assess_objects,
    estimate_chances,
    estimate_risk,
    estimate_risks,
)
from ovsam_pipeline.records import BoxRecord, ObjectRecord

AGREED = NameOpinions(head="cat", clip="cat", rival="dog")
NAN = float("nan")


def make(**values) -> ObjectRecord:
    """An object that everybody is sure of, unless `values` say otherwise."""
    detector = {"detector_score": values.pop("detector_score", 1.0)}
    detector["detector_category"] = values.pop("detector_category", None)
    plain = {"score": 0.9, "clip_score": 0.9, "mask_score": 0.95, "margin": 0.8}
    return make_object(BoxRecord((1.0, 2.0, 4.0, 6.0), **detector), **plain | values)


def assess(opinions: NameOpinions = AGREED, **values) -> ObjectRecord:
    (item,) = assess_objects([make(**values)], [opinions])
    return item


def make_masked(left: int, right: int, **values) -> ObjectRecord:
    mask = np.zeros((20, 20), bool)
    mask[:10, left:right] = True
    return make(segmentation=encode_mask(mask), area=int(mask.sum()), **values)


def test_nothing_to_assess():
    assert assess_objects([], []) == []


def test_a_sure_object_has_no_reason_and_little_risk():
    item = assess()
    assert item.reason is None
    assert item.risk == pytest.approx((1 - 0.9 * 0.95) ** 3, rel=1e-5)


def test_a_chance_is_the_product_of_what_must_hold():
    def estimate(*opinions, against=False):
        values = [np.array([value], np.float32) for value in opinions]
        return float(estimate_chances(*values, np.array([against]))[0])

    assert estimate(0.5, 0.125, 0.5, 0.5) == pytest.approx(0.25 * 0.25)
    assert estimate(0.5, NAN, 0.5, 0.5) == pytest.approx(0.125)
    assert estimate(NAN, 0.25, 1, 0.5) == pytest.approx(0.25)
    assert estimate(NAN, NAN, NAN, NAN) == 1
    assert estimate(1, 1, 1, 0.75, against=True) == pytest.approx(0.75 * 0.5)
    assert estimate(2, 7, 1.5, -0.5) == 0


def test_each_opinion_that_falls_raises_the_risk():
    sure = assess().risk
    for name in ("score", "clip_score", "mask_score", "detector_score"):
        assert assess(**{name: 0.3}).risk > sure


@pytest.mark.parametrize(
    ("values", "opinions", "reason"),
    [
        ({"clip_score": 0.1}, AGREED._replace(clip="wheel"),
         "head and CLIP disagree: CLIP says wheel"),
        ({"score": 0.3, "clip_score": 0.8}, AGREED._replace(head="mug"),
         "head and CLIP disagree: head says mug"),
        ({"score": 0.3, "margin": 0.05}, AGREED, "two names close: cat or dog"),
        ({"score": 0.3, "margin": 0.25}, AGREED, "name unsure"),
        ({"score": 0.3, "margin": 0.05}, AGREED._replace(rival=None), "name unsure"),
        ({"mask_score": 0.4}, AGREED, "mask unstable"),
        ({"detector_score": 0.2}, AGREED, "detector unsure"),
        ({"detector_score": 0.8, "detector_category": "dog", "detector_margin": 0.4}, AGREED,
         "detector says dog"),
        ({"detector_score": 0.8, "detector_category": "cats", "detector_margin": 0.0}, AGREED,
         None),
        ({"model_category": "dog", "clip_score": 0.1, "detector_margin": 0.4},
         NameOpinions("dog", "dog", "dog", is_by_detector=True), "model says dog"),
        ({"mask_score": 0.5, "detector_score": 0.2, "score": 0.1}, AGREED,
         "detector unsure; name unsure"),
        ({"score": 0.7, "clip_score": 0.6, "mask_score": 0.72, "detector_score": 0.41}, AGREED,
         "detector unsure"),
    ],
)  # fmt: skip
def test_reasons_name_what_stands_out(values, opinions, reason):
    assert assess(opinions, **values).reason == reason


def test_a_high_risk_always_has_a_reason():
    random = np.random.default_rng(3)
    names = ("score", "clip_score", "mask_score", "detector_score", "margin")
    for _ in range(300):
        item = assess(**dict(zip(names, random.random(5).tolist(), strict=True)))
        assert 0 <= item.risk <= 1
        assert item.reason or item.risk <= 0.5


def test_a_plain_sam_is_judged_by_mask_and_box():
    unnamed = {"clip_score": None, "model_category": None, "model_score": None, "margin": None}
    item = assess(NameOpinions(is_by_detector=True), **unnamed, score=0.5, detector_score=0.5)
    # The detector's score is not counted a second time as that of the name.
    assert item.risk == pytest.approx((1 - 0.5 * 0.95) ** 3, rel=1e-5)
    assert item.reason is None


def test_a_class_that_the_model_cannot_see_is_not_held_against_an_object():
    item = assess(NameOpinions("suit", "suit", "suit"), clip_score=None, model_category="suit")
    assert item.reason is None
    assert item.risk == pytest.approx((1 - 0.9 * 0.95) ** 3, rel=1e-5)


def test_a_part_of_a_surer_object_of_its_name_is_risky():
    whole, part = make_masked(0, 10), make_masked(2, 6, detector_score=0.8)
    other = make_masked(2, 6, category="dog", model_category="dog")
    apart = make_masked(12, 18)
    items = [part, whole, other, apart]
    opinions = [AGREED, AGREED, NameOpinions("dog", "dog", "cat"), AGREED]
    found = assess_objects(items, opinions)
    assert found[0].reason == "mostly the same as a surer cat"
    assert found[0].risk > 0.75
    alone = [
        assess_objects([item], [names])[0] for item, names in zip(items, opinions, strict=True)
    ]
    assert found[1:] == alone[1:]
    assert alone[0].risk < 0.1


def test_damaged_masks_and_those_of_other_sizes_share_nothing():
    broken = make(segmentation={"size": [20, 20], "counts": "~~~"})
    small = make(segmentation=encode_mask(np.ones((3, 3), bool)), area=9)
    found = assess_objects([broken, small, make_masked(0, 20)], [AGREED] * 3)
    assert {item.risk for item in found} == {assess().risk}


def test_names_in_reasons_are_one_short_plain_line():
    name = "two\nlines\x1b[31m \u202e" + "x" * 500
    reason = assess(AGREED._replace(clip=name), clip_score=0.01).reason
    assert reason.startswith("head and CLIP disagree: CLIP says two lines [31m xxx")
    assert reason.isprintable()
    assert len(reason) < 120


def test_rows_of_earlier_versions_have_a_risk_too():
    columns = [np.array(values, np.float32) for values in ([0.5, NAN], [0.5, 1], [1, 0.5])]
    assert estimate_risks(*columns).tolist() == pytest.approx([0.75**3, 0.5**3])
    assert estimate_risk(0.5, 0.5, 1.0) == pytest.approx(0.75**3)
