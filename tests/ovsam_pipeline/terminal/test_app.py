import json
import logging
import re
import signal
import threading
from pathlib import Path

import pytest

from ovsam import errors as core
from ovsam_pipeline import errors
from ovsam_pipeline.terminal import app as console


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
    console.choose_logs()
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
    assert "finishing the current image" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_second_signal_ends_the_process(own_handlers, monkeypatch):
    codes = []
    monkeypatch.setattr("os._exit", codes.append)
    with console.graceful_stop():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert codes == [130]


def test_first_signal_after_the_time_limit_asks_and_the_second_ends(own_handlers, monkeypatch):
    codes = []
    monkeypatch.setattr("os._exit", codes.append)
    with console.graceful_stop() as stop:
        stop.request("time limit")
        signal.raise_signal(signal.SIGTERM)
        assert (codes, stop.reason) == ([], "time limit")
        signal.raise_signal(signal.SIGTERM)
    assert codes == [130]


def fail_with(error):
    def app():
        raise error

    return app


def run_in_json(app):
    def chosen():
        console.choose_logs("json")
        app()

    with pytest.raises(SystemExit) as stopped:
        console.run_app(chosen)
    return stopped.value.code


def test_known_error_is_one_json_object_with_its_exit_code(own_handlers, capsys):
    assert run_in_json(fail_with(core.ConfigError("expected a, got b"))) == 2
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["message"]) == ("error", "ovsam: expected a, got b")
    assert (line["error"], line["exit_code"]) == ("ConfigError", 2)


def test_unknown_error_is_one_json_object_with_its_traceback(own_handlers, capsys):
    assert run_in_json(fail_with(ZeroDivisionError("a bug"))) == 1
    line = json.loads(capsys.readouterr().err)
    assert line["level"] == "critical"
    assert line["message"].startswith("ovsam: internal error: ZeroDivisionError: a bug (")
    assert "in app" in line["traceback"]


def test_signal_is_one_json_object(own_handlers, capsys):
    assert run_in_json(lambda: signal.raise_signal(signal.SIGTERM)) == 130
    assert json.loads(capsys.readouterr().err)["exit_code"] == 130


def end_with(app):
    with pytest.raises(SystemExit) as stopped:
        console.run_app(app)
    return stopped.value.code


def test_unknown_error_is_one_line_with_its_place(own_handlers, capsys):
    assert end_with(fail_with(ZeroDivisionError("a bug\nof two lines"))) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ovsam: internal error: ZeroDivisionError: a bug of two lines (")
    assert re.search(r"test_app\.py:\d+\); --debug shows how it came to this", line)


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), core.ConfigError("a mistake")])
def test_debugging_shows_the_traceback_of_any_error(own_handlers, capsys, monkeypatch, error):
    monkeypatch.setenv("OVSAM_LOG", "debug")
    end_with(fail_with(error))
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback (most recent call last)")
    assert "in app" in shown
    assert shown.splitlines()[-1].startswith("ovsam: ")


def test_error_in_a_thread_is_one_line(own_handlers, capsys):
    def app():
        thread = threading.Thread(target=fail_with(KeyError("lost")))
        thread.start()
        thread.join()

    assert end_with(app) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ovsam: internal error: KeyError: no 'lost' (")


def test_record_with_an_error_shows_its_place_alone(own_handlers, capsys):
    def app():
        try:
            raise ValueError("no\x1b[2Jimage")
        except ValueError:
            logging.getLogger("ovsam_pipeline.x").exception("%s failed", "a.png")

    end_with(app)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "a.png failed"
    assert second.startswith(r"internal error: ValueError: no\x1b[2Jimage (")


def test_home_that_is_not_known_is_a_sentence(own_handlers, capsys):
    assert end_with(lambda: Path("~nobody-of-this-name/x").expanduser()) == 2
    assert "no home folder is known for a path with ~" in capsys.readouterr().err


def test_a_path_that_may_not_be_looked_at_is_a_sentence(own_handlers, capsys):
    def look():
        raise PermissionError(13, "Permission denied", "/shut/s.json")

    assert end_with(look) == 2
    assert capsys.readouterr().err == "ovsam: cannot use /shut/s.json: Permission denied\n"
    assert end_with(lambda: Path("x" * 300).is_file()) == 2
    assert "File name too long" in capsys.readouterr().err
