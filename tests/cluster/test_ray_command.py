"""The command itself, as a process that drives a cluster."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_labeller import write_images
from locations import DOUBLES, SCENES

from ovsam_pipeline.output.folder import iterate_rows
from ovsam_pipeline.output.place import parse_output

pytestmark = pytest.mark.ray

FAKE = [str(DOUBLES / "fake_labeller.py")]
# Of the heavy packages only Ray's and Parquet's are needed by who drives.
LIGHT = [
    "-c",
    # `run_app` is what the process that is watched over runs.
    "import sys\n"
    "from ovsam_pipeline import cli\n"
    "run_app = cli.run_app\n"
    "def run_and_say(app):\n"
    "    try: run_app(app)\n"
    "    finally: print('loaded' if 'torch' in sys.modules else 'no', 'torch', file=sys.stderr)\n"
    "cli.run_app = run_and_say\n"
    "cli.main()\n",
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
    """annotations.json without its order, which follows the parts."""
    data = json.loads((output / "annotations.json").read_text())
    return {
        name: sorted(map(json.dumps, data[name]))
        for name in ("images", "categories", "annotations")
    }


def test_example_scenes_are_labelled_as_in_one_process_and_the_driver_loads_no_torch(
    cluster, tmp_path
) -> None:
    flags = ("--model", "nano", "--device", "cpu")
    workers = ("--engine", "ray", "--address", cluster.address, "--cpus-per-actor", 1)
    scenes = SCENES
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


def test_relabelled_scenes_and_their_boxes_are_as_in_one_process(cluster, tmp_path) -> None:
    for index in range(3):
        shutil.copy2(SCENES / f"scene_{index:04d}.jpg", tmp_path)
    flags = ("--model", "nano", "--device", "cpu")
    engines = {
        "local": ("--engine", "local"),
        "ray": ("--address", cluster.address, "--cpus-per-actor", 1),
    }
    first = run_command(LIGHT, "label", tmp_path, "-o", tmp_path / "x", *flags, *engines["local"])
    assert first.returncode == 0, first.stderr
    rows = {}
    for engine, where in engines.items():
        again = ("--relabel", tmp_path / "x", "--vocabulary", "dog,pizza,car")
        relabelled, boxes = tmp_path / f"r_{engine}", tmp_path / f"d_{engine}"
        for words in (
            ("label", *again, "-o", relabelled, *where),
            ("detect", tmp_path, "-o", boxes, "--device", "cpu", *where),
        ):
            run = run_command(LIGHT, *words)
            assert run.returncode == 0, run.stderr
        rows[engine] = [
            sorted(iterate_rows(output), key=lambda row: row["file_name"])
            for output in (relabelled, boxes)
        ]
    assert rows["ray"] == rows["local"]
    assert [len(of_task) for of_task in rows["local"]] == [3, 3]
    assert all(row["objects"] for row in rows["local"][0])


def list_processes_of_ray(folder: Path) -> list[str]:
    """Command lines of what has a folder of its own as Ray's."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if f"RAY_TMPDIR={folder}".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # not a process, or over meanwhile
            continue
    return found


def wait_until_gone(folder: Path, seconds: float = 150.0) -> None:
    until_s = time.monotonic() + seconds
    while left := list_processes_of_ray(folder):
        assert time.monotonic() < until_s, left
        time.sleep(0.2)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks at processes in /proc")
def test_no_process_is_left_of_a_run_that_ended_or_was_killed(ray_home, tmp_path) -> None:
    write_images(tmp_path / "in", 60)
    home = Path(ray_home["RAY_TMPDIR"]) / "ended"
    home.mkdir()
    env = {**os.environ, "RAY_TMPDIR": str(home), "FAKE_SECONDS": "0.3"}
    command = [sys.executable, *FAKE, "label", str(tmp_path / "in"), "--engine", "ray", "-o"]
    killed = subprocess.Popen([*command, str(tmp_path / "a")], env=env, stderr=subprocess.DEVNULL)
    parts = tmp_path / "a" / "parts"
    until_s = time.monotonic() + 120
    while not (parts.is_dir() and any(parts.glob("*.parquet"))):
        assert time.monotonic() < until_s
        assert killed.poll() is None
        time.sleep(0.1)
    assert len(list_processes_of_ray(home)) > 2
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    wait_until_gone(home)
    env["FAKE_SECONDS"] = "0"
    again = subprocess.run([*command, str(tmp_path / "a")], env=env, check=False)
    assert again.returncode == 0
    wait_until_gone(home)
    names = [row["file_name"] for row in iterate_rows(tmp_path / "a")]
    assert sorted(names) == sorted(path.name for path in (tmp_path / "in").iterdir())


def test_sources_and_output_on_a_store_are_read_and_written_by_the_workers(
    s3, ray_home, tmp_path
) -> None:
    write_images(tmp_path / "in", 24)
    for file in (tmp_path / "in").iterdir():
        s3.put(f"in/{file.name}", file.read_bytes())
    output = f"{s3.uri}/out"
    workers = ("--engine", "ray", "--num-actors", 2, "--cpus-per-actor", 1, "--part-images", 4)
    first = run_command(FAKE, "label", f"{s3.uri}/in", "-o", output, *workers, "--json")
    assert first.returncode == 0, first.stderr
    here = run_command(FAKE, "label", f"{s3.uri}/in", "-o", tmp_path / "out", "--engine", "local")
    assert here.returncode == 0, here.stderr
    there, local = (
        sorted(iterate_rows(parse_output(str(place))), key=lambda row: row["file_name"])
        for place in (output, tmp_path / "out")
    )
    assert len(there) == 24
    assert there == local
    again = run_command(FAKE, "label", f"{s3.uri}/in", "-o", output, *workers, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["unchanged"] == 24


def test_address_where_nobody_listens_is_said_in_one_sentence(tmp_path) -> None:
    write_images(tmp_path / "in", 1)
    with socket.socket() as closed:  # bound and not listening: nobody else gets the port
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        run = run_command(
            FAKE, "label", tmp_path / "in", "-o", tmp_path / "out", "--address", address
        )
    assert run.returncode == 2, run.stderr
    assert (
        run.stderr.strip()
        .splitlines()[-1]
        .startswith(
            f"ovsam: no Ray cluster answers at {address}; start one (ray start --head), correct "
        )
    )
    assert "Traceback" not in run.stderr


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
