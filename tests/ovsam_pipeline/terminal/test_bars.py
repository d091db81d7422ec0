import io
import json
import sys
import time
from pathlib import Path

import pytest

from ovsam_pipeline.monitoring.report import RunReport, WorkerState
from ovsam_pipeline.outcomes import Tally
from ovsam_pipeline.records import ImageRecord, LabelRecord
from ovsam_pipeline.terminal import bars
from ovsam_pipeline.terminal import notes as logs

IMAGE = ImageRecord(1, "a.jpg", Path("a.jpg"))


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
    report.merge(Tally())
    report.statuses.update(statuses)
    report.workers = {worker.name: worker for worker in workers}
    return report


def test_plain_lines_repeat_and_end_with_the_final_counts(monkeypatch, capsys):
    monkeypatch.setattr(bars, "_LINE_EVERY_S", 0.01)
    report = RunReport(1)
    with bars.show_progress(report):
        time.sleep(0.1)
        report.add(LabelRecord.labelled(IMAGE, 4, 3, ()))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2
    assert lines[0].startswith("0/1 images (0 %)")
    assert lines[-1].startswith("1/1 images (100 %)")


def test_a_night_of_lines_is_a_small_log():
    now_s, lines = 0.0, 0
    while now_s < 8 * 3600:
        wait_s = bars._choose_wait(now_s)
        assert wait_s in (5.0, 30.0, 60.0)
        now_s, lines = now_s + wait_s, lines + 1
    assert 500 < lines < 600
    assert bars._choose_wait(0.0) == 5.0


def test_json_line_has_the_counts_as_fields_and_no_list_of_workers(capsys):
    logs.choose_logs("json")
    workers = [WorkerState(name, "labelling", 5, pace) for name, pace in (("a", 1.0), ("b", 2.0))]
    with bars.show_progress(make_report(workers=workers)):
        pass
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["done"], line["total"], line["failed"]) == ("progress", 10, 40, 9)
    assert line["message"].startswith("10/40 images")
    assert (line["num_workers"], line["slowest_worker_images_per_s"]) == (2, 1.0)
    assert "workers" not in line


def test_quiet_shows_nothing(capsys):
    logs.choose_logs(is_quiet=True)
    with bars.show_progress(make_report()):
        pass
    assert capsys.readouterr().err == ""


def test_bar_is_shown_on_a_terminal_with_notes_above_it(monkeypatch):
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    report = RunReport(1)
    with bars.show_progress(report):
        logs.print_note("[a note]")
        report.add(LabelRecord.labelled(IMAGE, 4, 3, ()))
    shown = terminal.getvalue()
    assert "\x1b[" in shown
    assert "[a note]" in shown
    assert "1/1 images (100 %)" in shown


def test_nothing_is_shown_when_nothing_is_to_do(capsys):
    with bars.show_progress(RunReport(0)):
        pass
    assert capsys.readouterr().err == ""


def test_embedding_says_where_it_is_every_few_seconds_only(monkeypatch, capsys):
    shown = bars.EmbeddingProgress()
    shown(1, 10)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(bars, "_LINE_EVERY_S", 0.0)
    shown(2, 10)
    assert capsys.readouterr().err == "class names: 2/10 texts embedded\n"


def test_embedding_bar_closes_when_all_is_done(monkeypatch):
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    shown = bars.EmbeddingProgress()
    shown(5, 10)
    shown(10, 10)
    assert "class names" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
