"""Opened sources → ImageRecords: names that never collide, ids, and every file once.

The order is deterministic. With one source names are relative to it, with several to the deepest
folder that holds them all; what lies elsewhere has its whole address as name. Nothing is decoded
here, and a file that is missing or broken is still listed: it becomes a failed row with its reason.
Memory: one folder's names, and 9 bytes an image where an image may come twice.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.records import ImageRecord, compute_image_id
from ovsam_pipeline.sources.braces import expand_braces
from ovsam_pipeline.sources.containers import CONTAINER_SUFFIXES
from ovsam_pipeline.sources.entry import Entry, Source, is_uri, normalise
from ovsam_pipeline.sources.key_set import KeySet
from ovsam_pipeline.sources.opening import open_image_root, open_source
from ovsam_pipeline.storage.remote_path import RemotePath

_CHUNK = 16_384


def list_images(
    sources: Sequence[str | Path],
    *,
    image_root: Path | str | None = None,
    exclude: Sequence[Path | RemotePath] = (),
) -> ImageListing:
    """Open the sources; iterating the result gives the records.

    Args:
        sources: folders, files, globs, list files, COCO or LVIS JSON files, archives, Parquet
            files, here or at an address, in any mixture; braces are expanded.
        image_root: the folder or address that the names in COCO JSON files are relative to; without
            it they are looked for beside the file and in the folders around it.
        exclude: folders that a walk must not enter: the output, where it lies in the input.

    Raises:
        SourceError: a source does not exist, cannot be read, matches nothing, or is not what its
            suffix says.
    """
    if not sources:
        raise SourceError("expected at least one source (folder, file, glob, list, JSON), got none")
    root = open_image_root(image_root)
    texts = [text for source in sources for text in _expand(str(source))]
    return ImageListing(tuple(open_source(text, root, exclude) for text in texts))


def _expand(text: str) -> list[str]:
    """Expand braces, but for a file that has them in its name."""
    if "{" not in text or (not is_uri(text) and os.path.lexists(text)):
        return [text]
    return expand_braces(text)


class ImageListing:
    """The images of some sources; may be iterated several times, and then reads the folders anew.

    Attributes:
        sources: as opened, braces expanded.
        num_ignored: suffix ("" for none) → files that the last iteration passed over in folders
            and globs, as not being images by their suffix. Hidden files are not counted.
        num_duplicates: files that the last iteration met again and left out.
    """

    def __init__(self, sources: tuple[Source, ...]) -> None:
        self.sources = sources
        self.num_ignored: Counter[str] = Counter()
        self.num_duplicates = 0
        self._num_met = 0

    def __iter__(self) -> Iterator[ImageRecord]:
        """Yield the records, source by source; constant memory for a single folder.

        Raises:
            SourceError: a folder cannot be read, a source holds no image, or two images of JSON
                files have the same id. It comes where it is met, so list everything before writing.
        """
        self.num_ignored.clear()
        self.num_duplicates = 0
        prefixes = _compute_prefixes([source.root for source in self.sources])
        may_repeat = len(self.sources) > 1 or self.sources[0].may_repeat
        places, ids = (KeySet(), KeySet()) if may_repeat else (None, None)
        for index, (source, prefix) in enumerate(zip(self.sources, prefixes, strict=True)):
            self._num_met = 0
            entries = source.iterate(self.num_ignored)
            if places is not None and ids is not None:
                entries = self._check_chunks(entries, places, ids, index)
            for entry in entries:
                self._num_met += places is None
                yield _make_record(entry, prefix)
            if not self._num_met:
                raise SourceError(self._describe_empty(source))

    def describe_ignored(self) -> str:
        """Return e.g. "12 other files passed over (10 .txt, 2 .json)"; "" when there were none."""
        total = self.num_ignored.total()
        if not total:
            return ""
        kinds = [f"{count} {suffix or 'without suffix'}" for suffix, count in self._common()]
        sentence = f"{total} other file{'s' * (total > 1)} passed over ({', '.join(kinds)})"
        held = [suffix for suffix in CONTAINER_SUFFIXES if self.num_ignored[suffix]]
        if held:
            sentence += f"; images in {' and '.join(held)} files are read where these are named"
        return sentence

    def _common(self) -> list[tuple[str, int]]:
        return sorted(self.num_ignored.items(), key=lambda item: (-item[1], item[0]))[:8]

    def _check_chunks(
        self, entries: Iterator[Entry], places: KeySet, ids: KeySet, index: int
    ) -> Iterator[Entry]:
        """Drop what was listed before, and refuse a COCO id that another image has."""
        while chunk := list(islice(entries, _CHUNK)):
            self._num_met += len(chunk)
            is_new = places.add(_compute_place_keys(chunk)).tolist()
            kept = [entry for entry, is_first in zip(chunk, is_new, strict=True) if is_first]
            self.num_duplicates += len(chunk) - len(kept)
            self._claim_ids(kept, ids, index)
            yield from kept

    def _claim_ids(self, kept: list[Entry], ids: KeySet, index: int) -> None:
        numbered = [entry for entry in kept if entry.image_id is not None]
        if not numbered:
            return
        numbers = np.array([entry.image_id for entry in numbered], np.int64)
        is_new = ids.add(numbers.view(np.uint64))
        if is_new.all():
            return
        repeated = numbered[int(np.flatnonzero(~is_new)[0])]
        # The ids alone are kept: whose the first one was takes another look.
        prefixes = _compute_prefixes([source.root for source in self.sources])
        owner = next(
            _name_entry(entry, prefix)
            for source, prefix in zip(self.sources, prefixes, strict=True)
            for entry in source.iterate(Counter())
            if entry.image_id == repeated.image_id
        )
        raise SourceError(
            f"expected different image ids, got {repeated.image_id} for {owner} and for "
            f"{_name_entry(repeated, prefixes[index])} of {self.sources[index].text}: label the "
            "files in separate runs"
        )

    def _describe_empty(self, source: Source) -> str:
        others = self.describe_ignored()
        held = f"; {others}" if others else ""
        return (
            f"expected images (.jpg, .png, .webp, …) {source.where} {source.text}, found none{held}"
        )


def _compute_place_keys(entries: list[Entry]) -> np.ndarray:
    """Return 64 bits for each place: (N,) uint64."""
    texts = (
        normalise(entry.place) if isinstance(entry.place, str | Path) else str(entry.place)
        for entry in entries
    )
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
    local = [root for root in roots if not is_uri(root)]
    remote = [root for root in roots if is_uri(root)]
    common_local = os.path.commonpath(local) if local else ""
    common_remote = _find_common_address(remote) if not local else ""
    return [_make_prefix(root, common_remote if is_uri(root) else common_local) for root in roots]


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
    return "/".join(common) if len(common) >= 3 else ""


def _make_record(entry: Entry, prefix: str) -> ImageRecord:
    place, _, size_bytes, mtime_ns, version, image_id, width, height = entry
    name = _name_entry(entry, prefix)
    return ImageRecord(
        compute_image_id(name) if image_id is None else image_id,
        name,
        Path(place) if isinstance(place, str) else place,
        size_bytes,
        mtime_ns,
        width,
        height,
        version,
    )


def _name_entry(entry: Entry, prefix: str) -> str:
    name = entry.name
    if prefix and not name.startswith("/") and not is_uri(name):
        name = prefix + name
    # Bytes of a name that are not UTF-8 are escaped: Parquet and JSON take only Unicode.
    return (
        name
        if name.isascii()
        else name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    )
