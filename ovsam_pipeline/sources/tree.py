"""Folders, globs and single files, on this machine and on object stores, by one walk.

What a walk meets is an `os.DirEntry` here and a `RemotePath` there: both have a name, `is_dir` and,
without another call to disk or store, size and time. A walk holds the names of the folders on the
way down, never those of the whole tree.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ovsam.decode import IMAGE_SUFFIXES
from ovsam.errors import describe_error, explain
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.containers import CONTAINER_SUFFIXES, open_container, open_containers
from ovsam_pipeline.sources.left_out import LeftOut, get_suffix
from ovsam_pipeline.sources.patterns import split_pattern
from ovsam_pipeline.sources.place import Place, add_states, get_root, get_state
from ovsam_pipeline.sources.source import make_record
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath

_Child = os.DirEntry[str] | RemotePath
_Identity = AnyPath | tuple[int, int]
_OUTPUT_NAMES = frozenset(("parts", "run.json"))
# A folder that is not ours to read, whose path is too long for the system, or that is gone by now.
_CLOSED = (
    errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOENT, errno.ENOTDIR,
)  # fmt: skip


@dataclass(frozen=True)
class Folder:
    """A folder or a prefix of an object store, walked depth first in the order of names.

    Archives and Parquet files are read where it holds no image file at all. `exclude` are folders
    that are not entered, as `identify` tells them; `column` is that of the images in Parquet files,
    or None.
    """

    text: str
    path: AnyPath
    exclude: frozenset[_Identity] = frozenset()
    column: str | None = None

    where = "below"
    may_repeat = False

    @property
    def root(self) -> str:
        """The folder; see `Source.root`."""
        return get_root(self.path)

    def iterate(self, prefix: str, left_out: LeftOut) -> Iterator[ImageRecord]:
        """Yield the image files, or else what the archives hold; see `Source.iterate`."""
        # One of several sources, as a shell writes for "photos/*".
        if left_out.leaves_parts(prefix):
            return
        is_empty = True
        for record in self._walk(prefix, IMAGE_SUFFIXES, left_out):
            is_empty = False
            yield record
        if not is_empty:
            return
        # A second walk, of folders that hold few and large files.
        for suffix in CONTAINER_SUFFIXES:
            if left_out.files.pop(suffix, 0):
                again = LeftOut(left_out.exclude)
                archives = self._walk(prefix, frozenset((suffix,)), again)
                yield from open_containers(archives, self.column, left_out)
                return

    def _walk(
        self, prefix: str, wanted: frozenset[str], left_out: LeftOut
    ) -> Iterator[ImageRecord]:
        """Yield the files with a wanted suffix.

        Links to folders inside the root are not followed, as their files are listed where they lie;
        links to other folders are, each folder once. So loops end.
        """
        entered = {identify(self.path)}
        # The output may be the folder itself under another name.
        if entered & self.exclude:
            return
        # The folders to continue with, innermost last, and whether a link led there. Recursion
        # would hold the same iterators, and hand each record up through every level.
        stack = [(prefix, self.path, iter(scan_folder(self.path)), False)]
        while stack:
            names, folder, children, is_linked = stack[-1]
            for child in children:
                name = names + child.name
                if not _is_folder(child):
                    if left_out.take_file(child.name, wanted) and not left_out.is_excluded(name):
                        yield _record_child(child, folder, name)
                    continue
                inner = _join(folder, child)
                if left_out.leaves_folder(name) or _is_link_into(child, inner, self.path):
                    continue
                identity = identify(inner)
                is_linked_too = is_linked or _is_link(child)
                if (is_linked_too and identity in entered) or identity in self.exclude:
                    continue
                entered.add(identity)
                found = _scan_unless_output(inner, f"{name}/", left_out)
                if found is not None:
                    stack.append((f"{name}/", inner, found, is_linked_too))
                    break
            else:
                stack.pop()


@dataclass(frozen=True)
class Glob:
    """The files that a pattern matches; a suffix spelt out in it admits any file.

    `*`, `?` and `[…]` stay within one part and pass hidden names over; `**` is any number of
    folders, and at the end of a pattern all files below. Folders of systems and storage boxes match
    only where they are spelt out.
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

    def iterate(self, prefix: str, left_out: LeftOut) -> Iterator[ImageRecord]:
        """Yield the matching files; see `Source.iterate`."""
        suffix = get_suffix(str(self.pattern))
        # "*.tar" and "*.xyz" ask for these files; "*" and "*.[jp]*" for the images among all.
        is_explicit = bool(suffix) and not any(sign in suffix for sign in "*?[]")
        records = (
            _record_child(child, folder, name)
            for child, folder, name in self._find_all(prefix, left_out)
            if (is_explicit or left_out.take_file(child.name, IMAGE_SUFFIXES))
            and not left_out.is_excluded(name)
        )
        yield from open_containers(records, self.column, left_out)

    def is_empty(self) -> bool:
        """Whether no file matches at all."""
        return next(self._find_all("", LeftOut()), None) is None

    def _split(self) -> tuple[AnyPath, list[str]]:
        rest = split_pattern(str(self.pattern))[1]
        parts = [part for part in rest.split("/") if part]
        folder = self.pattern
        for _ in parts:
            folder = folder.parent
        return folder, parts

    def _find_all(self, prefix: str, left_out: LeftOut) -> Iterator[tuple[_Child, AnyPath, str]]:
        """Yield the matching files, each with its folder and its name below the first one."""
        folder, parts = self._split()
        yield from _find(
            _Scanned(folder, prefix, scan_folder(folder, with_hidden=True)), parts, left_out
        )


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

    def iterate(self, prefix: str, left_out: LeftOut) -> Iterator[ImageRecord]:
        """Yield the image, or the images of the archive; see `Source.iterate`."""
        if left_out.leaves_parts(prefix):
            return
        name = prefix + get_root(self.place).rpartition("/")[2]
        for record in add_states(iter([make_record(name, self.place, *get_state(self.place))])):
            yield from open_container(record, self.column, left_out)


