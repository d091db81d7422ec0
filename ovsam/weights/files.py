"""Where ovsam keeps what it computed or downloaded, and how a file gets there whole.

`OVSAM_CACHE`, else `OVSAM_HOME`, else `XDG_CACHE_HOME/ovsam`, else `~/.cache/ovsam`. Files of the
Hugging Face hub are not here: they stay in that library's own cache (`HF_HOME`).
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def find_cache_folder() -> Path:
    """Return the cache folder (it may not exist yet)."""
    for variable in ("OVSAM_CACHE", "OVSAM_HOME"):
        if value := os.environ.get(variable):
            return Path(value).expanduser()
    if value := os.environ.get("XDG_CACHE_HOME"):
        return Path(value).expanduser() / "ovsam"
    return Path.home() / ".cache" / "ovsam"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is whole or absent, whenever the process or the machine stops.

    Raises:
        OSError: The folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
