import io
import logging
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from ovsam import errors as core
from ovsam_pipeline import console, errors
from ovsam_pipeline.records import ImageRecord, LabelRecord
from ovsam_pipeline.report import RunReport

IMAGE = ImageRecord(1, "a.jpg", Path("a.jpg"))


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (core.ConfigError("x"), 2),
        (core.VocabularyError("x"), 2),
        (core.MissingDependencyError("x"), 2),
        (errors.SourceError("x"), 2),
        (errors.DatasetError("x"), 2),
        (errors.OutputLockedError("x"), 75),
        (errors.OutputError("x"), 1),
        (errors.ShardError("x"), 1),
        (core.CheckpointError("x"), 1),
        (core.DownloadError("x"), 1),
        (errors.DetectorError("x"), 1),
    ],
)
def test_exit_code_of_known_errors(error, code):
    assert console.exit_code_of(error) == code


@pytest.fixture
def own_handlers(monkeypatch):
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_outside_labelling_exits_130_without_traceback(own_handlers, capsys, number):
    with pytest.raises(SystemExit) as stopped:
        console.run_app(lambda: signal.raise_signal(number))
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "ovsam: interrupted\n"


def test_signal_during_the_exit_ends_the_process(own_handlers, monkeypatch):
    ended = []
    monkeypatch.setattr(console.os, "_exit", ended.append)
    with pytest.raises(SystemExit):
        console.run_app(lambda: signal.raise_signal(signal.SIGINT))
    signal.raise_signal(signal.SIGTERM)
    assert ended == [130]


def test_first_signal_asks_to_stop_and_the_handlers_come_back(own_handlers, capsys):
    before = signal.getsignal(signal.SIGTERM)
    running = set(threading.enumerate())
    with console.graceful_stop() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
    for thread in set(threading.enumerate()) - running:
        thread.join()
    assert "finishing the image in hand" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_second_signal_ends_the_process(own_handlers, monkeypatch):
    codes = []
    monkeypatch.setattr("os._exit", codes.append)
    with console.graceful_stop():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert codes == [130]


def test_progress_line_says_done_rate_time_left_and_counts(monkeypatch):
    report = RunReport(40, started_s=time.monotonic() - 5)
    report.add(LabelRecord.labelled(IMAGE, 4, 3, ()))
    for _ in range(9):
        report.add(LabelRecord.failed(IMAGE, "damaged"))
    line = console.format_progress(report)
    assert line == "10/40 images (25 %), 2.00/s, 0:15 left · 0 labelled, 1 empty, 9 failed"


def test_plain_progress_repeats_and_ends_with_the_final_counts(monkeypatch, capsys):
    monkeypatch.setattr(console, "_LINE_EVERY_S", 0.01)
    report = RunReport(1)
    with console.show_progress(report):
        time.sleep(0.1)
        report.add(LabelRecord.labelled(IMAGE, 4, 3, ()))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2
    assert lines[0].startswith("0/1 images (0 %)")
    assert lines[-1].startswith("1/1 images (100 %)")


def test_bar_is_shown_on_a_terminal_with_notes_above_it(monkeypatch):
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    report = RunReport(1)
    with console.show_progress(report):
        console.print_note("[a note]")
        report.add(LabelRecord.labelled(IMAGE, 4, 3, ()))
    shown = terminal.getvalue()
    assert "\x1b[" in shown
    assert "[a note]" in shown
    assert "1/1 images (100 %)" in shown


def test_nothing_is_shown_when_nothing_is_to_do(capsys):
    with console.show_progress(RunReport(0)):
        pass
    assert capsys.readouterr().err == ""


def test_embedding_says_where_it_is_every_few_seconds_only(monkeypatch, capsys):
    progress = console.EmbeddingProgress()
    progress(1, 10)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(console, "_LINE_EVERY_S", 0.0)
    progress(2, 10)
    assert capsys.readouterr().err == "class names: 2/10 texts embedded\n"


def test_embedding_bar_closes_when_all_is_done(monkeypatch):
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    progress = console.EmbeddingProgress()
    progress(5, 10)
    progress(10, 10)
    assert "class names" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