class _Scanned(NamedTuple):
    """A folder with what is in it, also hidden names, and the name in front of these."""

    folder: AnyPath
    prefix: str
    children: list[_Child]


def _find(
    at: _Scanned, parts: list[str], left_out: LeftOut
) -> Iterator[tuple[_Child, AnyPath, str]]:
    """Yield the files that the parts of a pattern match, each with its folder and its name."""
    part, rest = parts[0], parts[1:]
    if part == "**":
        # "**/**" finds what "**" does; taken apart it would find files twice.
        while rest[:1] == ["**"]:
            rest = rest[1:]
        for deeper in _walk_deep(at, left_out):
            yield from _find(deeper, rest or ["*"], left_out)
        return
    matches = re.compile(fnmatch.translate(part)).match
    for child in at.children:
        if not matches(child.name) or (child.name[0] == "." and part[0] != "."):
            continue
        name = at.prefix + child.name
        if not _is_folder(child):
            if not rest:
                yield child, at.folder, name
        elif rest and not (glob.has_magic(part) and left_out.leaves_folder(name)):
            yield from _find(
                _scan_inner(_join(at.folder, child), f"{name}/", left_out), rest, left_out
            )


def _walk_deep(at: _Scanned, left_out: LeftOut) -> Iterator[_Scanned]:
    """Yield a folder and all below it, without hidden ones; a link that leads back ends."""
    yield at
    waiting = [(at.folder, at.prefix, child) for child in reversed(at.children)]
    while waiting:
        folder, prefix, child = waiting.pop()
        if child.name[0] == "." or not _is_folder(child) or _leads_back(child, folder):
            continue
        if left_out.leaves_folder(prefix + child.name):
            continue
        inner = _scan_inner(_join(folder, child), f"{prefix}{child.name}/", left_out)
        yield inner
        waiting += [(inner.folder, inner.prefix, below) for below in reversed(inner.children)]


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


def _scan_inner(folder: AnyPath, prefix: str, left_out: LeftOut) -> _Scanned:
    """Scan a folder that the user did not name: one that is closed to us is counted, and empty."""
    try:
        return _Scanned(folder, prefix, scan_folder(folder, with_hidden=True))
    except SourceError as error:
        reason = error.__cause__
        is_closed = isinstance(reason, OSError) and reason.errno in _CLOSED
        if reason is None or not is_closed or isinstance(folder, RemotePath):
            raise
        left_out.add_unreadable(prefix.rstrip("/"), describe_error(reason))
        return _Scanned(folder, prefix, [])


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
    except OSError as error:  # a link in a circle, or to where we may not look
        return error.errno in _CLOSED and get_suffix(child.name) not in IMAGE_SUFFIXES


def _is_link(child: _Child) -> bool:
    return not isinstance(child, RemotePath) and child.is_symlink()


def identify(folder: AnyPath) -> _Identity:
    """Return what is equal for two names of one folder, without looking at those above it."""
    if isinstance(folder, RemotePath):
        return folder
    try:
        status = folder.stat()
    except OSError:  # not there yet, or closed to us: then nothing else is known of it
        return folder
    return status.st_dev, status.st_ino


def _is_link_into(child: _Child, path: AnyPath, root: AnyPath) -> bool:
    """Whether a child is a link to a folder inside the root: what is there is listed there."""
    if not _is_link(child):
        return False
    try:
        return root.resolve() in path.resolve().parents
    except (OSError, RuntimeError):  # a circle, or too long a path: scanning it says so
        return False


def _scan_unless_output(folder: AnyPath, prefix: str, left_out: LeftOut) -> Iterator[_Child] | None:
    """Return what is in a folder; None for what `ovsam label` wrote: previews are not photos.

    An iterator, which lets go of its list at the end: a walk then never holds two long ones.
    """
    children = _scan_inner(folder, prefix, left_out).children
    found = {child.name: _is_folder(child) for child in children if child.name in _OUTPUT_NAMES}
    if found == {"parts": True, "run.json": False}:
        return None
    return iter([child for child in children if child.name[0] != "."])


def _leads_back(child: _Child, folder: AnyPath) -> bool:
    """Whether a link leads to a folder that it lies in, by whatever way."""
    if not _is_link(child):
        return False
    link = _join(folder, child)
    real = identify(link)
    return any(identify(above) == real for above in link.absolute().parents)
