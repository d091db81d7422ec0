"""Folders, globs and single objects of object stores (s3://, gs://, az://, hf://, …).

A folder is listed by one request a thousand objects, which tell size and time too; what a list or a
COCO file names is asked for one by one, many at once. Listing holds one folder's objects at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from ovsam.decode import IMAGE_SUFFIXES
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.sources.containers import CONTAINER_SUFFIXES, open_containers
from ovsam_pipeline.sources.entry import Entry, get_suffix, take_image
from ovsam_pipeline.sources.patterns import PatternWalk, split_pattern
from ovsam_pipeline.storage.remote_path import RemotePath, parse_path
from ovsam_pipeline.storage.web_file import HttpFile

_AT_ONCE = 32
_CHUNK = 1024


@dataclass(frozen=True)
class RemoteFolder:
    """A prefix of an object store, walked like a folder.

    Archives and Parquet files are read where it holds no image file at all.

    Attributes:
        text: as the user wrote it.
        path: the prefix.
        exclude: prefixes that are not entered.
        column: of the images in Parquet files, where the user named one.
    """

    text: str
    path: RemotePath
    exclude: frozenset[RemotePath] = frozenset()
    column: str | None = None

    where = "below"
    may_repeat = False

    @property
    def root(self) -> str:
        """The prefix as an address."""
        return get_address(self.path)

    def iterate(self, passed: Counter[str]) -> Iterator[Entry]:
        """Yield the image files, or else what the archives hold; see `Source.iterate`."""
        is_empty = True
        for entry in self._walk(self.path, "", IMAGE_SUFFIXES, passed):
            is_empty = False
            yield entry
        if not is_empty:
            return
        for suffix in CONTAINER_SUFFIXES:
            if passed.pop(suffix, 0):
                archives = self._walk(self.path, "", frozenset((suffix,)), Counter())
                yield from open_containers(archives, self.column, passed)
                return

    def _walk(
        self, folder: RemotePath, prefix: str, wanted: frozenset[str], passed: Counter[str]
    ) -> Iterator[Entry]:
        children = _scan(folder)
        # Outputs of earlier runs are passed over: their previews are no photos.
        if {"run.json", "parts"} <= {child.name for child in children} and prefix:
            return
        for child in children:
            if child.is_dir():
                if child not in self.exclude:
                    yield from self._walk(child, f"{prefix}{child.name}/", wanted, passed)
            elif take_image(child.name, wanted, passed):
                yield _make_entry(child, prefix + child.name)


@dataclass(frozen=True)
class RemoteGlob:
    """The objects that a pattern matches; a suffix spelt out in it admits any object.

    Attributes:
        text: as the user wrote it.
        path: the pattern.
        column: of the images in Parquet files, where the user named one.
    """

    text: str
    path: RemotePath
    column: str | None = None

    where = "for the pattern"
    may_repeat = True

    @property
    def root(self) -> str:
        """The prefix in front of the first wildcard, as an address."""
        return split_pattern(get_address(self.path))[0]

    def iterate(self, passed: Counter[str]) -> Iterator[Entry]:
        """Yield the matching objects; see `Source.iterate`."""
        suffix = get_suffix(get_address(self.path))
        is_explicit = bool(suffix) and not any(sign in suffix for sign in "*?[]")
        entries = (
            _make_entry(child, name)
            for name, child in self._find()
            if is_explicit or take_image(name, IMAGE_SUFFIXES, passed)
        )
        yield from open_containers(entries, self.column, passed)

    def is_empty(self) -> bool:
        """Whether no object matches at all."""
        return next(self._find(), None) is None

    def _find(self) -> Iterator[tuple[str, RemotePath]]:
        parts = split_pattern(get_address(self.path))[1]
        folder = self.path
        for _ in parts:
            folder = folder.parent
        walk = PatternWalk(_scan, lambda child: child if child.is_dir() else None)
        return walk.find(folder, parts)


@dataclass(frozen=True)
class RemoteFile:
    """One object or web address: an image whatever its suffix, or an archive of images.

    Attributes:
        text: as the user wrote it.
        file: the object.
        column: of the images in a Parquet file, where the user named one.
    """

    text: str
    file: RemotePath | HttpFile
    column: str | None = None

    where = "in"
    may_repeat = True  # two members of an archive may have one name

    @property
    def root(self) -> str:
        """What the object lies in, as an address."""
        return get_address(self.file).rpartition("/")[0]

    def iterate(self, passed: Counter[str]) -> Iterator[Entry]:
        """Yield the image, or the images of the archive; see `Source.iterate`."""
        name = get_address(self.file).rpartition("/")[2]
        entries = add_states(iter((Entry(self.file, name),)))
        yield from open_containers(entries, self.column, passed)


def parse_place(text: str) -> Path | RemotePath | HttpFile:
    """Return what an address names.

    Raises:
        SourceError: a scheme that nothing here reads.
    """
    scheme, _, rest = text.partition("://")
    if scheme.lower() in ("http", "https"):
        try:
            host = urlsplit(text).hostname
        except ValueError as error:  # the text is left out: it may hold a password
            raise SourceError(f"expected a web address, got one with a mistake: {error}") from error
        if not host:
            raise SourceError(f"expected an address with a host, got {text}")
        return HttpFile(text)
    if scheme.lower() == "file":
        return Path("/" + unquote(rest.partition("/")[2]))
    try:
        return parse_path(text)
    except (ValueError, OSError, ImportError) as error:
        raise SourceError(f"cannot read {text}: {error}") from error


def get_address(place: RemotePath | HttpFile) -> str:
    """Return the address as it stands in names: without options, passwords and signatures."""
    text = str(place)
    return (text if isinstance(place, HttpFile) else text.partition("?")[0]).rstrip("/")


def look_at(path: RemotePath, text: str) -> Literal["folder", "file", "nothing"]:
    """Say what an address holds.

    Raises:
        SourceError: it cannot be asked: no such bucket, no access, no connection.
    """
    try:
        if path.is_dir():
            return "folder"
        return "file" if path.is_file() else "nothing"
    except (OSError, ValueError, ImportError) as error:  # the latter: of an unknown scheme
        raise SourceError(f"cannot read {text}: {explain_remote(error)}") from error


def add_states(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Yield the entries in order, those on object stores with the size and time they have now.

    One request each, 32 at once. An object that is not there keeps size -1; it becomes a failed
    row. Web addresses are not asked: their servers are as often wrong as silent on time.

    Raises:
        SourceError: the store refuses access or cannot be reached.
    """
    with ThreadPoolExecutor(_AT_ONCE, "ovsam-stat") as pool:
        while chunk := list(islice(entries, _CHUNK)):
            if any(isinstance(entry.place, RemotePath) for entry in chunk):
                yield from pool.map(_add_state, chunk)
            else:
                yield from chunk


def explain_remote(error: Exception) -> str:
    """Return one line on why a store or server did not answer."""
    return " ".join((getattr(error, "strerror", None) or str(error)).split())


def _add_state(entry: Entry) -> Entry:
    if not isinstance(entry.place, RemotePath):
        return entry
    try:
        status = entry.place.stat()
    except FileNotFoundError:
        return entry
    except OSError as error:
        raise SourceError(f"cannot read {entry.place}: {explain_remote(error)}") from error
    return entry._replace(size_bytes=status.st_size, mtime_ns=status.st_mtime_ns)


def _scan(folder: RemotePath, with_hidden: bool = False) -> list[RemotePath]:
    try:
        # A key with "//" lists the folder itself as its own child: that would go on for ever.
        found = (child for child in folder.iterdir() if child != folder and child.name)
        children = [child for child in found if with_hidden or child.name[0] != "."]
    except OSError as error:
        raise SourceError(f"cannot read the folder {folder}: {explain_remote(error)}") from error
    return sorted(children, key=lambda child: child.name)


def _make_entry(child: RemotePath, name: str) -> Entry:
    status = child.stat()
    return Entry(child, name, status.st_size, status.st_mtime_ns)
