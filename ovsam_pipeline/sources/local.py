"""Folders, globs and single files of this machine.

A walk holds the names of one folder at a time and takes size and time from the entries it scans.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ovsam.decode import IMAGE_SUFFIXES
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.sources.containers import CONTAINER_SUFFIXES, open_container, open_containers
from ovsam_pipeline.sources.entry import Entry, get_suffix, normalise, take_image
from ovsam_pipeline.sources.patterns import PatternWalk, split_pattern


@dataclass(frozen=True)
class LocalFolder:
    """A folder, walked depth first in the order of names.

    Archives and Parquet files are read where the folder holds no image file at all.

    Attributes:
        text: as the user wrote it.
        path: the folder.
        exclude: resolved folders that are not entered.
        column: of the images in Parquet files, where the user named one.
    """

    text: str
    path: Path
    exclude: frozenset[Path] = frozenset()
    column: str | None = None

    where = "below"
    may_repeat = False

    @property
    def root(self) -> str:
        """The folder, absolute."""
        return normalise(self.path)

    def iterate(self, passed: Counter[str]) -> Iterator[Entry]:
        """Yield the image files, or else what the archives hold; see `Source.iterate`."""
        is_empty = True
        for entry in self._walk(IMAGE_SUFFIXES, passed):
            is_empty = False
            yield entry
        if not is_empty:
            return
        for suffix in CONTAINER_SUFFIXES:
            if passed.pop(suffix, 0):
                archives = self._walk(frozenset((suffix,)), Counter())
                yield from open_containers(archives, self.column, passed)
                return

    def _walk(self, wanted: frozenset[str], passed: Counter[str]) -> Iterator[Entry]:
        """Walk the folder, without hidden files.

        Links to folders inside the root are not followed, as their files are listed where they lie;
        links to other folders are, each folder once. So loops end. Outputs of earlier runs are
        passed over: their previews are no photos.
        """
        real_root = self.path.resolve()
        entered = {real_root}

        def is_entered(child: os.DirEntry[str], real: Path) -> bool:
            if real in self.exclude or _is_label_output(real):
                return False
            if child.is_symlink() and (real in entered or real.is_relative_to(real_root)):
                return False
            entered.add(real)
            return True

        if real_root in self.exclude:
            return
        # The folders to go on with, innermost last: an iterator each, as recursion would hold.
        stack = [("", self.path, iter(scan_folder(str(self.path))))]
        while stack:
            prefix, folder, children = stack[-1]
            for child in children:
                if _is_folder(child):
                    if is_entered(child, Path(child.path).resolve()):
                        inner = iter(scan_folder(child.path))
                        stack.append((f"{prefix}{child.name}/", folder / child.name, inner))
                        break
                elif take_image(child.name, wanted, passed):
                    # Joined to its folder, a path costs half of what parsing the whole does.
                    yield _make_entry(child, prefix + child.name, folder / child.name)
            else:
                stack.pop()


@dataclass(frozen=True)
class LocalGlob:
    """The files that a pattern matches; a suffix spelt out in it admits any file.

    Attributes:
        text: the pattern.
        column: of the images in Parquet files, where the user named one.
    """

    text: str
    column: str | None = None

    where = "for the pattern"
    may_repeat = True

    @property
    def root(self) -> str:
        """The folder in front of the first wildcard, absolute."""
        return normalise(split_pattern(self.text)[0])

    def iterate(self, passed: Counter[str]) -> Iterator[Entry]:
        """Yield the matching files; see `Source.iterate`."""
        suffix = get_suffix(self.text)
        is_explicit = bool(suffix) and not any(sign in suffix for sign in "*?[]")
        entries = (
            _make_entry(child, name)
            for name, child in self._find()
            if is_explicit or take_image(name, IMAGE_SUFFIXES, passed)
        )
        yield from open_containers(entries, self.column, passed)

    def is_empty(self) -> bool:
        """Whether no file matches at all."""
        return next(self._find(), None) is None

    def _find(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        folder, parts = split_pattern(self.text)
        walk = PatternWalk(
            scan_folder, lambda child: child.path if _is_folder(child) else None, _leads_back
        )
        return walk.find(folder or ".", parts)


def _leads_back(child: os.DirEntry[str]) -> bool:
    """Whether a link leads to a folder that it lies in, by whatever way."""
    if not child.is_symlink():
        return False
    real, above = Path(child.path).resolve(), Path(child.path).absolute().parents
    return any(folder.resolve() == real for folder in above)


@dataclass(frozen=True)
class LocalFile:
    """One file, whatever its suffix: an image, or an archive of images.

    Attributes:
        text: as the user wrote it.
        path: the file.
        column: of the images in a Parquet file, where the user named one.
    """

    text: str
    path: Path
    column: str | None = None

    where = "in"
    may_repeat = True  # two members of an archive may have one name

    @property
    def root(self) -> str:
        """The folder that the file lies in, absolute."""
        return normalise(self.path.parent)

    def iterate(self, passed: Counter[str]) -> Iterator[Entry]:
        """Yield the image, or the images of the archive; see `Source.iterate`."""
        entry = make_local_entry(str(self.path), self.path.name)
        yield from open_container(entry, self.column, passed)


def make_local_entry(path: str, name: str) -> Entry:
    """Build the entry of a file that nothing is known of yet; it may be missing."""
    return Entry(path, name, *get_state(path))


def get_state(path: str | Path) -> tuple[int, int]:
    """Return size in bytes and time in nanoseconds; (-1, 0) for what cannot be looked at."""
    try:
        status = os.stat(path)  # noqa: PTH116  it takes both, and adds nothing
    except (OSError, ValueError):  # it becomes a failed row when it is read
        return -1, 0
    return status.st_size, status.st_mtime_ns


def scan_folder(folder: str, with_hidden: bool = False) -> list[os.DirEntry[str]]:
    """Return what is in a folder, in the order of names, by default without hidden names.

    Raises:
        SourceError: the folder cannot be read.
    """
    try:
        with os.scandir(folder) as children:
            visible = [child for child in children if with_hidden or child.name[0] != "."]
    except OSError as error:
        raise SourceError(f"cannot read the folder {folder}: {error.strerror}") from error
    return sorted(visible, key=lambda child: child.name)


def _make_entry(child: os.DirEntry[str], name: str, path: Path | None = None) -> Entry:
    place = child.path if path is None else path
    try:
        status = child.stat()
    except OSError:  # vanished meanwhile, or a link to nothing: a failed row when it is read
        return Entry(place, name)
    return Entry(place, name, status.st_size, status.st_mtime_ns)


def _is_label_output(folder: Path) -> bool:
    """Whether a folder below the sources is what `ovsam label` wrote."""
    return (folder / "run.json").is_file() and (folder / "parts").is_dir()


def _is_folder(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_dir()
    except OSError:  # a link in a circle
        return False
