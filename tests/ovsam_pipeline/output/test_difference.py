from pathlib import Path

import pytest

from ovsam_pipeline.output.difference import explain_difference

DEPENDS_ON = {
    "model": "nano",
    "detector": "nano",
    "vocabulary": "the detector's",
    "classes": "all",
    "conf": 0.25,
    "model_hash": "m1",
    "detector_hash": "d1",
    "vocabulary_hash": "v1",
}
RUN = {
    "depends_on": DEPENDS_ON,
    "resolved": {"vocabulary": "auto"},
    "model": {"name": "nano", "weights": "nano"},
    "detector": {"name": "nano"},
    "vocabulary": {"name": "nano"},
}


def explain(before=RUN, **changes) -> str:
    now = {**RUN, **changes, "depends_on": {**DEPENDS_ON, **changes.get("depends_on", {})}}
    return str(explain_difference(Path("out"), before, now))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"depends_on": {"conf": 0.5}}, "conf (0.25 before, 0.5 now)"),
        (
            {
                "depends_on": {
                    "detector": "boxes", "detector_hash": "d2", "vocabulary": "nano",
                },
                "detector": {"name": "boxes:found"},
            },
            "detector (nano before, boxes:found now)",
        ),
        ({"depends_on": {"detector_hash": "d2"}}, "detector (another file, model or mode of nano)"),
        ({"depends_on": {"model_hash": "m2"}}, "model (another file of the same name)"),
        (
            {"depends_on": {"classes": "cat", "allow_unmatched": True}},
            "classes (all before, cat now), allow_unmatched (not set before, True now)",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_only_what_differs_is_named_and_by_what_was_typed(changes, expected):
    assert explain(**changes) == (
        f"out was labelled with other settings: {expected}; give another -o, or --on-existing "
        "overwrite to label everything again"
    )


def test_other_names_alone_can_be_had_without_labelling_again():
    found = explain(
        depends_on={"vocabulary": "custom", "vocabulary_hash": "v2"},
        resolved={"vocabulary": "cat,my dog"},
        vocabulary={"name": "custom"},
    )
    assert "settings: vocabulary (nano before, cat,my dog now); to keep" in found
    assert "ovsam label --relabel out -o OTHER --vocabulary 'cat,my dog'; else give" in found


def test_output_that_says_nothing_of_its_settings_is_refused_all_the_same():
    assert "other settings: other weights or files;" in explain(before={})
    assert "other settings: other weights or files;" in explain(before={"depends_on": [1]})


def test_long_values_are_cut():
    found = explain(depends_on={"classes": "cat, " * 100})
    assert "classes (all before, cat, cat" in found
    assert len(found) < 250


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "detect",
            None,
            "out holds boxes of `ovsam detect`, and this run makes labels of `ovsam l",
        ),
        (
            None,
            "detect",
            "out holds labels of `ovsam label`, and this run makes boxes of `ovsam de",
        ),
        ("relabel", None, "out holds labels of `ovsam label --relabel`, and this run makes labels"),
        (["x"], None, "out holds something else, and this run makes labels"),
    ],
)
def test_output_of_another_task_is_told_apart(old, new, expected):
    before = {"depends_on": {"conf": 0.5} | ({} if old is None else {"task": old})}
    assert explain(before, depends_on={} if new is None else {"task": new}).startswith(expected)
