"""One https file → a whole, checked file on disk; an interrupted download is continued.

Bytes go to `NAME.part` next to the target; only a complete file with the right sha256 gets the
final name. Files of the Hugging Face hub are fetched by its library (hub.py) and checked here.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import logging
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import IO

from ovsam.errors import DownloadError, describe_error

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with (bytes on disk, bytes in all or 0 where unknown)."""

_CHUNK_BYTES = 1 << 20
_MAX_TRIES_WITHOUT_PROGRESS = 4
_TIMEOUT_S = 30.0  # of connecting and of each read, not of the whole file


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    progress: Progress | None = None,
    wait_s: float = 1.0,
) -> Path:
    """Download a file, unless the target exists; return the target.

    A cut connection is resumed where it stopped, by this call (it gives up after four tries without
    a new byte) or by the next one. The pause before a try doubles from `wait_s` on. Without a
    `sha256` the content is not checked; content with another one is removed. A DownloadError shows
    what failed and what to do.
    """
    from filelock import FileLock

    with explain_disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        # Two processes would append to the same part file.
        with FileLock(f"{target}.lock"):
            if not target.exists():
                part = target.with_name(target.name + ".part")
                _fill_part(url, part, progress, wait_s)
                check_sha256(part, sha256, url)
                part.replace(target)
    return target


def check_sha256(path: Path, expected: str | None, source: str) -> str:
    """Return the file's sha256; a file that differs from `expected` is removed and refused."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected is not None and found != expected:
        path.unlink()
        raise DownloadError(
            f"{source} arrived damaged: expected sha256 {expected}, got {found}; the file was "
            "removed, run the same command again"
        )
    return found


def check_md5(path: Path, start: str) -> bool:
    """Return whether the file's md5 begins with these hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest().startswith(start)


@contextlib.contextmanager
def explain_disk_errors(target: Path) -> Iterator[None]:
    """Turn a full or unwritable disk into a DownloadError that names the folder."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(
                f"the disk is full: {target.name} does not fit into {target.parent}; free room or "
                "set OVSAM_CACHE (and HF_HOME) to a larger disk, then run the same command again"
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise DownloadError(
                f"cannot write {target.parent}: {describe_error(error)}; set OVSAM_CACHE (and "
                "HF_HOME) to a folder that you may write"
            ) from error
        raise


def _fill_part(url: str, part: Path, progress: Progress | None, wait_s: float) -> None:
    """Repeat requests until the part file is complete, as long as each brings new bytes."""
    tries = 0
    while True:
        before = _size(part)
        try:
            if _request_rest(url, part, progress):
                return
            reason = "the connection closed early"
        except urllib.error.HTTPError as error:
            _raise_http_error(url, error)
        except (
            http.client.HTTPException,
            urllib.error.URLError,
            TimeoutError,
            ConnectionError,
        ) as e:
            reason = str(getattr(e, "reason", e)) or type(e).__name__
        tries = 0 if _size(part) > before else tries + 1
        if tries >= _MAX_TRIES_WITHOUT_PROGRESS:
            raise DownloadError(
                f"cannot download {url}: {reason}, with {_size(part)} bytes on disk; check the "
                "connection (or proxy) and run the same command again, it continues from there"
            )
        logger.info("download of %s stopped (%s), trying again", url, reason)
        time.sleep(wait_s * 2**tries)


def _request_rest(url: str, part: Path, progress: Progress | None) -> bool:
    """Ask for the bytes after those on disk; True when the file is complete."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"User-Agent": "ovsam"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        # Nothing comes after these bytes: they are complete, or more than the file has.
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return True
        part.unlink()
        return False
    with response, part.open("ab") as file:
        if have and response.status != HTTPStatus.PARTIAL_CONTENT:
            file.truncate(0)  # the server sends the whole file again
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else 0
        _check_room(part, total - have)
        _copy(response, file, have, total, progress)
    return not total or _size(part) == total


def _copy(
    response: http.client.HTTPResponse,
    file: IO[bytes],
    have: int,
    total: int,
    progress: Progress | None,
) -> None:
    try:
        while chunk := response.read(_CHUNK_BYTES):
            file.write(chunk)
            have += len(chunk)
            if progress is not None:
                progress(have, total)
    except http.client.IncompleteRead as error:
        file.write(error.partial)
        raise
    finally:
        file.flush()
        os.fsync(file.fileno())


def _check_room(part: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if num_bytes > free:
        raise OSError(errno.ENOSPC, f"{num_bytes} bytes needed, {free} free")


def _raise_http_error(url: str, error: urllib.error.HTTPError) -> None:
    if error.code == HTTPStatus.NOT_FOUND:
        advice = "the file has moved; look for a newer ovsam, or load a file that you have by path"
    elif error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        advice = "the server refuses it; a proxy or a firewall may stand in between"
    else:
        advice = "try again later"
    raise DownloadError(f"cannot download {url}: HTTP {error.code} {error.reason}; {advice}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
