import io
import json
import logging
import sys
import warnings
from datetime import datetime

import pytest

from ovsam.errors import ConfigError
from ovsam_pipeline.terminal import notes


@pytest.fixture(autouse=True)
def own_logs(monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    notes.set_up_logging()
    yield
    notes.choose_logs()


def read_lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_json_note_is_one_object_a_line_with_time_level_and_fields(capsys):
    notes.choose_logs("json")
    notes.print_note('two\nlines and "quotes"', fields={"done": 3})
    (line,) = read_lines(capsys)
    assert (line["level"], line["message"]) == ("info", 'two\nlines and "quotes"')
    assert line["done"] == 3
    assert line["time"].endswith("Z")
    assert abs(datetime.fromisoformat(line["time"]).timestamp() - datetime.now().timestamp()) < 60


def test_json_log_record_has_its_logger_and_traceback_apart(capsys):
    notes.choose_logs("json")
    logger = logging.getLogger("ovsam_pipeline.x")
    try:
        raise KeyError("a")
    except KeyError:
        logger.exception("it went wrong")
    (line,) = read_lines(capsys)
    assert (line["level"], line["message"]) == ("error", "it went wrong")
    assert line["logger"] == "ovsam_pipeline.x"
    assert line["traceback"].startswith("Traceback")
    assert "KeyError" in line["traceback"]


def test_warnings_of_python_are_json_too(capsys):
    notes.choose_logs("json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old thing", UserWarning, stacklevel=1)
    (line,) = read_lines(capsys)
    assert line["level"] == "warning"
    assert "old thing" in line["message"]


def test_quiet_leaves_warnings_and_errors(capsys):
    notes.choose_logs(is_quiet=True)
    logger = logging.getLogger("ovsam_pipeline.x")
    notes.print_note("a note")
    logger.info("a fact")
    logger.warning("a warning")
    notes.print_note("an error", level=logging.ERROR)
    assert capsys.readouterr().err == "A warning\nan error\n"


def test_sentences_have_no_fields(capsys):
    notes.print_note("a note", fields={"done": 3})
    assert capsys.readouterr().err == "a note\n"


def test_notes_go_where_they_are_diverted_to(capsys):
    taken = []
    with notes.divert_notes(taken.append):
        notes.print_note("above the bar")
    notes.print_note("after it")
    assert (taken, capsys.readouterr().err) == (["above the bar"], "after it\n")


def test_unknown_format_is_refused():
    with pytest.raises(ConfigError, match="expected --log-format as one of text, json, got 'xml'"):
        notes.choose_logs("xml")


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("choice", "term", "expected"),
    [
        ({}, "xterm", True),
        ({}, "dumb", False),
        ({"log_format": "json"}, "xterm", False),
        ({"is_quiet": True}, "xterm", False),
    ],
)
def test_bars_are_for_terminals_that_show_sentences(monkeypatch, choice, term, expected):
    monkeypatch.setattr(sys, "stderr", FakeTerminal())
    monkeypatch.setenv("TERM", term)
    notes.choose_logs(**choice)
    assert notes.has_bars() is expected


def test_no_bars_without_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert not notes.has_bars()


def take_terminal(monkeypatch):
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return terminal


@pytest.mark.parametrize("is_quiet", [False, True])
def test_a_terminal_shows_errors_red_warnings_yellow_and_notes_dim(monkeypatch, is_quiet):
    terminal = take_terminal(monkeypatch)
    notes.choose_logs(is_quiet=is_quiet)
    notes.print_note("ovsam: an error", level=logging.ERROR)
    notes.print_note("a warning", level=logging.WARNING)
    notes.print_note("a note")
    notes.print_note("1/2 images", fields={"event": "progress"})
    red, yellow = "\x1b[31movsam: an error\x1b[0m\n", "\x1b[33ma warning\x1b[0m\n"
    rest = "" if is_quiet else "\x1b[2ma note\x1b[0m\n1/2 images\n"
    assert terminal.getvalue() == red + yellow + rest


@pytest.mark.parametrize("variable", [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colour_where_none_is_wanted(monkeypatch, variable):
    terminal = take_terminal(monkeypatch)
    monkeypatch.setenv(*variable)
    notes.print_note("an error", level=logging.ERROR)
    assert terminal.getvalue() == "an error\n"


def test_no_colour_in_a_pipe_or_in_json(monkeypatch, capsys):
    notes.print_note("an error", level=logging.ERROR)
    assert capsys.readouterr().err == "an error\n"
    terminal = take_terminal(monkeypatch)
    notes.choose_logs("json")
    notes.print_note("an error", level=logging.ERROR)
    assert "\\u001b" not in terminal.getvalue()
    assert "\x1b" not in terminal.getvalue()


def test_sentences_of_the_log_begin_with_a_capital_and_names_stay(capsys):
    logger = logging.getLogger("ovsam.x")
    logger.warning("no preview of %s", "a.jpg")
    logger.warning("%s is trained already", "runs/mine")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["No preview of a.jpg", "runs/mine is trained already"]
