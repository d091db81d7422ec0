"""A file of lines that only grows: whole lines or none, whoever is killed and whoever else adds.

Here writers wait for each other, and the new file replaces the old one at once. On a store it is
replaced on the condition that nobody else did meanwhile.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from ovsam.checked_json import refuse_pipe
from ovsam.errors import explain
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.output.lock import take_lock
from ovsam_pipeline.storage.atomic import write_atomically
from ovsam_pipeline.storage.conditional import ConditionalObject, UnsupportedError
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath

logger = logging.getLogger(__name__)

_LOCK_FILE = ".reviews-lock"
# Somebody else's writing, or a run that clears away what it takes for leftovers, may come between.
_TRIES = 5


def read_lines(path: AnyPath) -> list[bytes]:
    """Return the lines of a file without their ends; none where there is no file."""
    return _split(_read(path))


@cache
def warn_of_line(path: AnyPath, number: int, reason: str) -> None:
    """Warn of a line that is passed over: once, however often a command reads the file."""
    logger.warning("line %d of %s is left out: %s", number, path, reason)


def add_lines(output: AnyPath, name: str, choose: Callable[[list[bytes]], Iterable[bytes]]) -> None:
    """Add lines to a file of an output folder, all or none.

    `choose` is given the lines that are there and returns those to add; it may be called again
    where somebody else added lines meanwhile.
    """

    def extend(content: bytes) -> bytes:
        new = b"".join(line + b"\n" for line in choose(_split(content)))
        # An editor of texts may have left out the end of the last line.
        end = b"\n" if new and content and not content.endswith(b"\n") else b""
        return content + end + new

    if isinstance(output, RemotePath):
        _extend_object(output, output / name, extend)
    else:
        with _wait_for_others(output):
            _extend(output / name, extend)


def _split(content: bytes) -> list[bytes]:
    return [line for line in content.split(b"\n") if line.strip()]


def _read(path: AnyPath) -> bytes:
    with explain("cannot read", path, OutputError):
        if not path.exists():
            return b""
        refuse_pipe(path)
        return path.read_bytes()


@contextmanager
def _wait_for_others(output: Path) -> Iterator[None]:
    """Wait until nobody else adds lines; a run that labels is not waited for."""
    path = output / _LOCK_FILE
    with explain("cannot lock", path, OutputError), path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _extend(path: AnyPath, extend: Callable[[bytes], bytes]) -> None:
    old = _read(path)
    new = extend(old)
    if new == old:
        return
    for is_last in [False] * (_TRIES - 1) + [True]:
        try:
            write_atomically(path, new)
        except OutputError as error:
            # A run that started meanwhile cleared the temporary file away.
            if is_last or not isinstance(error.__cause__, FileNotFoundError):
                raise
        else:
            return


def _extend_object(output: RemotePath, path: RemotePath, extend: Callable[[bytes], bytes]) -> None:
    """Do so on a condition where the store knows them, else under the lease of a run."""
    try:
        stored = ConditionalObject(path)
        for _ in range(_TRIES):
            found = stored.read()
            old = b"" if found is None else found.content
            new = extend(old)
            if new == old:
                return
            written = stored.create(new) if found is None else stored.replace(new, found.etag)
            if written is not None:
                return
    except (UnsupportedError, OSError) as error:
        logger.debug("no condition can be put on %s: %s", path, error)
    else:
        raise OutputError(f"cannot write {path}: others write it all the time; try again")
    lock = take_lock(output)
    try:
        _extend(path, extend)
    finally:
        lock.close()
