"""Folders, globs and single files, on this machine and on object stores, by one walk.

What a walk meets is an `os.DirEntry` here and a `RemotePath` there: both have a name, `is_dir` and,
without another call to disk or store, size and time. A walk holds the names of the folders on the
way down, never those of the whole tree.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ovsam.decode import IMAGE_SUFFIXES
from ovsam.errors import explain
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.containers import CONTAINER_SUFFIXES, open_container, open_containers
from ovsam_pipeline.sources.patterns import list_wild_parts
from ovsam_pipeline.sources.place import Place, add_states, get_root, get_state
from ovsam_pipeline.sources.source import get_suffix, make_record, take_image
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath

_Child = os.DirEntry[str] | RemotePath
_OUTPUT_NAMES = frozenset(("parts", "run.json"))


@dataclass(frozen=True)
class Folder:
    """A folder or a prefix of an object store, walked depth first in the order of names.

    Archives and Parquet files are read where it holds no image file at all. `exclude` are resolved
    folders that are not entered; `column` is that of the images in Parquet files, or None.
    """

    text: str
    path: AnyPath
    exclude: frozenset[AnyPath] = frozenset()
    column: str | None = None

    where = "below"
    may_repeat = False

    @property
    def root(self) -> str:
        """The folder; see `Source.root`."""
        return get_root(self.path)

    def iterate(self, prefix: str, passed: Counter[str]) -> Iterator[ImageRecord]:
        """Yield the image files, or else what the archives hold; see `Source.iterate`."""
        is_empty = True
        for record in self._walk(prefix, IMAGE_SUFFIXES, passed):
            is_empty = False
            yield record
        if not is_empty:
            return
        # A second walk, of folders that hold few and large files.
        for suffix in CONTAINER_SUFFIXES:
            if passed.pop(suffix, 0):
                archives = self._walk(prefix, frozenset((suffix,)), Counter())
                yield from open_containers(archives, self.column, passed)
                return

    def _walk(
        self, prefix: str, wanted: frozenset[str], passed: Counter[str]
    ) -> Iterator[ImageRecord]:
        """Yield the files with a wanted suffix.

        Links to folders inside the root are not followed, as their files are listed where they lie;
        links to other folders are, each folder once. So loops end.
        """
        # The output may be the folder itself under another name.
        real_root = self.path.resolve()
        if real_root in self.exclude:
            return
        entered = {real_root}
        # The folders to continue with, innermost last. Recursion would hold the same iterators, and
        # hand each record up through every level.
        stack = [(prefix, self.path, iter(scan_folder(self.path)))]
        while stack:
            names, folder, children = stack[-1]
            for child in children:
                if _is_folder(child):
                    inner = _join(folder, child)
                    real = inner.resolve()
                    is_seen = _is_link(child) and (real in entered or real_root in real.parents)
                    if is_seen or real in self.exclude:
                        continue
                    entered.add(real)
                    found = _scan_unless_output(inner)
                    if found is not None:
                        stack.append((f"{names}{child.name}/", inner, found))
                        break
                elif take_image(child.name, wanted, passed):
                    yield _record_child(child, folder, names + child.name)
            else:
                stack.pop()


@dataclass(frozen=True)
class Glob:
    """The files that a pattern matches; a suffix spelt out in it admits any file.

    `*`, `?` and `[…]` stay within one part and pass hidden names over; `**` is any number of
    folders, and at the end of a pattern all files below.
    """

    text: str
    pattern: AnyPath
    column: str | None = None

    where = "for the pattern"
    may_repeat = True

    @property
    def root(self) -> str:
        """The folder in front of the first wildcard; see `Source.root`."""
        return get_root(self._split()[0])

    def iterate(self, prefix: str, passed: Counter[str]) -> Iterator[ImageRecord]:
        """Yield the matching files; see `Source.iterate`."""
        suffix = get_suffix(str(self.pattern))
        # "*.tar" and "*.xyz" ask for these files; "*" and "*.[jp]*" for the images among all.
        is_explicit = bool(suffix) and not any(sign in suffix for sign in "*?[]")
        records = (
            _record_child(child, folder, name)
            for child, folder, name in self._find(*self._split(), prefix)
            if is_explicit or take_image(child.name, IMAGE_SUFFIXES, passed)
        )
        yield from open_containers(records, self.column, passed)

    def is_empty(self) -> bool:
        """Whether no file matches at all."""
        return next(self._find(*self._split(), ""), None) is None

    def _split(self) -> tuple[AnyPath, list[str]]:
        parts = list_wild_parts(str(self.pattern))
        folder = self.pattern
        for _ in parts:
            folder = folder.parent
        return folder, parts

    def _find(
        self, folder: AnyPath, parts: list[str], prefix: str
    ) -> Iterator[tuple[_Child, AnyPath, str]]:
        """Yield the matching files, each with its folder and its name below the first one."""
        part, rest = parts[0], parts[1:]
        if part == "**":
            yield from self._find_deep(folder, rest, prefix)
            return
        matches = re.compile(fnmatch.translate(part)).match
        for child in scan_folder(folder, with_hidden=part.startswith(".")):
            if not matches(child.name):
                continue
            is_folder = _is_folder(child)
            if rest and is_folder:
                yield from self._find(_join(folder, child), rest, f"{prefix}{child.name}/")
            elif not rest and not is_folder:
                yield child, folder, prefix + child.name

    def _find_deep(
        self, folder: AnyPath, rest: list[str], prefix: str
    ) -> Iterator[tuple[_Child, AnyPath, str]]:
        # "**/**" finds what "**" does; taken apart it would find files twice.
        while rest[:1] == ["**"]:
            rest = rest[1:]
        yield from self._find(folder, rest or ["*"], prefix)
        for child in scan_folder(folder):
            if _is_folder(child) and not _leads_back(child, folder):
                yield from self._find_deep(_join(folder, child), rest, f"{prefix}{child.name}/")


@dataclass(frozen=True)
class File:
    """One file or web address: an image whatever its suffix, or an archive of images."""

    text: str
    place: Place
    column: str | None = None

    where = "in"
    may_repeat = True  # two members of an archive may have one name

    @property
    def root(self) -> str:
        """What the file lies in; see `Source.root`."""
        return get_root(self.place).rpartition("/")[0] or "/"

    def iterate(self, prefix: str, passed: Counter[str]) -> Iterator[ImageRecord]:
        """Yield the image, or the images of the archive; see `Source.iterate`."""
        name = prefix + get_root(self.place).rpartition("/")[2]
        for record in add_states(iter([make_record(name, self.place, *get_state(self.place))])):
            yield from open_container(record, self.column, passed)


def scan_folder(folder: AnyPath, with_hidden: bool = False) -> list[_Child]:
    """Return what is in a folder, in the order of names, by default without hidden names."""
    with explain("cannot read the folder", folder, SourceError):
        children = _scan_store(folder) if isinstance(folder, RemotePath) else _scan_disk(folder)
    if not with_hidden:
        children = [child for child in children if child.name[0] != "."]
    return sorted(children, key=lambda child: child.name)


def _scan_disk(folder: Path) -> list[_Child]:
    with os.scandir(folder) as children:
        return list(children)


def _scan_store(folder: RemotePath) -> list[_Child]:
    # A key with "//" is listed as a child that is the folder itself: the walk would never end.
    return [child for child in folder.iterdir() if child != folder and child.name]


def _join(folder: AnyPath, child: _Child) -> AnyPath:
    # Joined to its folder, a path costs half of what parsing the whole does.
    return child if isinstance(child, RemotePath) else folder / child.name


def _record_child(child: _Child, folder: AnyPath, name: str) -> ImageRecord:
    place = _join(folder, child)
    try:
        status = child.stat()
    except OSError:  # vanished meanwhile, or a link to nothing: a failed row when it is read
        return make_record(name, place)
    return make_record(name, place, status.st_size, status.st_mtime_ns)


def _is_folder(child: _Child) -> bool:
    try:
        return child.is_dir()
    except OSError:  # a link in a circle
        return False


def _is_link(child: _Child) -> bool:
    return not isinstance(child, RemotePath) and child.is_symlink()


def _scan_unless_output(folder: AnyPath) -> Iterator[_Child] | None:
    """Return what is in a folder; None for what `ovsam label` wrote: previews are not photos.

    An iterator, which lets go of its list at the end: a walk then never holds two long ones.
    """
    children = scan_folder(folder)
    found = {child.name: _is_folder(child) for child in children if child.name in _OUTPUT_NAMES}
    return None if found == {"parts": True, "run.json": False} else iter(children)


def _leads_back(child: _Child, folder: AnyPath) -> bool:
    """Whether a link leads to a folder that it lies in, by whatever way."""
    if not _is_link(child):
        return False
    link = _join(folder, child)
    real = link.resolve()
    return any(above.resolve() == real for above in link.absolute().parents)
