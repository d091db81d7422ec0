"""What is left to do: the listed images against the rows that exist.

Input: image records as listed now, in a spool, and the `DoneIndex` of the output folder. Output: a
`Plan`. Both sides may be ten million long: images are compared a chunk at a time, and a few bytes
are kept per image. Nothing here touches the output.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from ovsam_pipeline.outcomes import count_are
from ovsam_pipeline.output.done_index import DoneIndex, compute_keys
from ovsam_pipeline.output.folder import PREVIEW_FOLDER
from ovsam_pipeline.output.image_ids import ReadId, UniqueImages
from ovsam_pipeline.output.origins import OriginCheck, find_emptied_folders
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.spool import CHUNK_IMAGES, ImageSpool
from ovsam_pipeline.storage.remote_path import AnyPath

ReadNames = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class Plan:
    """What a run has to do, and what it leaves alone.

    Attributes:
        images: the images to label, in listing order.
        stale: rows to remove before that, part → (K,) positions: their images changed, are retried,
            or are pruned.
        num_new: images without a row.
        num_changed: images whose file changed since they were labelled.
        num_retried: images that failed before and are retried: those that failed for a reason that
            is not their own, and with `retry_failed` all.
        num_unchanged: images that keep their row, failed ones included.
        num_failed_before: failed rows among the unchanged.
        num_vanished: images among the unchanged that a list names and that are not there now.
        num_deleted: rows whose image is no longer in the sources.
        num_pruned: how many of these rows are removed: with `prune` all but those of folders that
            are empty now, else none.
        notes: what else a user should know of rows of other folders and sources.
        warnings: the same, of rows that `prune` left alone.
    """

    images: ImageSpool
    stale: Mapping[str, np.ndarray] = field(default_factory=dict)
    num_new: int = 0
    num_changed: int = 0
    num_retried: int = 0
    num_unchanged: int = 0
    num_failed_before: int = 0
    num_vanished: int = 0
    num_deleted: int = 0
    num_pruned: int = 0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def num_listed(self) -> int:
        """Number of images in the sources."""
        return len(self.images) + self.num_unchanged

    @property
    def num_labelled_before(self) -> int:
        """Number of images that keep a row which did not fail."""
        return self.num_unchanged - self.num_failed_before

    @property
    def is_only_again(self) -> bool:
        """Whether only images are to label that failed before, beside others that did not."""
        return self.num_new + self.num_changed == 0 < self.num_labelled_before


def _read_nothing(part: str, position: int) -> int:
    raise AssertionError(f"no row was to be read, got {position} of {part}")


def _read_no_names(part: str) -> Sequence[str]:
    raise AssertionError(f"no names were to be read, got those of {part}")


def plan_run(
    images: ImageSpool | Sequence[ImageRecord],
    done: DoneIndex,
    *,
    retry_failed: bool = False,
    prune: bool = False,
    output: AnyPath | None = None,
    read_id: ReadId = _read_nothing,
    read_names: ReadNames = _read_no_names,
) -> Plan:
    """Compare the images, as listed now, with the rows that exist; a file listed twice counts once.

    Images whose row failed for a reason that is not theirs are labelled again, and with
    `retry_failed` all whose row failed. `prune` removes the rows of images that the present sources
    do not list any more: a source that cannot be read has raised before, so they are gone; but not
    of a folder that holds no image any more, as a disk that is not mounted looks like that. Images
    in the preview folder of `output`, which ovsam drew, are left out. `read_id` reads the id of a
    row, where two images have one id by chance (`image_ids.py`), `read_names` the file names of a
    part.

    Raises:
        ConfigError: two different images have one name or one given id, or images have the names of
            rows that were made from others (`origins.py`).
    """
    unique, origins = UniqueImages(done), OriginCheck(done)
    todo, counts = ImageSpool(), Counter[str]()
    is_seen, is_stale = np.zeros(len(done), bool), np.zeros(len(done), bool)
    for chunk in _iterate_chunks(_leave_out(images, output)):
        keys = compute_keys(image.file_name for image in chunk)
        kept = unique.add(chunk, keys)
        rows = done.find(keys)
        is_seen[rows[rows >= 0]] = True
        states = _compare(chunk, rows, done, retry_failed)
        # Of what is not there nothing tells whether it is the same.
        origins.add(chunk, np.where(states == "vanished", -1, rows), states == "changed")
        counts.update(states[kept].tolist())
        is_todo = kept & np.isin(states, ("new", "changed", "retried"))
        for index in np.flatnonzero(is_todo).tolist():
            todo.append(chunk[index])
        again = kept & np.isin(states, ("changed", "retried"))
        is_stale[rows[again]] = True
        unchanged = rows[kept & np.isin(states, ("unchanged", "vanished"))]
        counts["failed before"] += int(done.is_failed(unchanged).sum())
    settled = unique.settle(images, read_id)
    if settled:
        todo = ImageSpool(
            replace(image, image_id=settled.get(image.file_name, image.image_id)) for image in todo
        )
    origins.refuse_others(output or "the output")
    is_present = origins.find_present()
    gone = np.flatnonzero(~is_seen & is_present)
    pruned, warnings = gone[:0], []
    if prune and len(gone):
        is_kept, folders = find_emptied_folders(done, gone, images, read_names)
        pruned = gone[~is_kept]
        is_stale[pruned] = True
        warnings = [_describe_emptied(folder, count) for folder, count in folders.items()]
    return Plan(
        images=todo,
        stale=done.group(np.flatnonzero(is_stale)),
        num_new=counts["new"],
        num_changed=counts["changed"],
        num_retried=counts["retried"],
        num_unchanged=counts["unchanged"] + counts["vanished"],
        num_failed_before=counts["failed before"],
        num_vanished=counts["vanished"],
        num_deleted=len(gone),
        num_pruned=len(pruned),
        notes=tuple(origins.describe(~is_seen & ~is_present)),
        warnings=tuple(warnings),
    )


def _describe_emptied(folder: str, count: int) -> str:
    return (
        f"{folder} holds no image any more: {count_are(count, 'row')} kept, as a disk that is not "
        "mounted looks like that; remove the folder, and --prune removes them"
    )


def check_images(images: ImageSpool | Sequence[ImageRecord]) -> None:
    """Refuse two different images with one name or one given id, before anything is written."""
    unique = UniqueImages()
    for chunk in _iterate_chunks(images):
        unique.add(chunk, compute_keys(image.file_name for image in chunk))
    unique.settle(images, _read_nothing)


def _compare(
    chunk: Sequence[ImageRecord], rows: np.ndarray, done: DoneIndex, retry_failed: bool
) -> np.ndarray:
    """Return (N,) texts: "new", "changed", "retried", "vanished" or "unchanged".

    A file that is not there now, as on a disk that is not mounted, did not change: its row would be
    lost for nothing.
    """
    states = np.full(len(chunk), "unchanged", "U9")
    states[rows < 0] = "new"
    known = np.flatnonzero(rows >= 0)
    if len(known):
        identities = compute_keys(chunk[index].identity for index in known.tolist())
        is_due = done.is_failed(rows[known]) if retry_failed else done.is_transient(rows[known])
        is_other = done.identities[rows[known]] != identities
        is_there = np.array([has_state(chunk[index]) for index in known.tolist()], bool)
        states[known[is_other & ~is_there]] = "vanished"
        states[known[is_due]] = "retried"
        states[known[is_other & is_there]] = "changed"
    return states


def has_state(image: ImageRecord) -> bool:
    """Whether the file could be looked at when it was listed; web files never can."""
    return image.version is not None or (image.size_bytes, image.mtime_ns) != (-1, 0)


def _leave_out(images: Iterable[ImageRecord], output: AnyPath | None) -> Iterator[ImageRecord]:
    """Yield the images that are no previews of an output."""
    if output is None:
        yield from images
        return
    folder = output / PREVIEW_FOLDER
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
