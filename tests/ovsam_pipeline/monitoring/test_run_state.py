import fcntl
import json
import logging
import os
import platform
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from ovsam.errors import ConfigError
from ovsam_pipeline.commands.status import format_status
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.monitoring import run_state
from ovsam_pipeline.monitoring.report import RunReport, WorkerState
from ovsam_pipeline.monitoring.run_state import PHASES, RunState, keep_status, read_status
from ovsam_pipeline.storage.remote_path import RemotePath

NOBODY = 2**22 + 1  # above the largest process number of Linux


def read_file(output):
    return json.loads((output / "status.json").read_text())


def make_state(output, done=3, total=10):
    report = RunReport(total)
    report.statuses["labelled"] = done
    report.workers["a"] = WorkerState("a", "labelling", done, 1.5, {"decode": 1.0, "segment": 2.0})
    return RunState(output, engine="ray", report=report, plan={"new": total})


def write_status(output, age_s=0.0, **changes):
    """Write the status of a run that goes on, as if `age_s` seconds had passed since."""
    values = make_state(output).to_dict(1.0)
    then = datetime.now(UTC) - timedelta(seconds=age_s)
    values = {**values, "updated": then.isoformat(timespec="seconds"), **changes}
    (output / "status.json").write_bytes(json.dumps(values).encode())


def test_status_tells_phase_counts_workers_and_who_runs(tmp_path):
    state = make_state(tmp_path)
    for phase in ("list", "load", "plan"):
        state.end_phase(phase)
    with keep_status(state):
        status = read_file(tmp_path)
    assert (status["state"], status["phase"], status["engine"]) == ("running", "label", "ray")
    assert (status["host"], status["process"]) == (platform.node(), os.getpid())
    assert (status["progress"]["done"], status["progress"]["total"]) == (3, 10)
    assert status["progress"]["slowest_stage"] == "segment"
    assert status["progress"]["workers"][0]["name"] == "a"
    assert list(status["phase_seconds"]) == ["list", "load", "plan"]
    assert datetime.fromisoformat(status["started"]) <= datetime.fromisoformat(status["updated"])


def test_status_is_replaced_while_the_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(run_state, "_EVERY_S", 0.01)
    state = make_state(tmp_path)
    with keep_status(state):
        state.report.statuses["labelled"] = 7
        deadline = time.monotonic() + 5
        while read_file(tmp_path)["progress"]["done"] != 7:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_status_says_how_the_run_ended(tmp_path):
    state = make_state(tmp_path, done=10)
    with keep_status(state):
        for phase in PHASES:
            state.end_phase(phase)
        state.finish(state.report.summarise("finished"))
    status = read_status(tmp_path)
    assert (status["state"], status["exit_code"], status["phase"]) == ("finished", 0, None)


@pytest.mark.parametrize(
    ("error", "state", "code", "text"),
    [
        (OutputError("disk full"), "failed", 1, "disk full"),
        (ConfigError("other conf"), "failed", 2, "other conf"),
        (ZeroDivisionError(), "failed", 1, "ZeroDivisionError"),
        (KeyboardInterrupt(), "interrupted", 130, None),
    ],
)
def test_status_says_what_ended_a_failed_run(tmp_path, error, state, code, text):
    with pytest.raises(type(error)), keep_status(make_state(tmp_path)):
        raise error
    status = read_status(tmp_path)
    assert (status["state"], status["exit_code"], status["error"]) == (state, code, text)


def test_pace_of_an_ended_run_stands_still(tmp_path):
    state = make_state(tmp_path)
    state.report.started_s = time.monotonic() - 2.0
    state.end_phase("label")
    state.report.started_s = time.monotonic() - 200.0
    assert state.to_dict(0.0)["progress"]["images_per_s"] == pytest.approx(1.5, rel=0.1)


