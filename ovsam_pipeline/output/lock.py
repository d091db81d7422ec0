"""One run at a time into an output: a lock that is freed when its owner dies.

A folder is locked with flock, which the kernel frees with the process. An object store has no
locks, so a run holds a lease there: an object that it renews, and that expires. Two runs
never hold leases at once: each writes its own lease first and looks for others afterwards, so of
two that start together at least the later one sees the other and gives way. Ages are compared by
the store's clock alone.
"""

from __future__ import annotations

import fcntl
import os
import random
import secrets
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from ovsam_pipeline.errors import OutputError, OutputLockedError
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath

LEASE_S = 120.0
_LOCK_FILE = ".lock"
_LEASE_PREFIX = ".lock-"
_TRIES = 4
# Stores report times in whole seconds: no lease is taken over before its owner has given it up.
_MARGIN_S = 2.0
# Pauses between tries of flock: `is_held` takes the lock for a moment as well.
_FLOCK_PAUSES_S = (0.0, 0.02, 0.1)


class OutputLock(Protocol):
    """The right to write an output."""

    def check(self) -> None:
        """Raise an OutputError where the right was lost."""

    def close(self) -> None:
        """Let the next run in."""


def take_lock(output: AnyPath, *, lease_s: float = LEASE_S) -> OutputLock:
    """Take the right to write an output; an OutputLockedError where another run holds it.

    A folder must exist. `lease_s` is the age at which a lease on a store expires.
    """
    return _Lease(output, lease_s) if isinstance(output, RemotePath) else _Flock(output)


def has_lock(output: AnyPath) -> bool:
    """Whether a run has ever locked a folder, or a lease is on the store, expired or not."""
    if isinstance(output, RemotePath):
        return any(True for _ in output.glob(f"{_LEASE_PREFIX}*"))
    return (output / _LOCK_FILE).exists()


def is_held(folder: Path) -> bool:
    """Whether a run holds a folder now; exact on the machine of the run, see docs/storage.md."""
    try:
        with (folder / _LOCK_FILE).open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # also BlockingIOError
        return True
    return False


class _Flock:
    """A lock on OUT/.lock that lives as long as its open file."""

    def __init__(self, output: Path) -> None:
        self._stream = (output / _LOCK_FILE).open("a+", encoding="utf-8")
        if not self._try_lock():
            self._stream.seek(0)
            owner = self._stream.read(200).strip()
            self._stream.close()
            raise _explain(output, owner)
        self._stream.truncate(0)
        self._stream.write(_describe_owner())
        self._stream.flush()

    def _try_lock(self) -> bool:
        for pause_s in _FLOCK_PAUSES_S:
            time.sleep(pause_s)
            with suppress(BlockingIOError):
                fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
        return False

    def check(self) -> None:
        """Do nothing: the kernel keeps the lock."""

    def close(self) -> None:
        self._stream.close()


class _Lease:
    """An object OUT/.lock-<token> that a thread renews."""

    def __init__(self, output: RemotePath, lease_s: float) -> None:
        self._output, self._lease_s = output, lease_s
        self._object = output / f"{_LEASE_PREFIX}{secrets.token_hex(8)}"
        self._content = _describe_owner().encode()
        self._renewed_s = 0.0
        self._is_lost = False
        try:
            self._take()
        except BaseException:
            with suppress(OSError):
                self._object.unlink(missing_ok=True)
            raise
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="ovsam-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        # By its age too: the renewing thread may wait for a store that does not answer.
        if self._is_lost or self._is_old():
            raise OutputError(
                f"the lease on {self._output} expired after {self._lease_s:.0f} s without contact "
                "to the store, and another run may write there; run the same command again"
            )

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()
        with suppress(OSError):  # it expires by itself
            self._object.unlink(missing_ok=True)

    def _take(self) -> None:
        for attempt in range(_TRIES):
            self._write()
            other = self._find_other()
            if other is None:
                return
            self._object.unlink(missing_ok=True)
            # Two runs that start together may both give way: the one that waits less comes first.
            if attempt + 1 < _TRIES:
                time.sleep(random.uniform(0.2, 1.5))
        raise _explain(self._output, other or "", self._lease_s)

    def _is_old(self) -> bool:
        return time.time() - self._renewed_s >= self._lease_s

    def _write(self) -> None:
        start_s = time.time()
        self._object.write_bytes(self._content)
        self._renewed_s = start_s

    def _find_other(self) -> str | None:
        """Return the owner of another lease that has not expired; remove those that have."""
        now_ns = self._object.stat().st_mtime_ns
        living = None
        for lease in self._output.glob(f"{_LEASE_PREFIX}*"):
            if lease == self._object:
                continue
            with suppress(FileNotFoundError):  # it gave way meanwhile
                if now_ns - lease.stat().st_mtime_ns < (self._lease_s + _MARGIN_S) * 1e9:
                    living = lease.read_text().strip() or "another run"
                else:
                    lease.unlink(missing_ok=True)
        return living

    def _renew(self) -> None:
        while not self._is_over.wait(self._lease_s / 6):
            with suppress(OSError):  # the next try may succeed before the lease expires
                before_s = self._renewed_s
                # By the wall clock, which continues while a machine sleeps.
                if self._is_old() or not self._object.exists():
                    self._is_lost = True
                    return
                self._write()
                # Renewed too late: another run may have seen the old lease, and holds its own.
                if time.time() - before_s >= self._lease_s:
                    self._is_lost = True
                    self._object.unlink(missing_ok=True)
                    return


def _describe_owner() -> str:
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"process {os.getpid()} on {socket.gethostname()} since {since}"


def _explain(output: AnyPath, owner: str, lease_s: float | None = None) -> OutputLockedError:
    died = "" if lease_s is None else f", or in {lease_s:.0f} s if it died"
    return OutputLockedError(
        f"{output} is being written by {owner or 'another run'}; try again when it has ended{died}"
    )
