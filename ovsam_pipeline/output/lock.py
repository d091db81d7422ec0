"""One run at a time into an output: a lock that is freed when its owner dies.

A folder is locked with flock, which the kernel frees with the process. An object store has no
locks, so a run holds a lease there: an object that it renews, and that expires by the store's clock
alone. S3 writes it on a condition ("only where there is none", "only where it is still mine"), so
that exactly one run gets it. Elsewhere a run writes a lease of its own name first and looks for
others afterwards: of two that start together at least the later one sees the other.
"""

from __future__ import annotations

import fcntl
import logging
import os
import random
import secrets
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from ovsam.errors import ConfigError, describe_error
from ovsam_pipeline.errors import OutputError, OutputLockedError
from ovsam_pipeline.storage.conditional import ConditionalObject, UnsupportedError
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath

logger = logging.getLogger(__name__)

LEASE_S = 120.0
_LOCK_FILE = ".lock"
_TRAINING_LOCK_FILE = ".training-lock"
_LEASE_PREFIX = ".lock-"
# How long a run that comes first waits for others that start together with it to give way.
_OTHERS_LEAVE_S = 5.0
_REMOVED = "it was removed from the store"
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


def take_lock(
    output: AnyPath, *, lease_s: float = LEASE_S, process: int | None = None
) -> OutputLock:
    """Take the right to write an output; an OutputLockedError where another run holds it.

    A folder must exist. `lease_s` is the age at which a lease on a store expires, `process` the one
    that others are told of, this one by default.
    """
    owner = _describe_owner(process or os.getpid())
    if isinstance(output, RemotePath):
        return _Lease(output, lease_s, owner)
    return _Flock(output, _LOCK_FILE, owner)


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


def take_training_lock(out: Path) -> OutputLock:
    """Take the right to train in a folder, which must exist; errors as in `take_lock`.

    The name differs: a folder with the other one is an output of labels.
    """
    return _Flock(out, _TRAINING_LOCK_FILE, _describe_owner(os.getpid()))


class _Flock:
    """A lock on OUT/.lock that lives as long as its open file."""

    def __init__(self, output: Path, name: str, owner: str) -> None:
        self._stream = (output / name).open("a+", encoding="utf-8")
        if not self._try_lock():
            self._stream.seek(0)
            other = self._stream.read(200).strip()
            self._stream.close()
            raise _explain(output, other)
        self._stream.truncate(0)
        self._stream.write(owner)
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
    """A lease OUT/.lock-…, which a thread renews."""

    def __init__(self, output: RemotePath, lease_s: float, owner: str) -> None:
        self._output, self._lease_s = output, lease_s
        self._owner = _Owner(owner, secrets.token_hex(8))
        self._renewed = _Moment(0.0, 0.0)
        self._lost_by = ""
        try:
            self._lease = self._take()
        except PermissionError as error:
            raise ConfigError(
                f"cannot use {output}: {describe_error(error)}; the login must be allowed to list, "
                "read, write and delete there"
            ) from error
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="ovsam-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        # By its age too: the renewing thread may wait for a store that does not answer.
        lost_by = self._lost_by or self._describe_age()
        if lost_by:
            raise OutputError(
                f"the lease on {self._output} is lost: {lost_by}, and another run may write there; "
                "run the same command again"
            )

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()
        if not self._lost_by and not self._describe_age():
            with suppress(OSError):  # it expires by itself
                self._lease.remove()

    def _take(self) -> _NamedLease | _ListedLease:
        self._renewed = _Moment.now()
        lease: _NamedLease | _ListedLease
        try:
            lease = _NamedLease(self._output, self._owner, self._lease_s)
        except (UnsupportedError, OSError) as error:
            # Also for what is wrong with the login or the network: pyarrow's errors are explained.
            logger.debug("no condition can be put on %s: %s", self._output, error)
            self._renewed = _Moment.now()
            lease = _ListedLease(self._output, self._owner)
        try:
            lease.give_way(self._lease_s)
        except BaseException:
            with suppress(OSError):
                lease.remove()
            raise
        return lease

    def _describe_age(self) -> str:
        """Return why the lease may have expired, or nothing while it is young.

        By the wall clock, which continues while a machine sleeps.
        """
        age = _Moment.now() - self._renewed
        if age.wall_s < self._lease_s:
            return ""
        if age.wall_s - age.steady_s > self._lease_s / 2:
            return (
                f"this machine slept or its clock was set, by {age.wall_s - age.steady_s:.0f} s, "
                f"more than the {self._lease_s:.0f} s that a lease lasts may allow"
            )
        return f"the store could not be reached for {self._lease_s:.0f} s"

    def _renew(self) -> None:
        while not self._is_over.wait(self._lease_s / 6):
            # The next try may succeed before the lease expires.
            with suppress(OSError, UnsupportedError):
                start = _Moment.now()
                # Renewed too late: another run may have seen the old lease, and holds its own.
                self._lost_by = self._describe_age() or self._lease.renew() or self._describe_age()
                if self._lost_by:
                    self._lease.give_up()
                    return
                self._renewed = start


class _Moment(NamedTuple):
    """A time by the wall clock, and by one that nobody sets and that stops in a machine's sleep."""

    wall_s: float
    steady_s: float

    @classmethod
    def now(cls) -> _Moment:
        return cls(time.time(), time.monotonic())

    def __sub__(self, other: _Moment) -> _Moment:
        return _Moment(self.wall_s - other.wall_s, self.steady_s - other.steady_s)


