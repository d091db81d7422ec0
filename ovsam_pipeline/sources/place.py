"""Where images lie: text → a path here, on an object store or on the web; their size and time."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from ovsam.errors import describe_error, explain
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath, is_remote, parse_path
from ovsam_pipeline.storage.web_file import HttpFile

# As for other commands: a list that is piped to this one.
STANDARD_INPUT = "-"
Place = Path | RemotePath | HttpFile
# A request is nearly all waiting.
_REQUESTS_AT_ONCE = 32
_CHUNK = 1024


def parse_place(text: str) -> Place:
    """Return what a text names."""
    scheme, _, rest = text.partition("://")
    if not is_remote(text):
        return Path(text).expanduser()
    if scheme.lower() in ("http", "https"):
        try:
            host = urlsplit(text).hostname
        except ValueError as error:  # the text is left out: it may hold a password
            raise SourceError(f"expected a web address, got one with a mistake: {error}") from error
        if not host:
            raise SourceError(f"expected an address with a host, got {text}")
        return HttpFile(text)
    if scheme.lower() == "file":  # "file:///a" and "file://host/a": the host is this machine
        return Path("/" + unquote(rest.partition("/")[2]))
    try:
        return parse_path(text)
    except (ValueError, OSError, ImportError) as error:
        raise SourceError(f"cannot read {text}: {describe_error(error)}") from error


def look_at(place: AnyPath, text: str) -> Literal["folder", "file", "nothing"]:
    """Return what is at a place."""
    try:
        if isinstance(place, RemotePath):
            return "folder" if place.is_dir() else "file" if place.is_file() else "nothing"
        # Pipes and devices count as files: `check_regular` and decoding refuse them.
        return "folder" if stat.S_ISDIR(place.stat().st_mode) else "file"
    except (OSError, ValueError, ImportError) as error:
        is_local = isinstance(place, Path)
        if is_local and isinstance(error, FileNotFoundError | NotADirectoryError):
            return "nothing"
        # ValueError: a NUL in a path. ImportError: the scheme needs a package.
        raise SourceError(f"cannot read {text}: {describe_error(error)}") from error


def check_regular(place: object, text: str) -> None:
    """Refuse what is no file here, such as a pipe: reading it could wait for ever."""
    if not isinstance(place, Path):
        return
    with explain("cannot read", text, SourceError):
        mode = place.stat().st_mode
    if not stat.S_ISREG(mode):
        raise SourceError(f"expected a file, got a pipe, socket, device or folder: {text}")


def get_root(place: Place) -> str:
    """Return the absolute path or the address as names have it: without passwords, signatures."""
    return normalise(place) if isinstance(place, Path) else str(place).rstrip("/")


def normalise(path: str | Path) -> str:
    """Return the absolute path without "..", links kept."""
    text = str(path)
    # Most are normal already, and to see that is twice as fast as `abspath`.
    if text[:1] == "/" and "/." not in text and "//" not in text and text[-1] != "/":
        return text
    return os.path.abspath(text)  # noqa: PTH100  Path.absolute keeps ".."


def get_state(place: Place) -> tuple[int, int]:
    """Return size in bytes and time in nanoseconds of a local file.

    (-1, 0) for a file that cannot be looked at, which becomes a failed row when it is read, and for
    places elsewhere, which `add_states` asks.
    """
    if not isinstance(place, Path):
        return -1, 0
    try:
        status = place.stat()
    except (OSError, ValueError):
        return -1, 0
    return status.st_size, status.st_mtime_ns


def add_states(records: Iterator[ImageRecord]) -> Iterator[ImageRecord]:
    """Yield the records in order, those on object stores with the size and time they have now.

    One request each, 32 at once. An object that does not exist keeps size -1; it becomes a failed
    row. Web servers are not asked: what they report of a file's time is often wrong or missing.
    """
    while chunk := list(islice(records, _CHUNK)):
        if any(isinstance(record.path, RemotePath) for record in chunk):
            with ThreadPoolExecutor(_REQUESTS_AT_ONCE, "ovsam-stat") as pool:
                yield from pool.map(_add_state, chunk)
        else:
            yield from chunk


def _add_state(record: ImageRecord) -> ImageRecord:
    if not isinstance(record.path, RemotePath):
        return record
    with explain("cannot read", record.path, SourceError):
        try:
            status = record.path.stat()
        except FileNotFoundError:
            return record
    return replace(record, size_bytes=status.st_size, mtime_ns=status.st_mtime_ns)
