"""`ovsam status`, beside a run and after it."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest
from fake_labeller import write_images
from locations import DOUBLES, ROOT

from ovsam_pipeline.monitoring.report import RunReport
from ovsam_pipeline.monitoring.run_state import RunState, keep_status
from ovsam_pipeline.output.lock import OutputLock, is_held, take_lock

NOBODY = 2**22 + 1  # above the largest process number of Linux


def start_slow_run(folder: Path) -> subprocess.Popen:
    """Label 200 images in a process of its own; returns once it labels."""
    write_images(folder / "images", 200)
    command = ["label", folder / "images", "-o", folder / "out", "--part-images", "5"]
    paths = os.pathsep.join([str(ROOT), str(DOUBLES)])
    process = subprocess.Popen(
        [sys.executable, DOUBLES / "fake_labeller.py", *command],
        env={**os.environ, "PYTHONPATH": paths, "FAKE_SECONDS": "0.05", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while read_done(folder / "out") is None:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def read_done(out: Path) -> int | None:
    """Images done by status.json; None before labelling."""
    path = out / "status.json"
    return json.loads(path.read_text())["progress"].get("done") if path.exists() else None


def hold(out: Path) -> AbstractContextManager[OutputLock]:
    """Hold an output as a run does."""
    return closing(take_lock(out))


def change_status(out: Path, **changes: object) -> None:
    path = out / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_status_of_a_run_that_goes_on_is_its_phase_and_counts(run_ovsam, images, tmp_path):
    run_ovsam("label", images, "-o", tmp_path / "out")
    report = RunReport(8)
    report.statuses["labelled"] = 2
    state = RunState(tmp_path / "out", engine="local", report=report)
    for phase in ("list", "load", "plan"):
        state.end_phase(phase)
    with hold(tmp_path / "out"), keep_status(state):
        found = run_ovsam("status", tmp_path / "out")
    assert found.code == 0
    assert found.out.startswith(f"running, labelling (process {os.getpid()} on ")
    assert found.out.splitlines()[-1].startswith("2/8 images")


@pytest.mark.slow
def test_status_beside_a_run_tells_how_far_it_is_until_it_ends(tmp_path, run_ovsam, monkeypatch):
    process = start_slow_run(tmp_path)
    found = run_ovsam("status", tmp_path / "out")
    assert found.code == 0
    assert found.out.startswith(f"running, labelling (process {process.pid} on ")
    assert "/200 images" in found.out.splitlines()[-1]
    values = json.loads(run_ovsam("status", tmp_path / "out", "--json").out)
    assert (values["state"], values["process"]) == ("running", process.pid)
    naps = []

    def stop_it(seconds):
        naps.append(seconds)
        if len(naps) == 2:
            process.send_signal(signal.SIGTERM)
            process.wait()

    monkeypatch.setattr("time.sleep", stop_it)
    found = run_ovsam("status", tmp_path / "out", "--watch", "--every", "0.5")
    lines = found.out.splitlines()
    assert (found.code, naps) == (130, [0.5, 0.5])
    assert "/200 images" in lines[0]
    assert lines[2].startswith("interrupted; run the same command again")


@pytest.mark.slow
def test_status_and_report_agree_on_a_killed_run_at_once_and_later(tmp_path, run_ovsam):
    out = tmp_path / "out"

    def ask() -> tuple[str, str]:
        names = ("status", "report")
        status, report = (json.loads(run_ovsam(name, out, "--json").out) for name in names)
        assert status["started"] == report["started"]
        return status["state"], report["state"]

    process = start_slow_run(tmp_path)
    assert ask() == ("running", "running")
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while is_held(out):  # the kernel ends the process that labels after the command's
        assert time.monotonic() < deadline
    assert ask() == ("died", "died")
    time.sleep(1.0)
    assert ask() == ("died", "died")
    change_status(out, updated="2026-01-01T00:00:00+00:00")
    assert ask() == ("died", "died")
    assert run_ovsam("status", out).out.startswith("the run died; run the same command again")
    assert run_ovsam("report", out).out.splitlines()[1].startswith("last run: died, started 20")


def test_killed_run_is_dead_until_the_same_command_continues_it(tmp_path, images, run_ovsam):
    out = tmp_path / "out"
    run_ovsam("label", images, "-o", out)
    change_status(out, state="running", phase="label", exit_code=None, process=NOBODY)
    found = run_ovsam("status", out)
    assert found.code == 1
    assert found.out.startswith("the run died; run the same command again")
    assert run_ovsam("label", images, "-o", out).code == 0
    assert run_ovsam("status", out).out.startswith("finished (process")


@pytest.mark.parametrize(("name", "code"), [("good.png", 0), ("broken.png", 3)])
def test_status_after_a_run_is_how_it_ended(run_ovsam, images, tmp_path, name, code):
    if name == "broken.png":
        (images / name).write_bytes(b"no picture")
    run_ovsam("label", images, "-o", tmp_path / "out")
    found = run_ovsam("status", tmp_path / "out")
    assert (found.code, found.out.startswith("finished (process ")) == (code, True)
    assert f"\n{6 + bool(code)}/{6 + bool(code)} images · " in found.out
    assert (" · 1 failed" in found.out) == bool(code)
    assert "list 0." in found.out
    assert "export 0." in found.out


def test_status_of_a_failed_start_gives_the_reason(run_ovsam, images, tmp_path):
    run_ovsam("label", images, "-o", tmp_path / "out")
    run_ovsam("label", images, "-o", tmp_path / "out", "--conf", "0.5")
    found = run_ovsam("status", tmp_path / "out")
    assert found.code == 2
    assert found.out.startswith("failed (process")
    assert "other settings: conf (0.25 before, 0.5 now)" in found.out


def test_run_without_a_status_file_is_known_from_its_run_file(run_ovsam, images, tmp_path):
    run_ovsam("label", images, "-o", tmp_path / "out")
    (tmp_path / "out" / "status.json").unlink()
    found = run_ovsam("status", tmp_path / "out")
    assert (found.code, found.out.startswith("finished (process ")) == (0, True)


def test_output_without_a_word_says_so(run_ovsam, images, tmp_path):
    run_ovsam("label", images, "-o", tmp_path / "out")
    for name in ("status.json", "run.json"):
        (tmp_path / "out" / name).unlink()
    found = run_ovsam("status", tmp_path / "out")
    assert (found.code, found.out) == (0, "no finished run is recorded here\n")


def test_watching_in_json_is_one_object_a_line(run_ovsam, images, tmp_path):
    run_ovsam("label", images, "-o", tmp_path / "out")
    found = run_ovsam("status", tmp_path / "out", "--watch", "--json")
    assert json.loads(found.out)["state"] == "finished"
    assert len(found.out.splitlines()) == 1


def test_folder_without_a_run_is_exit_code_2(run_ovsam, images, tmp_path):
    for folder in (images, tmp_path / "nothing"):
        found = run_ovsam("status", folder)
        assert (found.code, found.out) == (2, "")
        assert (
            f"expected an output folder of ovsam label, got {folder}; a run creates it after"
            in found.err
        )


def test_workers_of_a_cluster_are_listed_one_a_line(run_ovsam, images, tmp_path):
    run_ovsam("label", images, "-o", tmp_path / "out")
    path = tmp_path / "out" / "status.json"
    values = json.loads(path.read_text())
    (worker,) = values["progress"]["workers"]
    gpu = {"gpu_memory_used": 3 << 30, "gpu_memory_total": 80 << 30, "gpu_utilisation": 0.5}
    values["progress"]["workers"] = [
        {**worker, **gpu, "name": "node1:7", "state": "labelling", "done": 4, "images_per_s": 2.0},
        {**worker, "name": "node2:9", "state": "lost"},
    ]
    path.write_text(json.dumps({**values, "state": "running", "phase": "label"}))
    with hold(tmp_path / "out"):
        lines = run_ovsam("status", tmp_path / "out").out.splitlines()
    assert "  node1:7: labelling, 4 images, 2.00/s, GPU memory 3.0 GiB, GPU 50 %" in lines
    assert any(line.startswith("  node2:9: lost, 6 images") for line in lines)
    assert "1 worker, 2.00/s each, 1 lost · GPU 3.0/80.0 GiB, 50 %" in lines[-1]
