"""Globs over any tree that can be scanned folder by folder: here and on object stores.

Holds one folder's names at a time, which `glob` followed by sorting does not.
"""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Folder = TypeVar("Folder")
Child = TypeVar("Child", bound=_Named)


def split_pattern(pattern: str) -> tuple[str, list[str]]:
    """Return the folder in front of the first wildcard ("" for the current one), and the rest.

    "/data/2024-*/a/*.jpg" → "/data", ["2024-*", "a", "*.jpg"].
    """
    parts = pattern.split("/")
    num_fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    fixed = "/".join(parts[:num_fixed])
    return fixed or ("/" if num_fixed else ""), [part for part in parts[num_fixed:] if part]


class PatternWalk(Generic[Folder, Child]):
    """Finds the files of a pattern below a folder.

    Args:
        scan: folder, whether hidden ones too → what is in it, in the order of names.
        enter: child → the folder that it is, or None for a file.
        leads_back: whether a folder is a link to one that it lies in; `**` does not follow it.
    """

    def __init__(
        self,
        scan: Callable[[Folder, bool], Iterable[Child]],
        enter: Callable[[Child], Folder | None],
        leads_back: Callable[[Child], bool] = lambda _: False,
    ) -> None:
        self._scan = scan
        self._enter = enter
        self._leads_back = leads_back

    def find(
        self, folder: Folder, parts: list[str], prefix: str = ""
    ) -> Iterator[tuple[str, Child]]:
        """Yield the name relative to the first folder and the file, folder by folder, by name.

        `*`, `?` and `[…]` stay within one part and pass hidden names over; `**` is any number of
        folders, and at the end of a pattern all files below.
        """
        part, rest = parts[0], parts[1:]
        if part == "**":
            yield from self._find_deep(folder, rest, prefix)
            return
        matches = re.compile(fnmatch.translate(part)).match
        for child in self._scan(folder, part.startswith(".")):
            if not matches(child.name):
                continue
            inner = self._enter(child)
            if rest and inner is not None:
                yield from self.find(inner, rest, f"{prefix}{child.name}/")
            elif not rest and inner is None:
                yield prefix + child.name, child

    def _find_deep(
        self, folder: Folder, rest: list[str], prefix: str
    ) -> Iterator[tuple[str, Child]]:
        while rest[:1] == ["**"]:
            rest = rest[1:]
        yield from self.find(folder, rest or ["*"], prefix)
        for child in self._scan(folder, False):
            inner = self._enter(child)
            if inner is not None and not self._leads_back(child):
                yield from self._find_deep(inner, rest, f"{prefix}{child.name}/")
