"""What checks have shown, as `ovsam review` and `ovsam report` say it."""

from dataclasses import replace

import pytest

from ovsam_pipeline.commands.checked import (
    describe_calibration,
    describe_certificate,
    describe_precision,
)
from ovsam_pipeline.commands.report_counts import collect_checks, format_checks
from ovsam_pipeline.output.checked_labels import (
    Calibration,
    Certificate,
    ClassCertificate,
    FittedMap,
)
from ovsam_pipeline.output.folder import OutputFolder
from ovsam_pipeline.review.measure import measure_precision

PASSED = Certificate(
    0.9, 0.95, 0.2531, 612, 1074, 0, 112, 4, 200, 0, 150, 1, (), ("ann",), "f", "2026-11-29T10:00"
)
FITTED = FittedMap(2.0, 1.5, 60, 50, 0.25, 0.04, ((0.5, 0.9, 60),), ((0.88, 0.9, 60),))
CALIBRATION = Calibration(FITTED, FITTED, 80, ("ann",), "f", "2026-11-29T10:00:00")


def test_certificate_says_what_is_promised_and_how_to_use_it():
    assert describe_certificate(PASSED, "labels") == [
        "certified: of the 612 objects (57 % of 1074) with a risk of at most 0.2531, at least 90 % "
        "are right, with 95 % confidence: 4 of 112 checks among them were wrong",
        "to keep these alone: ovsam filter labels -o NEW --max-risk 0.2531",
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"unanswered": 12}, "12 objects of the 200 sampled without an answer: counted as wrong"),
        ({"later": 1}, "1 object came after the sample was drawn, which says nothing of them"),
        (
            {"looks": 3},
            "this is look 3 at a growing sample: that none of the looks promises wrongly has 85 % "
            "confidence",
        ),
    ],
    ids=["unanswered", "later", "looks"],
)
def test_limits_of_a_certificate_are_told(change, sentence):
    assert sentence in describe_certificate(replace(PASSED, **change), "labels")


def test_certificate_whose_answers_were_taken_back_promises_nothing():
    assert describe_certificate(replace(PASSED, revised=True), "labels") == [
        "certified on 2026-11-29 by answers that people have taken back since; ovsam review labels "
        "--certify 0.9 finds what today's show"
    ]


def test_failed_certificate_says_how_far_it_was_and_what_to_do():
    failed = replace(PASSED, threshold=None, accepted=0, checks=50, wrong=9)
    assert describe_certificate(failed, "labels") == [
        "not certified: of the 50 checks with the least risk 9 were wrong or not answered, at most "
        "1 of so many may be",
        "answer all of the sample, check more (ovsam review labels --sample 400 --export csv), "
        "or ask for less than 0.9",
    ]


def test_stale_certificate_promises_nothing():
    (line,) = describe_certificate(replace(PASSED, stale=True), "labels")
    assert line.startswith("certified on 2026-11-29 for labels of other settings than today's")


def test_classes_are_a_table():
    cup = ClassCertificate("cup", 0.5, 80, 90, 40, 0)
    *_, title, header, row = describe_certificate(replace(PASSED, classes=(cup,)), "labels")
    assert title == "classes certified apart from that, together with 95 %:"
    assert header.split() == ["accepted", "risk", "up", "to", "wrong", "checks", "class"]
    assert row.split() == ["80", "0.5", "0", "of", "40", "cup"]


def test_calibration_of_other_labels_says_so():
    now = describe_calibration(CALIBRATION, "f")
    assert now[0] == (
        "1 - risk as the probability that a label is right: off by 0.250 as it is, by 0.040 when "
        "calibrated, on answers not used for it (mean of 60 answers)"
    )
    assert len(now) == 2
    assert describe_calibration(CALIBRATION, "g") == [
        "calibrated on 2026-11-29 for labels of other settings than today's"
    ]


def test_precision_has_its_interval_and_classes_with_checks_enough():
    found = measure_precision(176, 200, 4)
    classes = {"cup": measure_precision(20, 25), "dog": measure_precision(9, 10)}
    lines = describe_precision(found, {**classes, "cat": measure_precision(1, 1)})
    assert lines[0].startswith("precision: 88 % of all labels, 80.8 % to 92.3 % with 95")
    assert lines[0].endswith("(176 right of 200 checked, 4 of the sample not answered)")
    assert [line.split()[-1] for line in lines[1:]] == ["class", "cup", "dog"]
    assert describe_precision(measure_precision(0, 0, 7), {}) == [
        "precision: none of the 7 sampled objects is answered"
    ]


def test_report_of_an_output_that_nobody_checked_says_nothing_of_checks(tmp_path):
    with OutputFolder(tmp_path / "out") as folder:
        folder.write_run_file({"fingerprint": "f"})
    checks = collect_checks(tmp_path / "out")
    assert format_checks(checks, tmp_path / "out") == []
    assert checks.to_dict()["certified"] is None


def test_report_tells_of_the_certificate(tmp_path):
    with OutputFolder(tmp_path / "out") as folder:
        folder.write_run_file({"fingerprint": "f", "certified": PASSED.to_dict()})
    checks = collect_checks(tmp_path / "out")
    assert format_checks(checks, "labels") == describe_certificate(PASSED, "labels")
    assert checks.to_dict()["certified"]["accepted_share"] == 0.5698
