"""What was found out about large files, kept so that it is not computed again for the same ones.

A file counts as the same while path, size and times are. The record is `seen_files.json` in ovsam's
cache folder; where that cannot be written, everything is computed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ovsam.checked_json import parse_json
from ovsam.weights.files import find_cache_folder, write_atomically

logger = logging.getLogger(__name__)

_FILE = "seen_files.json"
_MOST_ENTRIES = 1000


def recall(what: str, paths: Iterable[Path]) -> Any:
    """Return what `remember` was given about these files; None where they changed since."""
    return _read().get(_make_key(what, paths))


def remember(what: str, paths: Iterable[Path], value: Any) -> None:
    """Keep a value that JSON can hold about files as they are now; `what` names its kind."""
    entries = _read()
    entries[_make_key(what, paths)] = value
    newest = dict(list(entries.items())[-_MOST_ENTRIES:])
    try:
        write_atomically(find_cache_folder() / _FILE, (json.dumps(newest) + "\n").encode())
    except OSError as error:
        logger.debug("what was found out about %s is not kept: %s", what, error)


def _make_key(what: str, paths: Iterable[Path]) -> str:
    files = []
    for path in paths:
        # The time of the last change of the inode, too: a copy may keep the other time.
        state = path.stat()
        place = str(path.resolve())
        files.append([place, state.st_size, state.st_mtime_ns, state.st_ctime_ns])
    return hashlib.sha256(json.dumps([what, files]).encode()).hexdigest()


def _read() -> dict[str, Any]:
    try:
        entries = parse_json((find_cache_folder() / _FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}
