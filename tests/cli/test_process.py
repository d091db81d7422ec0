"""What only a process of its own can show: signals, start-up time, two at once."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_labeller import write_images
from locations import DOUBLES, ROOT

from ovsam_pipeline.output.folder import iterate_rows, list_parts


def start(*arguments: object, seconds: float = 0.0, module: str = "fake") -> subprocess.Popen:
    program = ["-c", "from ovsam_pipeline.cli import main; main()"]
    if module == "fake":
        program = [str(DOUBLES / "fake_labeller.py")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(DOUBLES)]),
        "FAKE_SECONDS": str(seconds),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_parts(out: Path, count: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while len(list_parts(out)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_signal_finishes_the_image_commits_and_says_how_to_go_on(tmp_path, number, run_ovsam):
    write_images(tmp_path / "images", 200)
    out = tmp_path / "out"
    command = ("label", tmp_path / "images", "-o", out, "--part-images", "5")
    process = start(*command, seconds=0.02)
    wait_for_parts(out, 2, process)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "run the same command again" in stdout
    assert "stopping: finishing the current image" in stderr
    done = sum(1 for _ in iterate_rows(out))
    assert 10 <= done < 200
    assert json.loads((out / "run.json").read_text())["state"] == "interrupted"
    again = run_ovsam(*command)
    assert again.code == 0
    assert f"{200 - done} images in" in again.out


def test_two_at_once_the_second_exits_75_and_a_dead_owner_frees_the_lock(tmp_path, run_ovsam):
    write_images(tmp_path / "images", 100)
    command = ("label", tmp_path / "images", "-o", tmp_path / "out", "--part-images", "1")
    first = start(*command, seconds=0.05)
    wait_for_parts(tmp_path / "out", 1, first)
    assert run_ovsam(*command).code == 75
    first.kill()
    first.communicate()
    assert run_ovsam(*command).code == 0


@pytest.mark.parametrize("arguments", [["--help"], ["label", "--help"]])
def test_help_costs_little_and_loads_nothing_heavy(arguments):
    code = (
        "import sys\n"
        "from ovsam_pipeline.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'numpy', 'cv2', 'pyarrow', 'yaml', 'rich'} & set(sys.modules)))"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.splitlines()[-1] == "[]"
    # Processor time: other work on the machine does not count.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


@pytest.mark.parametrize("module", ["ovsam", "ovsam_pipeline"])
def test_python_m_imports_nothing_from_a_folder_of_data(tmp_path, module):
    for name in ("numpy", "typer", "rich"):
        (tmp_path / f"{name}.py").write_text("open('ran.txt', 'w')")
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.startswith("ovsam ")
    assert not (tmp_path / "ran.txt").exists()
