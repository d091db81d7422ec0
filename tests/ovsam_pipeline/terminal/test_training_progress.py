"""How a training shows: sentences, a bar, and lines of processes elsewhere."""

import json
import logging

import pytest

from ovsam_pipeline.terminal import training_progress
from ovsam_pipeline.terminal.training_progress import LogFollower, format_training, show_training

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
        "step 1200 (40 %) · label 0.3123, lr 0.0001 · 21.3 images/s, 1.2 s for data · 912 MiB"
    )


def test_a_stage_without_images_says_no_speed():
    line = {"step": 5, "class": 0.5, "images_per_s": 0.0, "data_wait_s": 0.0}
    assert format_training(line) == "step 5 · class 0.5"


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
    monkeypatch.setattr(training_progress, "has_bars", lambda: True)
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
