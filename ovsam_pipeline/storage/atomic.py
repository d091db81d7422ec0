"""Files that are either whole or absent, on this machine and on object stores.

Here the content is written next to the file and renamed (`ovsam/weights/files.py`). On a store,
where nothing is renamed, it is written to a local temporary file and uploaded in one go: an object
exists when its upload has ended, and not before.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ovsam.errors import describe_error
from ovsam.weights import files
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath


@contextmanager
def replace_file(path: AnyPath) -> Iterator[Path]:
    """Yield a temporary path; what is written there replaces `path` when the block ends well."""
    keep = _keep_for_upload(path) if isinstance(path, RemotePath) else files.replace_file(path)
    with _explain(path), keep as temporary:
        yield temporary


def write_atomically(path: AnyPath, content: bytes) -> None:
    """Replace a file by `content`: readers see the old or the new one, also after a crash."""
    if isinstance(path, RemotePath):
        with _explain(path):
            path.write_bytes(content)
    else:
        with replace_file(path) as temporary:
            temporary.write_bytes(content)


def sweep_temporary_files(folder: AnyPath) -> int:
    """Remove what killed runs left half-written in a folder; return how many files.

    A store keeps nothing of an upload that did not end.
    """
    return 0 if isinstance(folder, RemotePath) else files.sweep_temporary_files(folder)


def sync_folder(folder: AnyPath) -> None:
    """Make a rename or removal in `folder` survive a power cut."""
    if not isinstance(folder, RemotePath):
        files.sync_folder(folder)


@contextmanager
def _keep_for_upload(path: RemotePath) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ovsam-") as folder:
        temporary = Path(folder, path.name)
        yield temporary
        path.upload(temporary)


@contextmanager
def _explain(path: AnyPath) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = describe_error(error)
        # Full is not the store but the local folder that the file is made in.
        if isinstance(path, RemotePath) and error.errno == errno.ENOSPC:
            reason = (
                f"no space left in {tempfile.gettempdir()}, where the file is made; name a folder "
                "with more as TMPDIR"
            )
        raise OutputError(f"cannot write {path}: {reason}") from error
