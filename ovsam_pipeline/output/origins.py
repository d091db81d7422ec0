"""From where the rows of an output were made, against where images are listed now.

A row belongs to a name. The same name in another folder is the same image where size and time are
equal too: the folder was moved or copied. Else it is another image, which must not take the row's
place unasked. And a row whose image is not listed is that of a deleted image only where its source
is among the present ones.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from ovsam.errors import ConfigError
from ovsam_pipeline.outcomes import count_are, count_things
from ovsam_pipeline.output.done_index import DoneIndex
from ovsam_pipeline.records import UNKNOWN_ORIGIN, ImageRecord, Origin
from ovsam_pipeline.storage.remote_path import AnyPath, is_remote

_HALF = np.uint64(32)


class OriginCheck:
    """Compares the origins of listed images with those of the rows of their names."""

    def __init__(self, done: DoneIndex) -> None:
        self._done = done
        self._numbers: dict[Origin, int] = {}
        # Pairs of a row's origin and a listed one → images that are the same, that are others.
        self._same, self._other = Counter[tuple[int, int]](), Counter[tuple[int, int]]()
        self._examples: dict[tuple[int, int], str] = {}

    def add(self, chunk: Sequence[ImageRecord], rows: np.ndarray, is_changed: np.ndarray) -> None:
        """Note some listed images.

        `rows`: (N,) int64, their rows, -1 for none. `is_changed`: (N,) bool, whether the image of
        the row had another size or time.
        """
        numbers = np.array(
            [self._numbers.setdefault(image.origin, len(self._numbers)) for image in chunk],
            np.uint64,
        )
        # Of a web file nothing but its address tells whether it is the same.
        is_web = np.array([origin.folder.startswith("http") for origin in self._numbers], bool)
        is_other = is_changed | is_web[numbers]
        known = np.flatnonzero(rows >= 0)
        pairs = (self._done.origin_of[rows[known]].astype(np.uint64) << _HALF) | numbers[known]
        for counts, is_counted in ((self._same, ~is_other), (self._other, is_other)):
            chosen = np.flatnonzero(is_counted[known])
            found, firsts, sums = np.unique(pairs[chosen], return_index=True, return_counts=True)
            for code, first, num in zip(
                found.tolist(), firsts.tolist(), sums.tolist(), strict=True
            ):
                pair = (code >> 32, code & 0xFFFFFFFF)
                counts[pair] += num
                if counts is self._other:
                    self._examples.setdefault(pair, chunk[known[chosen[first]]].file_name)

    def refuse_others(self, output: AnyPath | str) -> None:
        """Raise a ConfigError where other images have names of rows.

        Not where the old folder is gone and most of its images are in the new one as they were: it
        was moved, and some of it has changed since.
        """
        origins = list(self._numbers)
        for pair, count in self._other.items():
            old, new = self._done.origins[pair[0]], origins[pair[1]]
            is_moved = self._same[pair] > count and _is_gone(old.folder)
            if is_moved or _is_same_place(old, new):
                continue
            raise ConfigError(
                f"{output} was made from {old.folder}, now {new.folder}: "
                f"{count_are(count, 'name')} in both for other images, such as "
                f"'{self._examples[pair]}'; give another -o, or both in one command into a new -o, "
                "or where these images replace the others --on-existing overwrite"
            )

    def find_present(self) -> np.ndarray:
        """Return which rows are of a source that is among the present ones: (R,) bool."""
        origins = list(self._numbers)
        sources = {_resolve(origin.source) for origin in origins}
        is_present = np.ones(len(self._done.origins), bool)
        for number, old in enumerate(self._done.origins):
            # What lies below a named folder is listed by it, be it by another name.
            is_listed = _resolve(old.source) in sources or any(
                f"{_resolve(old.folder)}/".startswith(source.rstrip("/") + "/")
                for source in sources
            )
            is_moved = _is_gone(old.folder) and any(pair[0] == number for pair in self._same)
            is_present[number] = old == UNKNOWN_ORIGIN or is_listed or is_moved
        return is_present[self._done.origin_of]

    def describe(self, is_other: np.ndarray) -> list[str]:
        """Return what a user should know: of moved folders, and of rows of other sources.

        `is_other`: (R,) bool, the rows of sources that are not among the present ones.
        """
        origins = list(self._numbers)
        sentences: list[str] = []
        for pair, count in self._same.items():
            old, new = self._done.origins[pair[0]], origins[pair[1]]
            if not _is_same_place(old, new):
                sentences.append(
                    f"{count_things(count, 'image')} of {old.folder} found in {new.folder} by "
                    "name, size and time: the rows are kept"
                )
        counts = np.bincount(self._done.origin_of[is_other], minlength=len(self._done.origins))
        by_source = Counter[str]()
        for origin, count in zip(self._done.origins, counts.tolist(), strict=True):
            by_source[origin.source] += count
        for source, count in by_source.items():
            if count:
                sentences.append(
                    f"{count_are(count, 'row')} of {source}, which is not among the sources now: "
                    "kept, --prune removes rows of named sources only"
                )
        return sentences


def find_emptied_folders(
    done: DoneIndex,
    gone: np.ndarray,
    images: Iterable[ImageRecord],
    read_names: Callable[[str], Sequence[str]],
) -> tuple[np.ndarray, dict[str, int]]:
    """Find the rows of folders that are there and hold no image any more.

    A disk that is not mounted looks like that, and its images are not deleted. `gone`: (N,) indices
    of rows whose images are not listed, ascending. `images`: all that are. `read_names` returns the
    file names of a part. Returns (N,) bool, which of the rows, and their number by folder.
    """
    is_kept, folders = np.zeros(len(gone), bool), Counter[str]()
    held: set[str] | None = None
    for part, positions in done.group(gone).items():
        names = read_names(part)
        for position in positions.tolist():
            row = done.find_row(names[position])
            folder = _find_folder(done.origins[done.origin_of[row]].folder, names[position])
            if folder is None:
                continue
            held = _list_folders(images) if held is None else held
            if folder not in held:
                is_kept[np.searchsorted(gone, row)] = True
                folders[folder] += 1
    return is_kept, dict(folders)


def _find_folder(top: str, name: str) -> str | None:
    """Return the innermost folder of a vanished local image that is there.

    None where the image is there, as it is left out on purpose, and where that is the top folder.
    """
    path = os.path.join(top, name)  # noqa: PTH118  many names
    if not top or is_remote(top) or os.path.lexists(path):
        return None
    folder = os.path.dirname(path)  # noqa: PTH120
    while len(folder) > len(top) and not os.path.lexists(folder):
        folder = os.path.dirname(folder)  # noqa: PTH120
    return folder if len(folder) > len(top) else None


def _list_folders(images: Iterable[ImageRecord]) -> set[str]:
    """Return the folders that hold listed images, themselves or below."""
    folders: set[str] = set()
    for image in images:
        folder = image.origin.folder
        inner = f"{folder}/{image.file_name}".rpartition("/")[0]
        while inner not in folders and len(inner) >= len(folder):
            folders.add(inner)
            inner = inner.rpartition("/")[0]
    return folders


def _is_same_place(old: Origin, new: Origin) -> bool:
    """Whether a name means the same file below both; names of older outputs mean any."""
    return old == UNKNOWN_ORIGIN or _resolve(old.folder) == _resolve(new.folder)


def _resolve(place: str) -> str:
    """Return a place as it is without links, so that every way to write it is one."""
    return place if not place or is_remote(place) else os.path.realpath(place)


def _is_gone(folder: str) -> bool:
    return bool(folder) and not is_remote(folder) and not Path(folder).exists()
