"""Recipes of docs/cluster.md run here: the SLURM script on two Ray nodes, `ray job submit`.

What is replaced is SLURM itself (`srun` runs the step here). Ray, the tokens and `ovsam` are real.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from locations import ROOT, SCENES

NUM_SCENES = 24
PROGRAMS = {
    "scontrol": "printf '127.0.0.1\\nsecond\\n'",
    "srun": 'while [[ "$1" == --* ]]; do shift; done; exec "$@"',
    "ovsam": f'exec {sys.executable} -c "from ovsam_pipeline.cli import main; main()" "$@"',
}

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(420)]


@pytest.fixture
def environment(tmp_path):
    """A home, a token, programs and a folder for Ray, none of them this user's."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, line in PROGRAMS.items():
        (bin_folder / name).write_text(f"#!/bin/bash\n{line}\n")
        (bin_folder / name).chmod(0o755)
    # Paths of sockets may have 107 bytes, too few for pytest's folders.
    ray_folder = tempfile.mkdtemp(prefix="r", dir="/tmp")
    yield {
        "PATH": f"{bin_folder}:{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "RAY_TMPDIR": ray_folder,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }
    shutil.rmtree(ray_folder, ignore_errors=True)


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def read_names(output: Path) -> list[str]:
    parts = sorted((output / "parts").glob("*.parquet"))
    return sorted(name for part in parts for name in pq.read_table(part)["file_name"].to_pylist())


def test_slurm_script_labels_on_two_ray_nodes(environment, tmp_path) -> None:
    job = {
        "SLURM_JOB_NODELIST": "any",
        "SLURM_CPUS_PER_TASK": "1",
        "SLURM_JOB_ID": str(os.getpid()),
    }
    command = ["bash", "examples/cluster/slurm.sh", "examples/scenes", "-o", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--cpus-per-actor", "1", "--part-images", "4"],
        check=False,
        env=environment | job,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    names = read_names(tmp_path / "out")
    assert len(names) == len(set(names)) == NUM_SCENES


@pytest.fixture
def ray_jobs(environment, tmp_path):
    """A head with the jobs server; ended by its own process id, as `ray stop` would end all."""
    jobs, log = find_port(), tmp_path / "head.log"
    command = ["ray", "start", "--head", "--block", "--num-cpus=2", f"--port={find_port()}"]
    with log.open("w") as stream:
        head = subprocess.Popen(
            [*command, f"--dashboard-port={jobs}", "--disable-usage-stats"],
            env=environment,
            stdout=stream,
            stderr=stream,
        )
    deadline = time.monotonic() + 60
    while "Ray runtime started" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.5)
    asking = environment | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{jobs}"}
    # On a busy machine the agent that takes jobs comes up long after the head says that it runs.
    while submit(asking, "true").returncode and time.monotonic() < deadline + 60:
        time.sleep(1)
    yield asking
    head.terminate()
    head.wait(60)


def submit(environment, *command: str) -> subprocess.CompletedProcess:
    until_s = time.monotonic() + 120
    while True:
        done = subprocess.run(
            ["ray", "job", "submit", "--", *command],
            check=False,
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )
        # The head answers before its agent, which starts jobs, is up.
        if "No available agent" not in done.stderr or time.monotonic() > until_s:
            return done
        time.sleep(2.0)


def test_ray_job_labels_and_tells_failure_from_success(ray_jobs, tmp_path) -> None:
    scenes, output = str(SCENES), tmp_path / "out"
    flags = ("--cpus-per-actor", "1", "--num-actors", "1")
    done = submit(ray_jobs, "ovsam", "label", scenes, "-o", str(output), *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(set(read_names(output))) == NUM_SCENES
    failed = submit(ray_jobs, "ovsam", "label", "nowhere", "-o", str(tmp_path / "other"))
    assert failed.returncode == 1
    assert "failed with exit code 2" in failed.stdout + failed.stderr


def test_ray_job_without_the_token_is_refused(ray_jobs) -> None:
    wrong = ray_jobs | {"RAY_AUTH_TOKEN": "f" * 64}
    refused = submit(wrong, "true")
    assert refused.returncode == 1
    assert "Invalid authentication token" in refused.stderr
