from pathlib import Path

import pytest

from ovsam_pipeline.errors import ShardError
from ovsam_pipeline.monitoring.report import RunReport
from ovsam_pipeline.outcomes import Tally, group_reason
from ovsam_pipeline.records import ImageRecord, LabelRecord

IMAGE = ImageRecord(1, "a.jpg", Path("a.jpg"))


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


def test_reasons_are_grouped_without_names_numbers_and_paths():
    first = group_reason("truncated: 12 of 340 bytes of 'a b.jpg' in /data/x/a.jpg")
    assert first == group_reason("truncated: 7 of 9 bytes of 'c.jpg' in /data/y.jpg")
    assert first.startswith("truncated: … of … bytes")


def test_a_long_reason_ends_with_an_ellipsis():
    reason = group_reason("expected " + "an image " * 40)
    assert (len(reason), reason[-1]) == (160, "…")
