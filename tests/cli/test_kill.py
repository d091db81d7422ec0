"""kill -9 at 20 random moments, by the script whose numbers the README states."""

import json
import os
import subprocess
import sys

import pytest
from fake_labeller import write_images
from locations import DOUBLES, ROOT


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "seed", "kills"), [("label", 0, 20), ("label", 1, 20), ("detect", 2, 8)]
)
def test_killed_at_random_moments_nothing_is_lost_or_doubled(tmp_path, command, seed, kills):
    write_images(tmp_path / "images", 300)
    (tmp_path / "images" / "broken.png").write_bytes(b"no picture")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(DOUBLES)]),
        "FAKE_SECONDS": "0.02",
        "OMP_NUM_THREADS": "1",
    }
    arguments = [
        sys.executable, ROOT / "benchmarks" / "faults" / "kill9.py",
        "--images", tmp_path / "images",
        "--program", DOUBLES / "fake_labeller.py", "--seed", str(seed), "--expect", "3",
        "--command", command, "--kills", str(kills),
    ]  # fmt: skip
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["kills"], found["images"], found["is_equal"]) == (kills, 301, True)
    assert found["lost"] == found["doubled"] == found["doubled_at_the_end"] == 0
