import json
import logging
import signal
import threading

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
    assert (line["level"], line["message"]) == ("critical", "ovsam: ZeroDivisionError: a bug")
    assert "in app" in line["traceback"]


def test_signal_is_one_json_object(own_handlers, capsys):
    assert run_in_json(lambda: signal.raise_signal(signal.SIGTERM)) == 130
    assert json.loads(capsys.readouterr().err)["exit_code"] == 130


def test_unknown_error_in_sentences_passes_through(own_handlers):
    with pytest.raises(ZeroDivisionError):
        console.run_app(fail_with(ZeroDivisionError("a bug")))
