import io
import json
import sys
import time
from pathlib import Path

import pytest

from ovsam_pipeline.monitoring import progress
from ovsam_pipeline.monitoring.report import RunReport, WorkerState
from ovsam_pipeline.outcomes import Tally
from ovsam_pipeline.records import ImageRecord, LabelRecord
from ovsam_pipeline.terminal import notes as logs

IMAGE = ImageRecord(1, "a.jpg", Path("a.jpg"))
GIB = 1 << 30


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def own_logs():
    yield
    logs.choose_logs()


def make_report(total=40, empty=1, failed=9, seconds=5.0, workers=()):
    report = RunReport(total, started_s=time.monotonic() - seconds)
    statuses = {"empty": empty, "failed": failed}
    report.add_tally(Tally())
    report.tally.statuses.update(statuses)
    report.workers = {worker.name: worker for worker in workers}
    return report


def say(report, pace=0.0):
    return progress.format_progress(progress.measure_progress(report, pace))


def test_line_says_done_rate_time_left_and_counts():
    line = say(make_report())
    assert line == "10/40 images (25 %), 2.00/s, 0:15 left · 0 labelled, 1 empty, 9 failed"


def test_pace_of_the_last_minute_counts_for_the_time_left():
    assert "(25 %), 0.50/s, 1:00 left" in say(make_report(), pace=0.5)


def test_hours_are_written_out_and_nothing_is_left_at_the_end():
    assert ", 2:30:00 left" in say(make_report(total=9010), pace=1.0)
    assert "10/10 images (100 %), 2.00/s · " in say(make_report(total=10))


def test_no_time_is_guessed_before_the_first_image():
    line = say(make_report(empty=0, failed=0))
    assert line == "0/40 images (0 %), 0.00/s · 0 labelled, 0 empty, 0 failed"


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


def test_plain_lines_repeat_and_end_with_the_final_counts(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.01)
    report = RunReport(1)
    with progress.show_progress(report):
        time.sleep(0.1)
        report.add(LabelRecord.labelled(IMAGE, 4, 3, ()))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2
    assert lines[0].startswith("0/1 images (0 %)")
    assert lines[-1].startswith("1/1 images (100 %)")


def test_a_night_of_lines_is_a_small_log():
    now_s, lines = 0.0, 0
    while now_s < 8 * 3600:
        wait_s = progress._choose_wait(now_s)
        assert wait_s in (5.0, 30.0, 60.0)
        now_s, lines = now_s + wait_s, lines + 1
    assert 500 < lines < 600
    assert progress._choose_wait(0.0) == 5.0


def test_json_line_has_the_counts_as_fields_and_no_list_of_workers(capsys):
    logs.choose_logs("json")
    workers = [WorkerState(name, "labelling", 5, pace) for name, pace in (("a", 1.0), ("b", 2.0))]
    with progress.show_progress(make_report(workers=workers)):
        pass
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["done"], line["total"], line["failed"]) == ("progress", 10, 40, 9)
    assert line["message"].startswith("10/40 images")
    assert (line["num_workers"], line["slowest_worker_images_per_s"]) == (2, 1.0)
    assert "workers" not in line


def test_quiet_shows_nothing(capsys):
    logs.choose_logs(is_quiet=True)
    with progress.show_progress(make_report()):
        pass
    assert capsys.readouterr().err == ""


def test_bar_is_shown_on_a_terminal_with_notes_above_it(monkeypatch):
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    report = RunReport(1)
    with progress.show_progress(report):
        logs.print_note("[a note]")
        report.add(LabelRecord.labelled(IMAGE, 4, 3, ()))
    shown = terminal.getvalue()
    assert "\x1b[" in shown
    assert "[a note]" in shown
    assert "1/1 images (100 %)" in shown


def test_nothing_is_shown_when_nothing_is_to_do(capsys):
    with progress.show_progress(RunReport(0)):
        pass
    assert capsys.readouterr().err == ""


def test_embedding_says_where_it_is_every_few_seconds_only(monkeypatch, capsys):
    shown = progress.EmbeddingProgress()
    shown(1, 10)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.0)
    shown(2, 10)
    assert capsys.readouterr().err == "class names: 2/10 texts embedded\n"


def test_embedding_bar_closes_when_all_is_done(monkeypatch):
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    shown = progress.EmbeddingProgress()
    shown(5, 10)
    shown(10, 10)
    assert "class names" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
