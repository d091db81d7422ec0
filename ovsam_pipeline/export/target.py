"""The folder that an export writes: whole or absent, and never in place of somebody's files.

It is filled beside its place and renamed. `export.json` in it says what made it and what belongs
to it: only a folder that holds nothing else is ever replaced.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ovsam.checked_json import parse_json
from ovsam.errors import ConfigError, explain
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.storage.atomic import sync_folder

EXPORT_FILE = "export.json"


def check_folder(target: Path, *, overwrite: bool, flag: str = "--to") -> None:
    """Refuse a folder that an export must not make or replace, with a ConfigError.

    `flag` is the one that names it, for the message.
    """
    with explain(f"cannot use {flag}", target, ConfigError):
        if not target.absolute().parent.is_dir():
            raise ConfigError(f"expected {flag} in a folder that exists, got {target}")
        if not os.path.lexists(target):
            return
        if not target.is_dir() or target.is_symlink():
            raise ConfigError(f"expected a new folder as {flag}, got the file or link {target}")
        found = {child.name for child in target.iterdir()}
        own = _read_entries(target)
    if not found:
        return
    if others := sorted(found - own):
        raise ConfigError(
            f"{target} holds {others[0]!r}, which no export wrote there; give another place as "
            f"{flag}, or move it out"
        )
    if not overwrite:
        raise ConfigError(
            f"{target} holds an earlier export; give another place as {flag}, or --overwrite to "
            "replace it"
        )


def name_beside(output: Path, ending: str) -> Path:
    """Return a place beside an output, called as it is and `ending`; relative where it is."""
    if output.name in ("", ".."):
        output = output.resolve()
    return output.with_name(f"{output.name}{ending}")


@contextmanager
def replace_folder(target: Path, about: Mapping[str, Any]) -> Iterator[Path]:
    """Yield an empty folder beside `target`, which takes its place when the block ends well.

    `about` is what export.json tells of the export; it is completed by the caller until the block
    ends. What may be replaced is the matter of `check_folder`.
    """
    parent = target.absolute().parent
    with explain("cannot write", target, OutputError):
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name[:80]}.", dir=parent))
    try:
        yield staging
        with explain("cannot write", target, OutputError):
            _write_record(staging, about)
            staging.chmod(0o777 & ~_read_umask())
            _swap(staging, target)
            sync_folder(parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _swap(staging: Path, target: Path) -> None:
    """Rename a folder into its place, and remove what was there."""
    if not target.exists():
        staging.rename(target)
        return
    # No file system replaces a folder that is not empty in one step.
    old = Path(tempfile.mkdtemp(prefix=f".{target.name[:80]}.old.", dir=staging.parent))
    target.rename(old / target.name)
    try:
        staging.rename(target)
    except OSError:
        (old / target.name).rename(target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _write_record(folder: Path, about: Mapping[str, Any]) -> None:
    entries = sorted({child.name for child in folder.iterdir()} | {EXPORT_FILE})
    text = json.dumps({**about, "entries": entries}, ensure_ascii=False, indent=1)
    (folder / EXPORT_FILE).write_text(text + "\n", encoding="utf-8")


def _read_entries(folder: Path) -> set[str]:
    """Return the names that an export put into a folder; none where none did."""
    try:
        record = parse_json((folder / EXPORT_FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return set()
    entries = record.get("entries", []) if isinstance(record, dict) else []
    return {name for name in entries if isinstance(name, str)}


def _read_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
