"""Files that are either whole or absent: written beside their name, fsynced, renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ovsam_pipeline.errors import OutputError

__all__ = ["replace_file", "sweep_temporary_files", "sync_folder", "write_atomically"]

_MARK = ".tmp-"


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; what is written there replaces `path` when the block ends well.

    Raises:
        OutputError: the file system refuses (no space, no permission).
    """
    temporary = path.with_name(f".{path.name}{_MARK}{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file by `content`: readers see the old or the new one, also after a crash.

    Raises:
        OutputError: the file system refuses.
    """
    with replace_file(path) as temporary:
        temporary.write_bytes(content)


def sweep_temporary_files(folder: Path) -> int:
    """Remove what killed runs left half-written in a folder; return how many files."""
    leftovers = [path for path in folder.glob(f".*{_MARK}*") if path.is_file()]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def sync_folder(folder: Path) -> None:
    """Make a rename or removal in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
