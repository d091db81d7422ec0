"""The command itself, as a process: images that kill it, and one that never ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_labeller import write_images
from locations import DOUBLES, ROOT

from ovsam_pipeline.output.folder import iterate_rows

COMMAND = [sys.executable, str(DOUBLES / "fake_labeller.py"), "label", "images", "-o", "out"]


@pytest.fixture
def start(tmp_path):
    """Start the command with fakes in the place of the networks."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(DOUBLES)]),
        "OMP_NUM_THREADS": "1",
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return lambda *flags: subprocess.Popen(
        [*COMMAND, *flags], cwd=tmp_path, env=environment, **pipes
    )


def read_errors(output) -> dict[str, str | None]:
    rows = list(iterate_rows(output))
    errors = {row["file_name"]: row["error"] for row in rows}
    assert len(errors) == len(rows)
    return errors


def test_images_that_kill_or_hang_their_process_are_failed_rows(start, tmp_path):
    names = [*(f"{index:02d}.png" for index in range(20)), "03_poison.png", "09_hang.png"]
    write_images(tmp_path / "images", 0, names)
    run = start("--image-timeout", "1", "--on-existing", "overwrite")
    _, shown = run.communicate(timeout=100)
    assert run.returncode == 3, shown
    errors = read_errors(tmp_path / "out")
    assert len(errors) == 22
    failed = {name: error for name, error in errors.items() if error}
    died = "its worker died while it was labelled alone: "
    assert failed.keys() == {"03_poison.png", "09_hang.png"}
    assert failed["03_poison.png"] == f"{died}signal 9, Killed"
    assert failed["09_hang.png"].startswith(f"{died}it did not end within ")
    assert "they are labelled last, one at a time" in shown


def test_last_image_that_kills_its_process_is_one_of_some_failures(start, tmp_path):
    write_images(tmp_path / "images", 0, ["0.png", "1.png", "2_poison.png"])
    run = start()
    _, shown = run.communicate(timeout=100)
    assert run.returncode == 3, shown
    assert list(filter(None, read_errors(tmp_path / "out").values())) == [
        "its worker died while it was labelled alone: signal 9, Killed"
    ]


def test_signal_ends_a_run_with_an_image_that_hangs(start, tmp_path):
    write_images(tmp_path / "images", 0, ["0.png", "1.png", "2_hang.png", "3.png"])
    run = start("--part-seconds", "1")
    until_s = time.monotonic() + 60
    while not list((tmp_path / "out" / "parts").glob("part-*")) and time.monotonic() < until_s:
        time.sleep(0.1)
    run.send_signal(signal.SIGTERM)
    _, shown = run.communicate(timeout=60)
    assert run.returncode == 130, shown
    assert len(read_errors(tmp_path / "out")) == 2
    assert json.loads((tmp_path / "out" / "run.json").read_text())["state"] == "interrupted"


def test_killed_command_takes_the_process_that_labels_with_it(start, tmp_path):
    write_images(tmp_path / "images", 0, ["0.png", "1_hang.png"])
    run = start()
    status = tmp_path / "out" / "status.json"
    until_s = time.monotonic() + 60
    while not (tmp_path / "out" / ".in-hand").exists() and time.monotonic() < until_s:
        time.sleep(0.1)
    process = json.loads(status.read_text())["process"]
    run.kill()
    run.communicate()
    while is_alive(process):
        assert time.monotonic() < until_s
        time.sleep(0.05)


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
