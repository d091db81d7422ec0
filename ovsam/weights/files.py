"""Where ovsam keeps what it computed or downloaded, and the one way files are written whole.

`OVSAM_CACHE`, else `OVSAM_HOME`, else `XDG_CACHE_HOME/ovsam`, else `~/.cache/ovsam`; for a user
without a home (a number in a container), a folder of its own below the temporary ones. Files of the
Hugging Face hub are not here: they stay in that library's own cache (`HF_HOME`).
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ovsam.errors import ConfigError, explain

_MARK = ".tmp-"


def find_cache_folder() -> Path:
    """Return the cache folder (it may not exist yet)."""
    for variable in ("OVSAM_CACHE", "OVSAM_HOME"):
        if value := os.environ.get(variable):
            return Path(value).expanduser()
    if value := os.environ.get("XDG_CACHE_HOME"):
        return Path(value).expanduser() / "ovsam"
    try:
        return Path.home() / ".cache" / "ovsam"
    except RuntimeError:
        return _make_own_folder(Path(tempfile.gettempdir()) / f"ovsam-{os.getuid()}")


def _make_own_folder(folder: Path) -> Path:
    """Make a folder that others can neither write nor have made; a ConfigError where they have."""
    with explain("cannot make the cache folder", folder, ConfigError):
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
    if state.st_uid != os.getuid() or not stat.S_ISDIR(state.st_mode) or state.st_mode & 0o022:
        raise ConfigError(
            f"expected {folder} as a folder that only this user may write; set OVSAM_CACHE to one"
        )
    return folder


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; its content replaces `path` when the block ends.

    Readers see the old file or the new one, also after a crash or a power cut. If the block or the
    disk fails, the old file stays. The folder must exist.
    """
    # The random part keeps threads, and hosts with equal process ids on a shared disk, apart.
    temporary = path.with_name(f".{path.name}{_MARK}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        # safetensors creates files that only their owner may read; every file written here gets
        # the mode of an ordinary new one.
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)
        # Renaming before the content is on disk could leave an empty file after a power cut.
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file by `content` as `replace_file` does; a missing folder is created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as temporary:
        temporary.write_bytes(content)


def sync_folder(folder: Path) -> None:
    """Make a rename or removal in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_temporary_files(folder: Path, name: str = "*") -> int:
    """Remove what killed writers of files called `name` (a glob) left; return how many files."""
    leftovers = [path for path in folder.glob(f".{name}{_MARK}*") if path.is_file()]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)
