"""Leases on a store (in memory here), and flock on folders."""

import fcntl
import random
import subprocess
import sys
import threading
import time
import uuid

import pytest

from ovsam_pipeline.errors import OutputError, OutputLockedError
from ovsam_pipeline.output import lock as output_lock
from ovsam_pipeline.output.lock import has_lock, take_lock
from ovsam_pipeline.storage.remote_path import ObjectState, RemotePath


@pytest.fixture
def out() -> RemotePath:
    return RemotePath(f"memory://locks/{uuid.uuid4().hex}")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No margin, short pauses between two tries, and times, which fsspec's memory has not."""
    times, write = {}, RemotePath.write_bytes

    def note_and_write(path: RemotePath, content: bytes) -> None:
        times[str(path)] = time.time_ns()  # first: what others can see has its time
        write(path, content)

    def find(path: RemotePath) -> ObjectState:
        if not path.exists():
            raise FileNotFoundError(str(path))
        return ObjectState(1, times[str(path)])

    monkeypatch.setattr(RemotePath, "write_bytes", note_and_write)
    monkeypatch.setattr(RemotePath, "stat", find)
    monkeypatch.setattr(output_lock, "_MARGIN_S", 0.0)
    monkeypatch.setattr(output_lock, "_OTHERS_LEAVE_S", 0.2)
    monkeypatch.setattr(output_lock.random, "uniform", lambda low, high: 0.001)


def leases(out: RemotePath) -> list[str]:
    return [lease.name for lease in out.glob(".lock-*")]


def test_store_is_held_by_one_run_and_free_after_it(out):
    assert not has_lock(out)
    lock = take_lock(out)
    assert has_lock(out)
    with pytest.raises(OutputLockedError, match=r"is being written by process \d+ on .* since"):
        take_lock(out)
    assert len(leases(out)) == 1, "who gave way leaves nothing"
    lock.check()
    lock.close()
    assert leases(out) == []
    take_lock(out).close()


def test_lease_of_a_dead_owner_is_taken_over(out):
    (out / ".lock-dead").write_bytes(b"process 1 on elsewhere")
    with pytest.raises(OutputLockedError, match="process 1 on elsewhere"):
        take_lock(out, lease_s=0.4)
    time.sleep(0.5)
    lock = take_lock(out, lease_s=0.4)
    assert ".lock-dead" not in leases(out)
    lock.close()


def test_living_owner_renews_its_lease(out):
    lock = take_lock(out, lease_s=0.6)
    time.sleep(1.0)
    lock.check()
    with pytest.raises(OutputLockedError):
        take_lock(out, lease_s=0.6)
    lock.close()


def test_owner_whose_store_is_silent_loses_its_lease_before_another_may_have_it(out, monkeypatch):
    lock = take_lock(out, lease_s=0.4)
    is_silent = threading.Event()
    monkeypatch.setattr(RemotePath, "exists", lambda path: is_silent.wait(5.0))
    time.sleep(0.5)
    with pytest.raises(
        OutputError, match=r"the lease on memory://.* is lost: the store could not be"
    ):
        lock.check()
    is_silent.set()
    time.sleep(0.1)
    monkeypatch.setattr(RemotePath, "exists", lambda path: path.name in leases(out))
    other = take_lock(out, lease_s=60.0)
    with pytest.raises(OutputError, match="run the same command again"):
        lock.check()
    other.close()
    lock.close()


def test_lease_that_someone_removed_is_lost(out):
    lock = take_lock(out, lease_s=0.3)
    (lease,) = out.glob(".lock-*")
    lease.unlink()
    time.sleep(0.15)
    with pytest.raises(OutputError, match="another run may write there"):
        lock.check()
    lock.close()
    assert leases(out) == []


def test_lease_that_goes_while_it_is_looked_at_is_nobody_s(out, monkeypatch):
    listing = RemotePath.glob
    monkeypatch.setattr(
        RemotePath, "glob", lambda path, like: [*listing(path, like), path / ".lock-gone"]
    )
    take_lock(out).close()


def test_clock_that_was_set_is_named_for_what_it_is(out, monkeypatch):
    lock = take_lock(out)
    now_s = time.time
    monkeypatch.setattr(output_lock.time, "time", lambda: now_s() + 3600)
    with pytest.raises(OutputError, match="this machine slept or its clock was set, by 3600 s"):
        lock.check()
    monkeypatch.undo()
    lock.close()


@pytest.mark.parametrize("seed", range(8))
def test_runs_that_start_together_never_hold_a_store_together(out, monkeypatch, seed):
    """Writes and listings of several runs in random order: at most one of them gets through."""
    dice = random.Random(seed)
    write, listing = RemotePath.write_bytes, RemotePath.iterdir
    pauses = [dice.random() * 0.01 for _ in range(1000)]

    def pause() -> None:
        time.sleep(pauses.pop())

    monkeypatch.setattr(RemotePath, "write_bytes", lambda p, c: (pause(), write(p, c), pause())[1])
    monkeypatch.setattr(RemotePath, "iterdir", lambda p: (pause(), listing(p))[1])
    monkeypatch.setattr(output_lock.random, "uniform", lambda low, high: dice.random() * 0.05)
    held, refused = [], []

    def start() -> None:
        try:
            held.append(take_lock(out))
        except OutputLockedError:
            refused.append(1)

    threads = [threading.Thread(target=start) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) <= 1
    assert len(held) + len(refused) == 5
    for lock in held:
        lock.close()


def test_folder_is_free_when_its_owner_was_killed(tmp_path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from ovsam_pipeline.output.lock import take_lock\n"
        "lock = take_lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout.readline() == "held\n"
    with pytest.raises(OutputLockedError, match=f"process {owner.pid} on"):
        take_lock(tmp_path)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    take_lock(tmp_path).close()
    assert has_lock(tmp_path)


def test_run_that_starts_while_someone_asks_for_its_lock_is_not_refused(tmp_path):
    with (tmp_path / ".lock").open("wb") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)  # as `is_held`, but for long
        timer = threading.Timer(0.05, asking.close)
        timer.start()
        take_lock(tmp_path).close()
        timer.join()
