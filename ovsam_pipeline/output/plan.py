"""What is left to do: the listed images against the rows that exist.

Input: image records as listed now, in a spool, and the `DoneIndex` of the output folder. Output: a
`Plan`. Both sides may be ten million long: images are compared a chunk at a time, and a few bytes
are kept per image. Nothing here touches the output.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from ovsam.errors import ConfigError
from ovsam_pipeline.output.done_index import DoneIndex, compute_keys
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.key_set import KeySet
from ovsam_pipeline.sources.spool import CHUNK_IMAGES, ImageSpool
from ovsam_pipeline.storage.remote_path import AnyPath


@dataclass(frozen=True)
class Plan:
    """What a run has to do, and what it leaves alone.

    Attributes:
        images: the images to label, in listing order.
        stale: rows to remove before that, part → (K,) positions: their images changed, are retried,
            or are pruned.
        num_new: images without a row.
        num_changed: images whose file changed since they were labelled.
        num_retried: images that failed before and are retried.
        num_unchanged: images that keep their row, failed ones included.
        num_failed_before: failed rows among the unchanged.
        num_deleted: rows whose image is no longer in the sources.
        num_pruned: how many of these rows are removed: all with `prune`, else none.
    """

    images: ImageSpool
    stale: Mapping[str, np.ndarray] = field(default_factory=dict)
    num_new: int = 0
    num_changed: int = 0
    num_retried: int = 0
    num_unchanged: int = 0
    num_failed_before: int = 0
    num_deleted: int = 0
    num_pruned: int = 0

    @property
    def num_listed(self) -> int:
        """Number of images in the sources."""
        return len(self.images) + self.num_unchanged


def plan_run(
    images: ImageSpool | Sequence[ImageRecord],
    done: DoneIndex,
    *,
    retry_failed: bool = False,
    prune: bool = False,
    previews: AnyPath | None = None,
) -> Plan:
    """Compare the images, as listed now, with the rows that exist; a file listed twice counts once.

    `retry_failed` labels images again whose row failed. `prune` removes the rows of images that are
    not listed: a source that cannot be read has raised before, so they are gone. Images in the
    folder `previews`, which ovsam drew, are left out. Two different images with one name or one id
    are a ConfigError.
    """
    unique = _Unique()
    todo, counts = ImageSpool(), Counter[str]()
    is_seen, is_stale = np.zeros(len(done), bool), np.zeros(len(done), bool)
    for chunk in _iterate_chunks(_leave_out(images, previews)):
        keys = compute_keys(image.file_name for image in chunk)
        kept = unique.add(chunk, keys)
        rows = done.find(keys)
        is_seen[rows[rows >= 0]] = True
        states = _compare(chunk, rows, done, retry_failed)
        counts.update(states[kept].tolist())
        for index in np.flatnonzero(kept & (states != "unchanged")).tolist():
            todo.append(chunk[index])
        again = kept & np.isin(states, ("changed", "retried"))
        is_stale[rows[again]] = True
        unchanged = rows[kept & (states == "unchanged")]
        counts["failed before"] += int(done.is_failed(unchanged).sum())
    unique.check(images)
    num_deleted = int((~is_seen).sum())
    if prune:
        is_stale |= ~is_seen
    return Plan(
        images=todo,
        stale=done.group(np.flatnonzero(is_stale)),
        num_new=counts["new"],
        num_changed=counts["changed"],
        num_retried=counts["retried"],
        num_unchanged=counts["unchanged"],
        num_failed_before=counts["failed before"],
        num_deleted=num_deleted,
        num_pruned=num_deleted if prune else 0,
    )


def check_images(images: ImageSpool | Sequence[ImageRecord]) -> None:
    """Refuse two different images with one name or one id, before anything is written."""
    unique = _Unique()
    for chunk in _iterate_chunks(images):
        unique.add(chunk, compute_keys(image.file_name for image in chunk))
    unique.check(images)


class _Unique:
    """Finds different images with one name or one id.

    The first pass keeps 8 bytes per name and id, which show which repeat (or, rarely, collide); the
    second pass compares those few by their texts.
    """

    def __init__(self) -> None:
        self._names, self._ids = KeySet(), KeySet()
        self._repeated_names: set[str] = set()
        self._repeated_ids: set[int] = set()

    def add(self, chunk: Sequence[ImageRecord], keys: np.ndarray) -> np.ndarray:
        """Return (N,) bool: which images of a chunk have a name that did not occur before."""
        is_new = self._names.add(keys)
        for index in np.flatnonzero(~is_new).tolist():
            self._repeated_names.add(chunk[index].file_name)
        fresh = np.flatnonzero(is_new).tolist()
        ids = np.array([chunk[index].image_id for index in fresh], np.int64)
        for index in np.flatnonzero(~self._ids.add(ids.view(np.uint64))).tolist():
            self._repeated_ids.add(chunk[fresh[index]].image_id)
        return is_new

    def check(self, images: Iterable[ImageRecord]) -> None:
        """Refuse one name in different places, and one id of different names."""
        if not self._repeated_names and not self._repeated_ids:
            return
        places: dict[str, str] = {}
        owners: dict[int, str] = {}
        for image in images:
            name, place = image.file_name, str(image.path)
            if name in self._repeated_names and places.setdefault(name, place) != place:
                raise ConfigError(
                    f"two sources hold different images named '{name}' ({places[name]} and "
                    f"{place}); label them into two outputs, or give one folder above both"
                )
            number = image.image_id
            if number in self._repeated_ids and owners.setdefault(number, name) != name:
                raise ConfigError(
                    f"'{owners[number]}' and '{name}' have the same image id {number}; label the "
                    "two sources into two outputs"
                )


def _compare(
    chunk: Sequence[ImageRecord], rows: np.ndarray, done: DoneIndex, retry_failed: bool
) -> np.ndarray:
    """Return (N,) texts: "new", "changed", "retried" or "unchanged"."""
    states = np.full(len(chunk), "unchanged", "U9")
    states[rows < 0] = "new"
    known = np.flatnonzero(rows >= 0)
    if len(known):
        identities = compute_keys(chunk[index].identity for index in known.tolist())
        if retry_failed:
            states[known[done.is_failed(rows[known])]] = "retried"
        states[known[done.identities[rows[known]] != identities]] = "changed"
    return states


def _leave_out(images: Iterable[ImageRecord], folder: AnyPath | None) -> Iterator[ImageRecord]:
    """Yield the images that are not in a folder."""
    if folder is None:
        yield from images
        return
    # Path.absolute would keep "..".
    top = os.path.abspath(folder) if isinstance(folder, Path) else str(folder)  # noqa: PTH100
    inside = f"{top}{os.sep}"
    for image in images:
        path = image.path
        place = str(path.absolute() if isinstance(path, Path) else path)
        if not place.startswith(inside):
            yield image


def _iterate_chunks(images: Iterable[ImageRecord]) -> Iterator[list[ImageRecord]]:
    iterator = iter(images)
    while chunk := list(islice(iterator, CHUNK_IMAGES)):
        yield chunk