class _Owner(NamedTuple):
    """Who holds a lease: a text for people, and a token that no one else has."""

    text: str
    token: str

    def write(self) -> bytes:
        """Return what a lease holds: other bytes, and so another ETag, each time."""
        return f"{self.text}\n{self.token} {secrets.token_hex(4)}\n".encode()

    @classmethod
    def read(cls, content: bytes) -> _Owner:
        text, _, rest = content.decode("utf-8", "replace").partition("\n")
        return cls(text.strip() or "another run", rest.partition(" ")[0])


class _NamedLease:
    """The object OUT/.lock-run, written on conditions: no two runs ever hold it."""

    def __init__(self, output: RemotePath, owner: _Owner, lease_s: float) -> None:
        """Create it, or replace one that expired; an OutputLockedError where it is held."""
        self._output, self._owner = output, owner
        self._path = output / f"{_LEASE_PREFIX}run"
        self._object = ConditionalObject(self._path)
        self._etag = self._object.create(owner.write())
        if self._etag is not None:
            self._check_conditions(lease_s)
        else:
            self._etag = self._take_over(lease_s)

    def _check_conditions(self, lease_s: float) -> None:
        """Raise where the store writes whatever the condition, or let two runs through at once."""
        if self._object.create(self._owner.write()) is not None:
            self.remove()
            raise UnsupportedError("the store ignores If-None-Match")
        found = self._object.read()
        other = _Owner("", "") if found is None else _Owner.read(found.content)
        if other.token != self._owner.token:
            raise _explain(self._output, other.text, lease_s)

    def _take_over(self, lease_s: float) -> str:
        found = self._object.read()
        etag = None
        if found is None:  # its owner ended meanwhile
            etag = self._object.create(self._owner.write())
        elif _Owner.read(found.content).token == self._owner.token:
            etag = found.etag  # the answer to the first write got lost
        elif found.age_s >= lease_s + _MARGIN_S:
            etag = self._object.replace(self._owner.write(), found.etag)
        if etag is None:
            text = "" if found is None else _Owner.read(found.content).text
            raise _explain(self._output, text, lease_s)
        return etag

    def give_way(self, lease_s: float) -> None:
        """Raise where a run that cannot put conditions (another login) holds a lease."""
        if others := _find_others(self._output, self._path, self._owner, lease_s):
            raise _explain(self._output, next(iter(others.values())), lease_s)

    def renew(self) -> str:
        """Write it again; return why it is lost, if it is."""
        etag = self._object.replace(self._owner.write(), self._etag or "")
        if etag is None:
            found = self._object.read()
            if found is None:
                return _REMOVED
            other = _Owner.read(found.content)
            if other.token != self._owner.token:
                return f"{other.text} has taken it over"
            etag = found.etag  # the answer to an earlier write got lost
        self._etag = etag
        return ""

    def give_up(self) -> None:
        """Leave what may be another run's by now."""

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


class _ListedLease:
    """An object OUT/.lock-TOKEN of the run's own, for stores and logins without conditions."""

    def __init__(self, output: RemotePath, owner: _Owner) -> None:
        self._output, self._owner = output, owner
        self._path = output / f"{_LEASE_PREFIX}{owner.token}"

    def give_way(self, lease_s: float) -> None:
        """Write it and look for others; an OutputLockedError where another run comes first.

        Of runs that start together the one of the lowest name comes first, and waits for the others
        to see it. One that does not go was there before.
        """
        deadline_s = time.monotonic() + _OTHERS_LEAVE_S
        while True:
            self._path.write_bytes(self._owner.write())
            others = _find_others(self._output, self._path, self._owner, lease_s)
            if not others:
                return
            if min(others) < self._path.name or time.monotonic() > deadline_s:
                raise _explain(self._output, next(iter(others.values())), lease_s)
            time.sleep(random.uniform(0.2, 0.5))

    def renew(self) -> str:
        """Write it again; return why it is lost, if it is."""
        if not self._path.exists():
            return _REMOVED
        self._path.write_bytes(self._owner.write())
        return ""

    def give_up(self) -> None:
        self.remove()

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def _find_others(
    output: RemotePath, own: RemotePath, owner: _Owner, lease_s: float
) -> dict[str, str]:
    """Return the owners of other leases that have not expired, by name; remove those that have."""
    now_ns = own.stat().st_mtime_ns
    living = {}
    for listed in output.glob(f"{_LEASE_PREFIX}*"):
        lease = RemotePath(listed.uri)  # asked by name: what a listing knows of it may be old
        if lease == own:
            continue
        with suppress(FileNotFoundError):  # it gave way meanwhile
            other = _Owner.read(lease.read_bytes())
            if other.token == owner.token:
                continue
            if now_ns - lease.stat().st_mtime_ns < (lease_s + _MARGIN_S) * 1e9:
                living[lease.name] = other.text
            else:
                lease.unlink(missing_ok=True)
    return living


def _describe_owner(process: int) -> str:
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"process {process} on {socket.gethostname()} since {since}"


def _explain(output: AnyPath, owner: str, lease_s: float | None = None) -> OutputLockedError:
    died = "" if lease_s is None else f", or in {lease_s:.0f} s if it died"
    return OutputLockedError(
        f"{output} is being written by {owner or 'another run'}; try again when it has ended{died}"
    )
