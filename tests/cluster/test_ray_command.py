"""The command itself, as a process that drives a cluster."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_labeller import write_images

from ovsam_pipeline.store import iterate_rows

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parent.parent.parent
FAKE = [str(ROOT / "tests" / "fake_labeller.py")]
# Of the heavy packages only Ray's and Parquet's are needed by who drives.
LIGHT = [
    "-c",
    "import sys\n"
    "from ovsam_pipeline.cli import main\n"
    "try: main()\n"
    "finally: print('loaded torch' if 'torch' in sys.modules else 'no torch', file=sys.stderr)\n",
]


def run_command(program, *words, cwd=None, **env) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *program, *map(str, words)],
        check=False,
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=200,
    )


def read_annotations(output: Path) -> dict:
    """annotations.json without its order and running numbers, which follow the parts."""
    data = json.loads((output / "annotations.json").read_text())
    for item in data["annotations"]:
        del item["id"]
    return {
        name: sorted(map(json.dumps, data[name]))
        for name in ("images", "categories", "annotations")
    }


def test_example_scenes_are_labelled_as_in_one_process_and_the_driver_loads_no_torch(
    cluster, tmp_path
) -> None:
    flags = ("--model", "nano", "--device", "cpu")
    workers = ("--engine", "ray", "--address", cluster.address, "--cpus-per-actor", 1)
    scenes = ROOT / "examples" / "scenes"
    here = run_command(LIGHT, "label", scenes, "-o", tmp_path / "a", "--engine", "local", *flags)
    there = run_command(LIGHT, "label", scenes, "-o", tmp_path / "b", *workers, *flags)
    assert (here.returncode, there.returncode) == (0, 0), here.stderr + there.stderr
    assert here.stderr.endswith("loaded torch\n")
    assert there.stderr.endswith("no torch\n")
    rows = [
        sorted(iterate_rows(tmp_path / name), key=lambda row: row["file_name"]) for name in "ab"
    ]
    assert len(rows[0]) == 24
    assert rows[0] == rows[1]
    assert read_annotations(tmp_path / "a") == read_annotations(tmp_path / "b")


def test_cluster_that_refuses_the_token_is_said_in_one_sentence(cluster, tmp_path) -> None:
    write_images(tmp_path / "in", 1)
    (tmp_path / "token").write_text("f" * 64)
    run = run_command(
        FAKE, "label", tmp_path / "in", "-o", tmp_path / "out", "--address", cluster.address,
        RAY_AUTH_TOKEN_PATH=str(tmp_path / "token"),
    )  # fmt: skip
    assert run.returncode == 2, run.stderr
    last = run.stderr.strip().splitlines()[-1]
    assert f"the Ray cluster at {cluster.address} " in last
    assert "set RAY_AUTH_MODE=token and give the token of the cluster as RAY_AUTH_TOKEN" in last
    assert "Traceback" not in run.stderr


def test_relative_paths_of_the_driver_hold_on_workers(cluster, tmp_path) -> None:
    write_images(tmp_path / "in", 3)
    run = run_command(FAKE, "label", "in", "-o", "out", "--address", cluster.address, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert len(list(iterate_rows(tmp_path / "out"))) == 3
