"""What a listing leaves out, counted: other files, system folders, `--exclude`, closed folders.

One rule for folders, globs, archives and object stores, so that the same photos give the same rows
wherever they lie.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from ovsam.errors import ConfigError

# Thumbnails, recycle bins, snapshots: copies of photos that nobody asks for. In lower case.
_SYSTEM_FOLDERS = frozenset((
    # Synology, QNAP, NetApp, Buffalo, Samba, Nextcloud
    "@eadir", "@tmp", "@sharebin", "#recycle", "#snapshot", "@recycle", "@recently-snapshot",
    "@__thumb", ".@__thumb", ".snapshot", ".snapshots", "~snapshot", ".zfs", "trashbox", ".recycle",
    "files_trashbin", "files_versions",
    # Windows
    "$recycle.bin", "$recycle", "recycler", "recycled", "system volume information",
    # macOS
    "__macosx", ".trashes", ".trash", ".spotlight-v100", ".fseventsd", ".appledouble",
    "network trash folder", "temporary items",
    # Linux
    "lost+found",
))  # fmt: skip
_SYSTEM_PATTERN = re.compile(r"found\.\d{3}|\.trash-\d+")
_MOST_NAMED, _MOST_SHOWN = 4, 80
# A wildcard, a class such as "[!a-c]", or any other character.
_GLOB_TOKEN = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


class LeftOut:
    """Decides what is left out of a listing by its name, and counts it.

    Attributes:
        files: files that are not images, by suffix ("" for none); hidden ones are not counted.
        system: folders of systems and storage boxes, by name.
        num_excluded: files and folders that `exclude` matches.
        num_unreadable: folders that could not be read; `unreadable` are the first, with reasons.
    """

    def __init__(self, exclude: Sequence[str] = ()) -> None:
        self.exclude = tuple(exclude)
        self._matches = _compile(self.exclude).match if exclude else None
        self.files: Counter[str] = Counter()
        self.system: Counter[str] = Counter()
        self.num_excluded = 0
        self._counted = ""
        self.num_unreadable = 0
        self.unreadable: list[str] = []

    def take_file(self, name: str, wanted: frozenset[str]) -> bool:
        """Return whether a file has a wanted suffix; count it where not."""
        suffix = get_suffix(name)
        if suffix in wanted:
            return True
        self.files[suffix] += 1
        return False

    def is_excluded(self, name: str) -> bool:
        """Return whether `--exclude` means a name, or with "/" at its end a folder; count it."""
        if self._matches is None or not self._matches(name.lstrip("/")):
            return False
        self.num_excluded += 1
        return True

    def leaves_folder(self, name: str) -> bool:
        """Return whether a folder that a walk meets is left out; count it."""
        last = name.rpartition("/")[2]
        if is_system_folder(last):
            self.system[last] += 1
            return True
        return self.is_excluded(f"{name}/")

    def leaves_parts(self, folders: str) -> bool:
        """Return whether a folder of a path "a/b" is a system folder; count it once in a row."""
        found = _find_system_part(folders)
        if found and folders != self._counted:
            self.system[found] += 1
            self._counted = folders
        return found is not None

    def add_unreadable(self, name: str, reason: str) -> None:
        """Count a folder that could not be read; its images may exist all the same."""
        self.num_unreadable += 1
        if len(self.unreadable) < _MOST_NAMED:
            shown = name if len(name) <= _MOST_SHOWN else f"…{name[-_MOST_SHOWN:]}"
            self.unreadable.append(f"{shown}: {reason}")

    @property
    def num_chosen(self) -> int:
        """What was left out by a rule or a wish, not for its kind."""
        return self.system.total() + self.num_excluded

    def add(self, other: LeftOut) -> None:
        """Add the counts of another one, of an archive."""
        self.files += other.files
        self.system += other.system
        self.num_excluded += other.num_excluded

    def describe(self) -> list[str]:
        """Return a sentence about each kind, such as "12 files skipped that are not images"."""
        sentences = []
        if total := self.files.total():
            kinds = ", ".join(
                f"{n} {suffix or 'without suffix'}" for suffix, n in _rank(self.files)
            )
            what = (
                "file skipped that is no image"
                if total == 1
                else "files skipped that are not images"
            )
            sentences.append(f"{total} {what} ({kinds})")
        if total := self.system.total():
            names = ", ".join(name for name, _ in _rank(self.system)[:_MOST_NAMED])
            sentences.append(
                f"{total} folder{'s' * (total > 1)} of systems or storage boxes left out "
                f"({names}): name such a folder alone to label it"
            )
        if total := self.num_excluded:
            sentences.append(f"{total} left out by --exclude (files, and folders as one)")
        return sentences

    def describe_unreadable(self) -> str:
        """Return a sentence about the folders that cannot be read; "" where there are none."""
        total = self.num_unreadable
        if not total:
            return ""
        some = "; ".join(self.unreadable) + "; …" * (total > len(self.unreadable))
        return (
            f"{total} folder{'s' * (total > 1)} cannot be read, so the images in "
            f"{'them are' if total > 1 else 'it are'} not listed: {some}"
        )


def get_suffix(name: str) -> str:
    """Return the lower-case suffix of the last part, with its dot; "" without one."""
    # Not os.path.splitext: twice as slow, and called for every file of a walk.
    last = name.rpartition("/")[2]
    return "." + last.rpartition(".")[2].lower() if "." in last[1:] else ""


def is_system_folder(name: str) -> bool:
    """Return whether an operating system or storage box keeps a folder of this name for itself."""
    lower = name.lower()
    return lower in _SYSTEM_FOLDERS or _SYSTEM_PATTERN.fullmatch(lower) is not None


@lru_cache(maxsize=4096)
def _find_system_part(folders: str) -> str | None:
    return next((part for part in folders.split("/") if is_system_folder(part)), None)


def _rank(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:8]


@lru_cache(maxsize=16)
def _compile(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Return what matches the names that one of the patterns means, and all below such a folder.

    As in a .gitignore: one without "/" means any part of a name, one with it the name from its
    start; "**" is any number of folders, "/" at the end asks for a folder.
    """
    for pattern in patterns:
        if not pattern.strip("/"):
            raise ConfigError(f"expected --exclude as a glob such as '*.png', got '{pattern}'")
    try:
        return re.compile("|".join(map(_translate, patterns)))
    except re.error as error:
        raise ConfigError(f"expected --exclude as a glob, got {patterns}: {error}") from error


def _translate(pattern: str) -> str:
    inner = pattern.strip("/")
    below = "/.*" if pattern.endswith("/") else "(?:/.*)?"
    start = "" if "/" in pattern.rstrip("/") else "(?:.*/)?"
    parts = [
        "(?:[^/]+/)*" if part == "**" else _translate_part(part) + "/" for part in inner.split("/")
    ]
    text = "".join(parts)
    # "a/**" means all below "a".
    text = text + ".+" if inner.endswith("**") else text.removesuffix("/") + below
    return f"(?s:{start}{text})\\Z"


def _translate_part(part: str) -> str:
    return "".join(_translate_token(token) for token in _GLOB_TOKEN.findall(part))


def _translate_token(token: str) -> str:
    if token[0] == "*":
        return "[^/]*"
    if token == "?":
        return "[^/]"
    if token[0] == "[" and len(token) > 2:
        negated = token[1] == "!"
        inside = token[1 + negated : -1].replace("\\", "\\\\").replace("[", "\\[")
        inside = inside.replace("]", "\\]").replace("^", "\\^")
        return f"[{'^/' if negated else ''}{inside}]"
    return re.escape(token)
