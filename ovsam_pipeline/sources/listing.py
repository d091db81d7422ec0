"""Opened sources → ImageRecords: names that never collide, ids, and every file once.

The order is deterministic. With one source names are relative to it, with several to the deepest
folder that holds them all; what lies elsewhere has its whole address as name. Nothing is decoded
here, and a file that is missing or broken is still listed: it becomes a failed row with its reason.
Memory: the names of one folder, and 9 bytes per image where an image may come twice.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.coco_file import CocoFile
from ovsam_pipeline.sources.containers import CONTAINER_SUFFIXES
from ovsam_pipeline.sources.key_set import KeySet
from ovsam_pipeline.sources.left_out import LeftOut, get_suffix
from ovsam_pipeline.sources.opening import open_image_root, open_source
from ovsam_pipeline.sources.patterns import expand_braces, split_existing
from ovsam_pipeline.sources.place import get_root, normalise, parse_place
from ovsam_pipeline.sources.source import Source
from ovsam_pipeline.sources.tree import File
from ovsam_pipeline.storage.remote_path import AnyPath, is_remote

# Of keys looked up at once: numpy's share of the time is then small, and so is the chunk.
_CHUNK = 16_384


def list_images(
    sources: Sequence[str | Path],
    *,
    image_root: Path | str | None = None,
    exclude: Sequence[str] = (),
    outputs: Sequence[AnyPath] = (),
) -> ImageListing:
    """Open the sources, of any kind and in any mixture; iterating the result gives the records.

    `image_root` is the folder or address that the names in COCO JSON files are relative to; without
    it they are looked for next to the file and around it. `exclude` are globs of names to leave out
    (see `left_out.py`), `outputs` folders that a walk must not enter: they may lie in the input.
    """
    if not sources:
        raise SourceError("expected at least one source (folder, file, glob, list, JSON), got none")
    root = open_image_root(image_root)
    texts = [text for source in sources for text in _expand(str(source))]
    opened = tuple(open_source(text, root, outputs) for text in texts)
    return ImageListing(opened, LeftOut(exclude))


def _identify(source: Source) -> str:
    """Return what the user named, the same however it was written; for an image file its folder.

    So images that a shell listed one by one are those of their folder.
    """
    place = get_root(parse_place(source.text))
    is_image = isinstance(source, File) and get_suffix(place) not in CONTAINER_SUFFIXES
    return source.root if is_image else place


def _expand(text: str) -> list[str]:
    """Expand braces, but for those in the name of a file or folder that exists."""
    folder, rest = split_existing(text)
    return [folder + name for name in expand_braces(rest)]


class ImageListing:
    """The images of some sources; each iteration reads the folders anew.

    Of the last iteration: `left_out` counts what is not listed, `num_duplicates` the files that
    were met again.
    """

    def __init__(self, sources: tuple[Source, ...], left_out: LeftOut) -> None:
        self.sources = sources
        self.left_out = left_out
        self.num_duplicates = 0
        self._prefixes = _compute_prefixes([source.root for source in sources])
        self._num_met = 0

    def __iter__(self) -> Iterator[ImageRecord]:
        """Yield the records, source by source; constant memory for a single folder."""
        self.left_out = LeftOut(self.left_out.exclude)
        self.num_duplicates = 0
        # A single folder lists each file once: the millions of keys of a large one are spared.
        may_repeat = len(self.sources) > 1 or self.sources[0].may_repeat
        places, ids = (KeySet(), KeySet()) if may_repeat else (None, None)
        for index, (source, prefix) in enumerate(zip(self.sources, self._prefixes, strict=True)):
            self._num_met = 0
            num_chosen = self.left_out.num_chosen
            records = self._leave_out(source.iterate(prefix, self.left_out))
            name = _identify(source)
            records = (replace(record, source=name) for record in records)
            if places is not None and ids is not None:
                records = self._check_chunks(records, places, ids, index)
            for record in records:
                # With keys, images are counted before duplicates are dropped: a source whose images
                # were all listed before is not an empty one.
                self._num_met += places is None
                yield record
            # One of several folders may hold nothing but what is left out on purpose.
            is_wanted = self.left_out.num_chosen == num_chosen or len(self.sources) == 1
            if not self._num_met and is_wanted:
                raise SourceError(self._describe_empty(source))

    def describe_left_out(self) -> list[str]:
        """Return a sentence about each kind of what is not listed: "12 other files passed …"."""
        sentences = self.left_out.describe()
        held = [suffix for suffix in CONTAINER_SUFFIXES if self.left_out.files[suffix]]
        if held:
            sentences[0] += f"; images in {' and '.join(held)} files are read where these are named"
        return sentences

    @property
    def image_roots(self) -> dict[str, str]:
        """Where the images of each JSON file lie, by the source's text."""
        return {source.text: source.root for source in self.sources if isinstance(source, CocoFile)}

    def _leave_out(self, records: Iterator[ImageRecord]) -> Iterator[ImageRecord]:
        """Leave out what `--exclude` names and no walk has left out already."""
        left_out = self.left_out
        if not left_out.exclude:
            return records
        return (record for record in records if not left_out.is_excluded(record.file_name))

    def _check_chunks(
        self, records: Iterator[ImageRecord], places: KeySet, ids: KeySet, index: int
    ) -> Iterator[ImageRecord]:
        """Drop what was listed before, and refuse a COCO id that another image has."""
        while chunk := list(islice(records, _CHUNK)):
            self._num_met += len(chunk)
            is_new = places.add(_compute_place_keys(chunk)).tolist()
            kept = [record for record, is_first in zip(chunk, is_new, strict=True) if is_first]
            self.num_duplicates += len(chunk) - len(kept)
            if isinstance(self.sources[index], CocoFile):
                self._claim_ids(kept, ids, index)
            yield from kept

    def _claim_ids(self, kept: list[ImageRecord], ids: KeySet, index: int) -> None:
        numbers = np.array([record.image_id for record in kept], np.int64)
        is_new = ids.add(numbers.view(np.uint64))
        if is_new.all():
            return
        repeated = kept[int(np.flatnonzero(~is_new)[0])]
        # Only the ids are kept in memory: which image had this one first takes another look.
        owner = next(
            record.file_name
            for source, prefix in zip(self.sources, self._prefixes, strict=True)
            if isinstance(source, CocoFile)
            for record in source.iterate(prefix, LeftOut())
            if record.image_id == repeated.image_id
        )
        raise SourceError(
            f"expected different image ids, got {repeated.image_id} for {owner} and for "
            f"{repeated.file_name} of {self.sources[index].text}: label the files in separate runs"
        )

    def _describe_empty(self, source: Source) -> str:
        others = [*self.describe_left_out(), self.left_out.describe_unreadable()]
        return "; ".join(
            [
                f"expected images (.jpg, .png, .webp, …) {source.where} {source.text}, found none",
                *filter(None, others),
            ]
        )


