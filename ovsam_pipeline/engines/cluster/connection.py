"""Connect to a Ray cluster, or start a Ray that serves this command alone.

Workers import what the driver imports, from the same places in the same order. Ray would let them
look first in the folder where the command was started, and folders of data may hold any `numpy.py`.
A Ray that is started here listens on the loopback interface only, and its token is this user's.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.exceptions import RayError
from ray.job_config import JobConfig

import ovsam
from ovsam_pipeline.engines.cluster.address import check_address, explain_cluster, reach_address
from ovsam_pipeline.errors import ShardError

_STDERR = 2
_LOOK_EVERY_S = 1.0
# A cluster may start its head again, and a driver that is left without one for a minute is ended by
# Ray's core, without a word.
_LONGEST_GONE_S = 40.0


class Head:
    """The head of the cluster that this process is connected to: without it no worker can start."""

    def __init__(self, *, is_ours: bool) -> None:
        self._address = ray.get_runtime_context().gcs_address
        self._is_ours = is_ours
        self._looked_s = -_LOOK_EVERY_S

    def wait_for(self) -> None:
        """Return once the head answers, mostly at once; a ShardError where it is gone for good."""
        start_s = time.monotonic()
        if start_s - self._looked_s < _LOOK_EVERY_S:
            return
        while not self._answers():
            if self._is_ours or time.monotonic() - start_s >= _LONGEST_GONE_S:
                first = "" if self._is_ours else "start the cluster again, and "
                raise ShardError(
                    f"the head of the Ray cluster at {self._address} is gone, so the run ends; "
                    f"what is done is kept: {first}run the same command again"
                )
            time.sleep(_LOOK_EVERY_S)
        self._looked_s = time.monotonic()

    def _answers(self) -> bool:
        host, _, port = self._address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _LOOK_EVERY_S).close()
        except OSError:
            return False
        return True


def connect(address: str | None) -> Head:
    """Join the cluster at `address` or RAY_ADDRESS, or start Ray here where both are missing."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    # Ray sets its own handler of SIGTERM, which would end the command without a commit.
    handler = signal.getsignal(signal.SIGTERM)
    is_ours = address == "local"
    try:
        if is_ours:
            _start()
        else:
            _join(address)
        return Head(is_ours=is_ours)
    except (ConnectionError, RuntimeError, RayError, OSError, ValueError, SystemExit) as error:
        raise explain_cluster(error, None if is_ours else address) from error
    finally:
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, handler)


def _join(address: str) -> None:
    """Connect to a cluster, whose nodes import what is installed there."""
    check_address(address)
    reach_address(address)
    with _silence_stderr():
        if address != "auto":
            # Ray itself tries a token that is refused for twenty seconds.
            GcsClient(address=address)
        _init(_Job(), address=address)


def _start() -> None:
    """Start a new Ray; without "local" one that an earlier command left would be joined."""
    _keep_token_private()
    # Ray puts each entry before those so far.
    job = _Job(_py_driver_sys_path=list_import_folders()[::-1])
    with _listen_on_loopback():
        _init(job, address="local", include_dashboard=False)


def _init(job: _Job, **options: Any) -> None:
    ray.init(job_config=job, log_to_driver=False, logging_level=logging.ERROR, **options)


class _Job(JobConfig):
    """A job whose workers do not look for modules in the folder where the driver was started.

    Ray leaves that folder out where a job brings a working folder of its own.
    """

    def _runtime_env_has_working_dir(self) -> bool:
        return True


def list_import_folders() -> list[str]:
    """Return where this process looks for modules, without the working folder.

    It stays where it holds the `ovsam` that runs: a clone, in which `python -m ovsam` was typed.
    """
    here = Path.cwd().resolve()
    own = Path(ovsam.__file__).resolve().parents[1]
    # "" is the working folder too: of notebooks, and of `python -c`.
    return [entry for entry in sys.path if own == here or Path(entry).resolve() != here]


@contextmanager
def _listen_on_loopback() -> Iterator[None]:
    """Let a Ray that is started meanwhile listen on 127.0.0.1 only, as it does on macOS."""
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _keep_token_private() -> None:
    """Let no other user read the token file: Ray would write it with the rights of any file."""
    if os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        return
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return
    # Without a home, or one that cannot be written, Ray says so itself.
    with suppress(OSError, RuntimeError):
        path = Path.home() / ".ray" / "auth_token"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _write_token(path)
        elif path.stat().st_mode & 0o077:
            path.chmod(0o600)


def _write_token(path: Path) -> None:
    """Write a new token, unless another process was faster: then that one is used."""
    temporary = path.with_name(f"{path.name}-{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secrets.token_hex(32))
    try:
        with suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()


@contextmanager
def _silence_stderr() -> Iterator[None]:
    """Drop what libraries write to this process's stderr: Ray's core repeats each refusal there."""
    try:
        kept = os.dup(_STDERR)
    except OSError:  # it is closed
        yield
        return
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), _STDERR)
    try:
        yield
    finally:
        os.dup2(kept, _STDERR)
        os.close(kept)
