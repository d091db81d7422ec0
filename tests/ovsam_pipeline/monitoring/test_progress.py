import json
import time
from pathlib import Path

from ovsam_pipeline.monitoring import progress
from ovsam_pipeline.monitoring.report import RunReport, WorkerState
from ovsam_pipeline.outcomes import Tally
from ovsam_pipeline.records import ImageRecord

IMAGE = ImageRecord(1, "a.jpg", Path("a.jpg"))
GIB = 1 << 30


def make_report(total=40, empty=1, failed=9, seconds=5.0, workers=()):
    report = RunReport(total, started_s=time.monotonic() - seconds)
    statuses = {"empty": empty, "failed": failed}
    report.merge(Tally())
    report.statuses.update(statuses)
    report.workers = {worker.name: worker for worker in workers}
    return report


def say(report, pace=0.0):
    return progress.format_progress(progress.measure_progress(report, pace))


def test_line_says_done_rate_time_left_and_counts():
    line = say(make_report())
    assert line == "10/40 images · 2.0/s · 0:15 left · 9 failed · 1 empty"


def test_pace_of_the_last_minute_counts_for_the_time_left():
    assert "10/40 images · 0.50/s · 1:00 left" in say(make_report(), pace=0.5)


def test_hours_are_written_out_and_nothing_is_left_at_the_end():
    assert " · 2:30:00 left" in say(make_report(total=9010), pace=1.0)
    assert say(make_report(total=10, empty=0, failed=10)) == "10/10 images · 2.0/s · 10 failed"


def test_no_time_is_guessed_before_the_first_image():
    line = say(make_report(empty=0, failed=0))
    assert line == "0/40 images"


def test_line_names_the_slowest_stage_over_all_workers():
    first = WorkerState("a", stage_seconds={"decode": 6.0, "segment": 4.0})
    second = WorkerState("b", stage_seconds={"decode": 0.0, "segment": 10.0})
    report = make_report(workers=(first, second))
    assert "slowest: segment (70 %)" in say(report)
    numbers = progress.measure_progress(report, 0.0)
    assert numbers["stage_seconds"] == {"decode": 6.0, "segment": 14.0}


def test_line_gives_the_range_over_workers_and_gpus_without_lost_ones():
    def make(name, state, pace, used, busy):
        return WorkerState(name, state, 5, pace, {}, used * GIB, 80 * GIB, busy)

    workers = (
        make("a", "labelling", 0.5, 20, 0.9),
        make("b", "labelling", 0.75, 30, 0.95),
        make("c", "starting", 0.0, 25, None),
        make("d", "lost", 9.0, 1, 0.1),
    )
    line = say(make_report(workers=workers))
    assert "3 workers, 0.50-0.75/s each, 1 starting, 1 lost" in line
    assert line.endswith("GPU 20.0-30.0/80.0 GiB, 90-95 %")


def test_one_worker_is_the_run_itself():
    assert "worker" not in say(make_report(workers=(WorkerState("this process", "labelling"),)))


def test_numbers_are_plain_json():
    report = make_report(workers=(WorkerState("a", "idle", 10, 2.0, {"write": 1.0}),))
    numbers = progress.measure_progress(report, 2.0)
    assert json.loads(json.dumps(numbers)) == numbers
    assert (numbers["done"], numbers["total"], numbers["seconds_left"]) == (10, 40, 15.0)
    assert numbers["workers"][0]["state"] == "idle"


class FakeClock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def test_pace_is_that_of_the_window():
    clock = FakeClock()
    meter = progress.PaceMeter(window_s=60, clock=clock)
    assert meter.update(0) == 0.0
    clock.now_s += 10
    assert meter.update(20) == 2.0
    for _ in range(12):  # two minutes at one a second
        clock.now_s += 10
        pace = meter.update(20 + int(clock.now_s - 110))
    assert pace == 1.0


def test_pace_is_nothing_when_nothing_was_done_for_a_minute():
    clock = FakeClock()
    meter = progress.PaceMeter(window_s=60, clock=clock)
    clock.now_s += 1
    meter.update(50)
    for _ in range(7):
        clock.now_s += 10
        pace = meter.update(50)
    assert pace == 0.0
