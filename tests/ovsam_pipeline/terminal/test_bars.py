import io
import json
import logging
import re
import sys
import time
from pathlib import Path

import pytest

from ovsam_pipeline.monitoring.report import RunReport, WorkerState
from ovsam_pipeline.outcomes import Tally
from ovsam_pipeline.records import ImageRecord, LabelRecord
from ovsam_pipeline.terminal import bars, notes
from ovsam_pipeline.terminal.bars import LogFollower, format_training, show_training

IMAGE = ImageRecord(1, "a.jpg", Path("a.jpg"))


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def own_logs():
    yield
    notes.choose_logs()


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
    assert lines[0].startswith("0/1 images")
    assert lines[-1].startswith("1/1 images · ")


def test_a_night_of_lines_is_a_small_log():
    now_s, lines = 0.0, 0
    while now_s < 8 * 3600:
        wait_s = bars._choose_wait(now_s)
        assert wait_s in (5.0, 30.0, 60.0)
        now_s, lines = now_s + wait_s, lines + 1
    assert 500 < lines < 600
    assert bars._choose_wait(0.0) == 5.0


def test_json_line_has_the_counts_as_fields_and_no_list_of_workers(capsys):
    notes.choose_logs("json")
    workers = [WorkerState(name, "labelling", 5, pace) for name, pace in (("a", 1.0), ("b", 2.0))]
    with bars.show_progress(make_report(workers=workers)):
        pass
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["done"], line["total"], line["failed"]) == ("progress", 10, 40, 9)
    assert line["message"].startswith("10/40 images")
    assert (line["num_workers"], line["slowest_worker_images_per_s"]) == (2, 1.0)
    assert "workers" not in line


def test_quiet_shows_nothing(capsys):
    notes.choose_logs(is_quiet=True)
    with bars.show_progress(make_report()):
        pass
    assert capsys.readouterr().err == ""


def test_bar_is_shown_on_a_terminal_with_notes_above_it(monkeypatch):
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    report = RunReport(1)
    with bars.show_progress(report):
        notes.print_note("[a note]")
        report.add(LabelRecord.labelled(IMAGE, 4, 3, ()))
    shown = terminal.getvalue()
    assert "\x1b[" in shown
    assert "[a note]" in shown
    assert "1/1 · " in shown


@pytest.mark.parametrize(
    ("width", "end"),
    [(72, "1 failed"), (80, "12 empty"), (100, "segment (70 %)"), (120, "segment (70 %)")],
)
def test_a_bar_has_20_columns_and_the_parts_that_fit(monkeypatch, width, end):
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    text = "115/224 · 1.2/s · 0:08:00 left · 1 failed · 12 empty"
    text += " · slowest: segment (70 %) · 4 workers, 0.71-0.83/s each"
    with bars.show_bar(text, 24) as update:
        update(15, text)
    lines = (
        re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).replace("\r", "\n").split("\n")
    )
    line = next(line for line in reversed(lines) if line)
    drawn, _, shown = line.partition(" ")
    assert len(drawn) >= 20
    assert len(line) <= width
    assert text.startswith(shown)
    assert shown.endswith(end)


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
    assert capsys.readouterr().err == "classes: 2/10 texts or examples embedded\n"


def test_embedding_bar_closes_when_all_is_done(monkeypatch):
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    shown = bars.EmbeddingProgress()
    shown(5, 10)
    shown(10, 10)
    assert "classes: 10/10 texts" in terminal.getvalue()


LINE = {
    "step": 1200,
    "elapsed_s": 31.5,
    "label": 0.31234,
    "lr": 0.0001,
    "images_per_s": 21.34,
    "data_wait_s": 1.25,
    "peak_memory_mb": 912,
    "progress": 0.4,
}
LOGGER = logging.getLogger("ovsam.training.loop.run_log")


def test_line_of_losses_is_a_sentence():
    assert format_training(LINE) == (
        "step 1200 (40 %) · 0:47 left · label loss 0.3123, learning rate 0.0001 · "
        "21.3 images/s, 1.2 s for data · 912 MiB"
    )


def test_a_stage_without_images_says_no_speed():
    line = {"step": 5, "class": 0.5, "images_per_s": 0.0, "data_wait_s": 0.0}
    assert format_training(line) == "step 5 · class loss 0.5"


def test_accuracies_are_no_losses_and_the_end_has_no_time_left():
    line = {"step": 9, "elapsed_s": 8.0, "mse": 2.0, "label_accuracy": 0.5, "progress": 1.0}
    assert format_training(line) == "step 9 (100 %) · mse loss 2, label_accuracy 0.5"


def test_evaluation_is_a_sentence():
    line = {"step": 5, "elapsed_s": 1.0, "evaluation": {"iou_box": 0.75}}
    assert format_training(line) == "step 5 · evaluation iou_box 0.75"


@pytest.fixture
def log(tmp_path):
    LOGGER.setLevel(logging.INFO)
    return tmp_path / "log.jsonl"


def test_without_a_terminal_lines_are_notes_once_each(log, capsys):
    with show_training():
        LOGGER.info("%s", LINE, extra={"numbers": LINE})
    assert capsys.readouterr().err.splitlines() == [format_training(LINE)]
    assert LOGGER.propagate
    assert not LOGGER.handlers


def test_on_a_terminal_a_bar_has_the_newest_numbers_and_evaluations_stay(log, capsys, monkeypatch):
    monkeypatch.setattr(bars, "has_bars", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    with show_training():
        LOGGER.info("%s", LINE, extra={"numbers": LINE})
        found = {"step": 5, "evaluation": {"iou_box": 0.75}}
        LOGGER.info("%s", found, extra={"numbers": found})
    shown = capsys.readouterr().err
    assert "step 1200 (40 %)" in shown
    assert "step 5 · evaluation iou_box 0.75" in shown


def test_follower_shows_new_whole_lines_alone(log, caplog):
    log.write_text('{"step": 1}\n')
    follower = LogFollower(log)
    with log.open("a") as file:
        file.write('{"step": 2}\n{"step": 3}\n{"st')
    with caplog.at_level(logging.INFO):
        follower.show()
        follower.show()
    assert [record.numbers["step"] for record in caplog.records] == [2, 3]


def test_follower_goes_on_after_the_log_was_made_shorter(log, caplog):
    log.write_text("".join(f"{json.dumps({'step': step})}\n" for step in range(9)))
    follower = LogFollower(log)
    log.write_text('{"step": 0}\n')
    follower.show()
    with log.open("a") as file:
        file.write('{"step": 1}\n')
    with caplog.at_level(logging.INFO):
        follower.show()
    assert [record.numbers["step"] for record in caplog.records] == [1]
