"""Whole processes: several on one batch, signals, SIGKILL."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from locations import DOUBLES, ROOT
from safetensors.torch import load_file
from tiny_run import read_curve

TINY = str(DOUBLES / "tiny_run.py")
ALONE = [sys.executable, TINY]
PAIR = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", TINY]


def _start(program, folder, *pairs):
    return subprocess.Popen(
        [*program, str(folder), *pairs],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _run(program, folder, *pairs):
    process = _start(program, folder, *pairs)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0, text


def _wait_for_lines(folder, count):
    deadline = time.monotonic() + 60
    log = folder / "log.jsonl"
    while not log.is_file() or log.read_text().count("\n") < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _weights(folder):
    return load_file(max(folder.glob("checkpoint-*.safetensors")))


@pytest.mark.slow
def test_two_processes_equal_one_with_a_batch_twice_as_large(tmp_path):
    _run(ALONE, tmp_path / "one", "batch=8")
    _run(PAIR, tmp_path / "two", "batch=4")
    pairs = zip(read_curve(tmp_path / "one"), read_curve(tmp_path / "two"), strict=True)
    for one, two in pairs:
        assert two == pytest.approx(one, abs=1e-5)
    ours, theirs = _weights(tmp_path / "one"), _weights(tmp_path / "two")
    for name, tensor in ours.items():
        assert (tensor - theirs[name]).abs().max() <= 1e-5, name


@pytest.mark.slow
@pytest.mark.parametrize("program", [ALONE, PAIR], ids=["alone", "pair"])
def test_sigterm_saves_and_the_next_start_goes_on_exactly(tmp_path, program):
    pairs = ("steps=60", "dropout=0.5")
    _run(program, tmp_path / "whole", *pairs)
    process = _start(program, tmp_path / "cut", *pairs, "pause_s=0.05")
    _wait_for_lines(tmp_path / "cut", 5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    if program is ALONE:  # torchrun itself ends by the signal, its processes with 0
        assert process.returncode == 0
    newest = max((tmp_path / "cut").glob("checkpoint-*.json"))
    assert 5 <= json.loads(newest.read_text())["step"] < 60
    _run(program, tmp_path / "cut", *pairs)
    assert read_curve(tmp_path / "cut") == read_curve(tmp_path / "whole")


@pytest.mark.slow
def test_ctrl_c_saves_and_exits_130(tmp_path):
    process = _start(ALONE, tmp_path, "steps=1000", "pause_s=0.05")
    _wait_for_lines(tmp_path, 3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert list(tmp_path.glob("checkpoint-*.json"))


@pytest.mark.slow
def test_second_ctrl_c_ends_at_once(tmp_path):
    process = _start(ALONE, tmp_path, "steps=1000", "pause_s=5")
    _wait_for_lines(tmp_path, 1)
    process.send_signal(signal.SIGINT)
    time.sleep(1.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=3)
    assert process.returncode == 130
    assert not list(tmp_path.glob("checkpoint-*.json"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_curve_of_a_run_killed_ten_times_is_that_of_an_unbroken_one(tmp_path):
    script = [sys.executable, str(ROOT / "benchmarks" / "faults" / "training_kill9.py")]
    options = ["--out", str(tmp_path), "--out-first", "--", *ALONE]
    pairs = ["steps=200", "pause_s=0.05", "dropout=0.5", "log_every=3", "save_every=7"]
    ended = subprocess.run(
        [*script, *options, *pairs],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=550,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(ended.stdout)
    assert found["is_equal"]
    assert found["lines"] == 66
    assert len(found["kills"]) >= 5
