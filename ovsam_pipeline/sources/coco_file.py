"""COCO and LVIS JSON files as sources: every entry of `images`, with its id, and where it lies.

Annotations are passed over one by one and never held; the entries are packed, 24 bytes each and
their names.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ovsam.coco_fields import to_id, to_side, to_text
from ovsam.coco_json import get_image_file_name, iterate_json
from ovsam.errors import explain_json
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.records import IMAGE_ID_BITS, ImageRecord, compute_image_id
from ovsam_pipeline.sources.image_root import (
    NUM_PROBES,
    NUM_REMOTE_PROBES,
    Reading,
    find_root,
    list_candidates,
)
from ovsam_pipeline.sources.left_out import LeftOut
from ovsam_pipeline.sources.place import Place, add_states, get_root, get_state
from ovsam_pipeline.sources.source import join_name, make_relative, make_unicode
from ovsam_pipeline.storage.remote_path import AnyPath
from ovsam_pipeline.storage.web_file import HttpFile

_START = re.compile(r"file://|[A-Za-z]:(?=[/\\])")


@dataclass(frozen=True)
class CocoFile:
    """The images of one JSON file, in its order."""

    text: str
    images: CocoImages

    where = "in"
    may_repeat = True

    @property
    def root(self) -> str:
        """The image root; see `Source.root`."""
        return get_root(self.images.root)

    def iterate(self, prefix: str, left_out: LeftOut) -> Iterator[ImageRecord]:  # noqa: ARG002
        """Yield the images, also those that are missing; see `Source.iterate`."""
        yield from add_states(self._iterate_records(prefix))

    def _iterate_records(self, prefix: str) -> Iterator[ImageRecord]:
        for index in range(len(self.images)):
            name, place = self.images.get_name(index), self.images.get_place(index)
            yield ImageRecord(
                self.images.get_id(index),
                make_unicode(join_name(prefix, name)),
                place,
                *get_state(place),
                *self.images.get_size(index),
            )


class CocoImages:
    """The entries of a file; `root` is what their names are relative to."""

    def __init__(self) -> None:
        self.root: Place = Path()
        self._reading = Reading()
        self.num_long_ids = 0  # that programs with 53 bits for a number round
        # Columns: ten million entries as objects would take 4 GB, these take 0.4.
        self._names = bytearray()
        self._ends = array("Q")
        self._ids = array("q")
        self._sizes = array("i")

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, name: str, image_id: int, width: int, height: int) -> None:
        """Add an entry; a size of 0 is unknown."""
        self._names += name.encode()
        self._ends.append(len(self._names))
        self._ids.append(image_id)
        self._sizes.extend((width, height))

    def find_root(self, path: Place, candidates: Sequence[AnyPath]) -> None:
        """Choose where the images are, and how their names are read there; see `image_root.py`."""
        most = NUM_PROBES if isinstance(candidates[0], Path) else NUM_REMOTE_PROBES
        probes = [self.get_name(index) for index in range(min(most, len(self)))]
        root = find_root(path, probes, candidates, self.stay_different)
        self.root, self._reading = root.folder, root.reading

    def get_name(self, index: int) -> str:
        """Return the name of an entry: relative, with "/", without ".."."""
        start = self._ends[index - 1] if index else 0
        return self._names[start : self._ends[index]].decode()

    def get_place(self, index: int) -> Place:
        """Return where the image of an entry is, or should be."""
        return self.root / self._reading.apply(self.get_name(index))

    def stay_different(self, reading: Reading) -> bool:
        """Return whether different names are different paths in a reading."""
        ids = (np.fromiter(self._iterate_ids(way), np.int64) for way in (Reading(), reading))
        num_names, num_paths = (len(np.unique(numbers)) for numbers in ids)
        return num_names == num_paths

    def _iterate_ids(self, reading: Reading) -> Iterator[int]:
        names = (self.get_name(index) for index in range(len(self)))
        return (compute_image_id(reading.apply(name)) for name in names)

    def get_id(self, index: int) -> int:
        """Return the id of an entry."""
        return self._ids[index]

    def get_size(self, index: int) -> tuple[int | None, int | None]:
        """Return width and height of an entry in pixels, None where the file does not give them."""
        return self._sizes[2 * index] or None, self._sizes[2 * index + 1] or None

    def find_repeated_id(self) -> tuple[int, int] | None:
        """Return the first two entries that have one id, or None."""
        ids = np.frombuffer(self._ids, np.int64) if self._ids else np.empty(0, np.int64)
        # Sorted, not in a set: 16 bytes per id for a moment instead of 70.
        order = np.argsort(ids, kind="stable")
        equal = np.flatnonzero(ids[order[1:]] == ids[order[:-1]])
        if not len(equal):
            return None
        return int(order[equal[0]]), int(order[equal[0] + 1])


def read_coco_images(path: Place, image_root: Place | None) -> CocoImages:
    """Read the image entries of a COCO or LVIS file, in its order.

    Names are relative to `image_root`; None looks where `image_root.py` says. A web address is not
    looked at. Images that do not exist are in the list all the same, as long as some exist.
    """
    images = CocoImages()
    with explain_json(path, SourceError):
        _add_entries(path, images)
    if repeated := images.find_repeated_id():
        first, second = repeated
        raise SourceError(
            f"expected different image ids in {path}, got {images.get_id(first)} for "
            f"{images.get_name(first)} and for {images.get_name(second)}"
        )
    if isinstance(image_root, HttpFile):
        images.root = image_root
    elif image_root is not None:
        images.find_root(path, [image_root])
    elif isinstance(path, HttpFile):
        images.root = path.parent
    else:
        images.find_root(path, list_candidates(path))
    return images


def _add_entries(path: Place, images: CocoImages) -> None:
    has_images, index = False, 0
    for key, value in iterate_json(path):
        if key == "":
            raise SourceError(
                f"expected a COCO data set with a list of images, got a list in {path}: "
                "results are read by `--detector boxes:FILE`, beside a source of images"
            )
        has_images = has_images or (key == "images" and value == [])
        if key == "images[]":
            _add_entry(path, index, value, images)
            index += 1
    if not has_images:
        raise SourceError(f'expected a COCO data set in {path}, got JSON without an "images" list')


def _clean_name(name: str) -> str:
    """Return a name as a relative one with "/", whatever system wrote it; an address as it is."""
    if name.startswith(("http://", "https://")):
        return name
    return make_relative(_START.sub("", name).replace("\\", "/"))


def _add_entry(path: Place, index: int, image: Any, images: CocoImages) -> None:
    given = get_image_file_name(image)[0] if isinstance(image, dict) else None
    name = _clean_name(to_text(given) or "")
    if not name:
        raise SourceError(
            f"expected file_name or coco_url in images[{index}] of {path}, "
            f"got {json.dumps(image)[:80]}"
        )
    image_id = to_id(image.get("id"))
    if image_id is None:
        raise SourceError(
            f"expected a whole number or a text as id in images[{index}] of {path}, got "
            f"{json.dumps(image.get('id'))[:80]}"
        )
    images.num_long_ids += abs(image_id) >= 1 << IMAGE_ID_BITS
    width, height = (to_side(image.get(side)) or 0 for side in ("width", "height"))
    images.add(name, image_id, width, height)
