from pathlib import Path

import pytest

from ovsam_pipeline.errors import ShardError
from ovsam_pipeline.monitoring.report import RunReport
from ovsam_pipeline.monitoring.stopping import StopRequest
from ovsam_pipeline.outcomes import Tally
from ovsam_pipeline.records import ImageRecord, LabelRecord

IMAGE = ImageRecord(1, "a.jpg", Path("a.jpg"))


OUTAGE = "the storage failed: cannot reach the server"


def count(report: RunReport, failed: int = 0, empty: int = 0, error: str = "damaged") -> RunReport:
    for _ in range(failed):
        report.add(LabelRecord.failed(IMAGE, error))
    for _ in range(empty):
        report.add(LabelRecord.labelled(IMAGE, 4, 3, ()))
    return report


@pytest.mark.parametrize(
    ("failed", "outcome", "expected"),
    [
        (0, "finished", 0),
        (1, "finished", 3),
        (1, "over budget", 4),
        (0, "time limit", 6),
        (1, "time limit", 6),
        (0, "interrupted", 130),
        (1, "interrupted", 130),
    ],
)
def test_exit_code_follows_outcome_and_failures(failed, outcome, expected):
    report = count(RunReport(10), failed=failed, empty=2)
    assert report.summarise(outcome).exit_code == expected


def test_summary_counts_what_was_done_and_what_is_left():
    summary = count(RunReport(10), failed=1, empty=2).summarise("interrupted")
    assert (summary.done, summary.empty, summary.failed, summary.left) == (3, 2, 1, 7)
    assert summary.to_dict()["reasons"] == {"damaged": 1}


@pytest.mark.parametrize(
    ("limits", "budget"),
    [
        ({}, float("inf")),
        ({"max_failures": 0}, 0),
        ({"max_failures": 7}, 7),
        ({"max_failure_rate": 0.1}, 10),
        ({"max_failure_rate": 0.29}, 29),
        ({"max_failures": 3, "max_failure_rate": 0.5}, 3),
        ({"max_failures": 60, "max_failure_rate": 0.5}, 50),
    ],
)
def test_budget_is_the_stricter_limit(limits, budget):
    assert RunReport(100, **limits).budget == budget


@pytest.mark.parametrize(
    ("num_images", "rate", "budget"),
    [(1, 0.05, 1), (4, 0.2, 4), (20, 0.05, 1), (40, 0.05, 2), (3, 0, 0)],
)
def test_a_rate_is_judged_over_at_least_twenty_images(num_images, rate, budget):
    assert RunReport(num_images, max_failure_rate=rate).budget == budget


def test_a_run_with_nothing_left_was_not_stopped():
    report = count(RunReport(2, max_failures=0), failed=2)
    assert (report.is_over_budget, report.conclude(StopRequest()).exit_code) == (True, 3)
    report = count(RunReport(3, max_failures=0), failed=2)
    assert report.conclude(StopRequest()).exit_code == 4


@pytest.mark.parametrize(
    ("errors", "only_again", "code"),
    [
        ([OUTAGE], False, 1),
        ([OUTAGE, "file not found: it was moved", "permission denied: x"], False, 1),
        ([OUTAGE, "damaged PNG"], False, 3),
        (["damaged PNG"], False, 3),
        # The odd dead link beside labelled images, night after night.
        ([OUTAGE], True, 3),
        ([], False, 0),
    ],
)
def test_a_run_that_labels_nothing_for_no_fault_of_the_images_has_failed(errors, only_again, code):
    report = RunReport(len(errors), only_again=only_again)
    for error in errors:
        count(report, failed=1, error=error)
    summary = report.conclude(StopRequest())
    assert (summary.exit_code, summary.is_outage) == (code, code == 1)
    assert summary.transient == sum(not error.startswith("damaged") for error in errors)


def test_one_labelled_image_makes_no_outage():
    report = count(RunReport(3), failed=2, empty=1, error=OUTAGE)
    assert report.conclude(StopRequest()).exit_code == 3


def test_budget_stops_only_when_exceeded():
    report = count(RunReport(100, max_failures=2), failed=2)
    assert not report.is_over_budget
    assert count(report, failed=1).is_over_budget


def test_a_bug_that_fails_every_image_stops_the_run():
    report = RunReport(100)
    with pytest.raises(ShardError, match="first 20 images all failed with the same error"):
        count(report, failed=20, error="internal error: KeyError: 'x'")


@pytest.mark.parametrize("error", ["damaged", "file not found: it was moved or deleted"])
def test_damaged_images_alone_never_stop_a_run_without_budget(error):
    assert count(RunReport(100), failed=50, error=error).failed == 50


def test_a_bug_after_a_good_image_does_not_stop_the_run():
    report = count(RunReport(100), empty=1)
    assert count(report, failed=40, error="internal error: x").failed == 40


def tally(failed: int = 0, empty: int = 0, error: str = "damaged") -> Tally:
    return count(RunReport(100), failed, empty, error)


def test_shards_count_as_their_rows_do():
    rows, shards = RunReport(100), RunReport(100)
    for failed, empty in ((1, 2), (0, 4), (3, 0)):
        count(rows, failed, empty)
        shards.merge(tally(failed, empty))
    assert shards.summarise("finished").to_dict() | {"seconds": 0} == (
        rows.summarise("finished").to_dict() | {"seconds": 0}
    )


def test_a_bug_that_fails_every_shard_stops_the_run():
    report = RunReport(100)
    report.merge(tally(failed=15, error="internal error: KeyError: 'x'"))
    with pytest.raises(ShardError, match="first 30 images all failed with the same error"):
        report.merge(tally(failed=15, error="internal error: KeyError: 'x'"))
