"""A Ray that ovsam starts: what its workers import, where it listens, who can read its token."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from fake_labeller import write_images
from locations import DOUBLES, ROOT

pytestmark = pytest.mark.ray

# Prints where the processes of a Ray that was started here listen.
SHOW_PORTS = """
import os, pathlib, ray
from ovsam_pipeline.engines.cluster.connection import connect
connect(None)
ours = set()
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        if f"RAY_TMPDIR={os.environ['RAY_TMPDIR']}".encode() in (process / "environ").read_bytes():
            ours |= {os.readlink(fd) for fd in (process / "fd").iterdir()}
    except OSError:
        pass
for family in ("tcp", "tcp6"):
    for line in pathlib.Path("/proc/net", family).read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == "0A" and f"socket:[{words[9]}]" in ours:
            print(words[1].partition(":")[0])
ray.shutdown()
"""


def run_here(program: list[str], folder: Path, ray_home, **env: str) -> subprocess.CompletedProcess:
    """Run Python with a home and a Ray of its own."""
    (folder / "r").mkdir(exist_ok=True)
    variables = {"HOME": str(folder), "RAY_TMPDIR": f"{ray_home['RAY_TMPDIR']}/own", **env}
    kept = {n: v for n, v in os.environ.items() if n != "RAY_AUTH_TOKEN_PATH"}
    return subprocess.run(
        [sys.executable, *program],
        check=False,
        cwd=folder,
        env={**kept, **variables},
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_workers_import_nothing_from_the_folder_where_the_command_started(ray_home, tmp_path):
    write_images(tmp_path / "images", 2)
    for name in ("statistics", "numpy", "torch", "ovsam", "ovsam_pipeline", "json"):
        (tmp_path / f"{name}.py").write_text("open('ran.txt', 'a').write(__name__ + ' ')\n")
    program = [str(DOUBLES / "fake_labeller.py"), "label", "images", "-o", "out"]
    paths = os.pathsep.join([str(DOUBLES), str(ROOT)])
    done = run_here([*program, "--num-actors", "2"], tmp_path, ray_home, PYTHONPATH=paths)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran.txt").exists()


def test_own_ray_listens_on_loopback_and_its_token_is_private(ray_home, tmp_path):
    done = run_here(["-c", SHOW_PORTS], tmp_path, ray_home)
    assert done.returncode == 0, done.stderr
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert set(done.stdout.split()) <= loopback
    assert len(done.stdout.split()) >= 4
    token = tmp_path / ".ray" / "auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_token_file_that_others_can_read_is_closed_and_kept(tmp_path, monkeypatch):
    from ovsam_pipeline.engines.cluster import connection

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("0123")
    token.chmod(0o644)
    connection._keep_token_private()
    assert (stat.S_IMODE(token.stat().st_mode), token.read_text()) == (0o600, "0123")
    token.unlink()
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    connection._keep_token_private()
    assert list(token.parent.iterdir()) == []


def test_working_folder_is_no_place_of_imports_unless_it_holds_ovsam(tmp_path, monkeypatch):
    from ovsam_pipeline.engines.cluster.connection import list_import_folders

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), "/lib/python", str(ROOT)])
    assert list_import_folders() == ["/lib/python", str(ROOT)]
    monkeypatch.chdir(ROOT)
    assert str(ROOT) in list_import_folders()


def test_wrong_token_is_one_sentence_soon(cluster, tmp_path, ray_home):
    program = ["-c", "from ovsam_pipeline.cli import main; main()", "label", "images", "-o", "out"]
    write_images(tmp_path / "images", 1)
    flags = ["--address", cluster.address]
    done = run_here([*program, *flags], tmp_path, ray_home, RAY_AUTH_TOKEN="0" * 64)
    assert done.returncode == 2
    sentence = f"ovsam: the Ray cluster at {cluster.address} refuses the token of this machine; set"
    found, said = done.stderr.splitlines()
    assert (found, said[: len(sentence)]) == ("1 image found", sentence)
    host, port = cluster.address.split(":")
    socket.create_connection((host, int(port))).close()  # the cluster did not notice