def _compute_place_keys(records: list[ImageRecord]) -> np.ndarray:
    """Return 64 bits for each place: (N,) uint64.

    Among ten million images two places share their bits once in 370,000 runs (n² / 2⁶⁵).
    """
    places = (record.path for record in records)
    texts = (normalise(place) if isinstance(place, Path) else str(place) for place in places)
    digests = [
        hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        for text in texts
    ]
    return np.frombuffer(b"".join(digests), np.uint64)


def _compute_prefixes(roots: list[str]) -> list[str]:
    """Return what makes the names of each source unique: its root relative to the common folder.

    Where some roots are addresses that share no bucket or host, these are the whole address.
    """
    if len(roots) == 1:
        return [""]
    local = [root for root in roots if not is_remote(root)]
    remote = [root for root in roots if is_remote(root)]
    common_local = os.path.commonpath(local) if local else ""
    # Beside a local folder an address has no folder in common with all: it is named in full.
    common_remote = _find_common_address(remote) if not local else ""
    return [
        _make_prefix(root, common_remote if is_remote(root) else common_local) for root in roots
    ]


def _make_prefix(root: str, common: str) -> str:
    if root == common:
        return ""
    inside = common.rstrip("/") + "/"
    return (root.removeprefix(inside) if common else root) + "/"


def _find_common_address(roots: list[str]) -> str:
    """Return the deepest folder of addresses: at least scheme and host or bucket, else ""."""
    parts = [root.split("/") for root in roots]
    common = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        common.append(level[0])
    return "/".join(common) if len(common) >= 3 else ""  # "s3:", "", "bucket"
