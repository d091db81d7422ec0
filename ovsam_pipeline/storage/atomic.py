"""Files that are either whole or absent: written beside their name, fsynced, renamed.

On an object store, where nothing is renamed, a file of this machine is written and then uploaded in
one go: an object is there when its upload has ended, and not before.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath

_MARK = ".tmp-"


@contextmanager
def replace_file(path: AnyPath) -> Iterator[Path]:
    """Yield a temporary path; what is written there replaces `path` when the block ends well.

    Raises:
        OutputError: the file system or the store refuses (no space, no permission).
    """
    try:
        if isinstance(path, RemotePath):
            with _keep_for_upload(path) as temporary:
                yield temporary
        else:
            with _keep_beside(path) as temporary:
                yield temporary
    except OSError as error:
        raise OutputError(f"cannot write {path}: {_describe(error, path)}") from error


def write_atomically(path: AnyPath, content: bytes) -> None:
    """Replace a file by `content`: readers see the old or the new one, also after a crash.

    Raises:
        OutputError: the file system or the store refuses.
    """
    if isinstance(path, RemotePath):
        try:
            path.write_bytes(content)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {_describe(error, path)}") from error
        return
    with replace_file(path) as temporary:
        temporary.write_bytes(content)


def sweep_temporary_files(folder: AnyPath) -> int:
    """Remove what killed runs left half-written in a folder; return how many files.

    A store keeps nothing of an upload that did not end.
    """
    if isinstance(folder, RemotePath):
        return 0
    leftovers = [path for path in folder.glob(f".*{_MARK}*") if path.is_file()]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def sync_folder(folder: AnyPath) -> None:
    """Make a rename or removal in `folder` survive a power cut."""
    if isinstance(folder, RemotePath):
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _keep_beside(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}{_MARK}{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def _keep_for_upload(path: RemotePath) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ovsam-") as folder:
        temporary = Path(folder, path.name)
        yield temporary
        path.upload(temporary)


def _describe(error: OSError, path: AnyPath) -> str:
    if isinstance(path, RemotePath):
        if error.errno == errno.ENOSPC:
            return (
                f"no space left in {tempfile.gettempdir()}, where the file is made; name a folder "
                "with more as TMPDIR"
            )
        return error.strerror or str(error)
    return str(error)