def test_unwritable_status_is_one_warning_and_the_run_goes_on(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(run_state, "_EVERY_S", 0.01)
    (tmp_path / "status.json").mkdir()
    caplog.set_level(logging.WARNING, "ovsam_pipeline.monitoring.run_state")
    with keep_status(make_state(tmp_path)):
        time.sleep(0.1)
    assert len(caplog.records) == 1
    assert "the run continues, but `ovsam status` does not see it" in caplog.text


@pytest.mark.parametrize(
    ("age_s", "host", "process", "is_locked", "state"),
    [
        (0, "here", "ours", True, "running"),
        (0, "here", NOBODY, False, "died"),
        (0, "here", "ours", False, "died"),  # the number is another process's by now
        (0, "here", NOBODY, True, "running"),  # of a container with this machine's name
        (90, "here", "ours", True, "running"),
        (30, "elsewhere", NOBODY, False, "running"),
        (90, "elsewhere", NOBODY, False, "died"),
        (90, "elsewhere", NOBODY, True, "running"),  # its network drive is slow
    ],
)
def test_run_is_dead_when_its_lock_is_free_and_elsewhere_when_it_is_silent_too(
    tmp_path, age_s, host, process, is_locked, state
):
    host = platform.node() if host == "here" else host
    process = os.getpid() if process == "ours" else process
    write_status(tmp_path, age_s, host=host, process=process)
    with (tmp_path / ".lock").open("w") as stream:
        if is_locked:
            fcntl.flock(stream, fcntl.LOCK_EX)
        status = read_status(tmp_path)
    assert status["state"] == state
    assert status["exit_code"] == (1 if state == "died" else None)


@pytest.mark.parametrize(
    ("age_s", "host", "process", "state"),
    [
        (30, "here", NOBODY, "running"),  # a few heartbeats are missing at most
        (90, "here", NOBODY, "died"),
        (90, "here", "ours", "running"),
        (90, "elsewhere", NOBODY, "running"),
        (200, "here", "ours", "died"),
        (200, "elsewhere", NOBODY, "died"),
    ],
)
def test_run_into_a_store_is_dead_when_it_is_silent(age_s, host, process, state):
    output = RemotePath(f"memory://status/{uuid.uuid4().hex}")
    host = platform.node() if host == "here" else host
    process = os.getpid() if process == "ours" else process
    write_status(output, age_s, host=host, process=process)
    assert read_status(output)["state"] == state


def test_run_that_ends_between_two_looks_is_not_dead(tmp_path, monkeypatch):
    write_status(tmp_path, process=NOBODY)

    def end_meanwhile(folder):
        write_status(folder, state="finished", exit_code=0)
        return False

    monkeypatch.setattr(run_state, "is_held", end_meanwhile)
    assert read_status(tmp_path)["state"] == "finished"


def test_looking_leaves_the_lock_free(tmp_path):
    write_status(tmp_path)
    (tmp_path / ".lock").touch()
    read_status(tmp_path)
    with (tmp_path / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("damage", [None, "", "[]", '{"state": "running"}'])
def test_run_file_speaks_where_status_is_not_there_or_damaged(tmp_path, damage):
    run = {"ovsam": "1", "state": "finished", "started": "2026-01-01T00:00:00+00:00"}
    run |= {"run": {"exit_code": 3}, "phase_seconds": {"list": 2.0}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    if damage is not None:
        (tmp_path / "status.json").write_text(damage)
    status = read_status(tmp_path)
    assert (status["state"], status["exit_code"]) == ("finished", 3)
    assert status["phase_seconds"] == {"list": 2.0}


def test_later_run_that_could_not_write_a_status_is_the_one_that_counts(tmp_path):
    write_status(tmp_path, started="2026-01-01T00:00:00+00:00", state="failed")
    run = {"state": "finished", "started": "2026-01-02T00:00:00+00:00"}
    (tmp_path / "run.json").write_text(json.dumps(run))
    assert read_status(tmp_path)["state"] == "finished"


def test_folder_without_any_word_is_unknown(tmp_path):
    status = read_status(tmp_path)
    assert (status["state"], status["exit_code"]) == ("unknown", None)


WRONG = (None, 0, -1, 2**70, 1e400, float("nan"), "", "x", [], {}, [[]], {"a": None}, True)


def list_places(value, place=()):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*place, key)
        if isinstance(item, dict | list):
            yield from list_places(item, (*place, key))


def change(value, place, new):
    changed = json.loads(json.dumps(value))
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = new
    return changed


def test_status_with_any_wrong_value_can_be_shown(tmp_path):
    """Every value of status.json in turn is something else: `ovsam status` has a sentence."""
    (tmp_path / ".lock").touch()
    whole = make_state(tmp_path).to_dict(1.0)
    for place in list_places(whole):
        for wrong in WRONG:
            text = json.dumps(change(whole, place, wrong))
            (tmp_path / "status.json").write_text(text)
            assert format_status(read_status(tmp_path))


def test_run_file_with_any_wrong_value_is_a_sentence(tmp_path):
    (tmp_path / ".lock").touch()
    settings = {"sources": ["a"], "detector": "nano", "vocabulary": "auto"}
    whole = {
        "ovsam": "1",
        "state": "running",
        "started": "2026-01-01T00:00:00+00:00",
        "fingerprint": "f",
        "depends_on": {"conf": 0.5, "max_det": 3},
        "settings": settings,
        "resolved": settings,
        "run": {"exit_code": 0},
        "phase_seconds": {"list": 0.1},
        "host": platform.node(),
        "process": NOBODY,
        "categories": [{"id": 1, "name": "cat"}],
    }
    refused = []
    for place in list_places(whole):
        for wrong in WRONG:
            (tmp_path / "run.json").write_text(json.dumps(change(whole, place, wrong)))
            try:
                assert format_status(read_status(tmp_path))
            except OutputError as error:
                refused.append(str(error))
    assert len(refused) > 150
    assert all("run.json" in sentence for sentence in refused)
