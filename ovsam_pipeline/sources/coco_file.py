"""COCO and LVIS JSON files as sources: every entry of `images`, with its id, and where it lies.

Annotations are passed over one by one and never held; the entries are packed, 24 bytes each and
their names.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ovsam.coco_json import get_image_file_name, iterate_json
from ovsam.errors import explain_json
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.left_out import LeftOut
from ovsam_pipeline.sources.place import Place, add_states, get_root, get_state
from ovsam_pipeline.sources.source import join_name, make_unicode
from ovsam_pipeline.storage.remote_path import AnyPath
from ovsam_pipeline.storage.web_file import HttpFile

# The first images are looked for in each folder around the file; one parent may be a home folder
# with thousands of others.
_NUM_PROBES = 20
_MAX_FOLDERS = 500
# On an object store each look is a request.
_NUM_REMOTE_PROBES = 3
_MAX_REMOTE_FOLDERS = 20


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
        self.are_from_urls = False  # LVIS names images by URL alone
        self._with_base_names = False
        # Columns: ten million entries as objects would take 4 GB, these take 0.4.
        self._names = bytearray()
        self._ends = array("Q")
        self._ids = array("q")
        self._sizes = array("i")

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, name: str, image_id: int, width: int, height: int) -> None:
        """Add an entry; a size of 0 is unknown."""
        # JSON can hold half of a surrogate pair ("\ud800"), which plain UTF-8 refuses.
        self._names += name.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._names))
        self._ids.append(image_id)
        self._sizes.extend((width, height))

    def set_root(self, root: Place, with_base_names: bool) -> None:
        """Set where the images are: below `root`, by name or by the last part of it."""
        self.root, self._with_base_names = root, with_base_names

    def get_name(self, index: int) -> str:
        """Return the name of an entry, as in the file."""
        start = self._ends[index - 1] if index else 0
        return self._names[start : self._ends[index]].decode("utf-8", "surrogatepass")

    def get_place(self, index: int) -> Place:
        """Return where the image of an entry is, or should be."""
        name = self.get_name(index)
        return self.root / (PurePosixPath(name).name if self._with_base_names else name)

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

    Names are relative to `image_root`; None looks beside the file, in the folder above it, in the
    folders directly in those two, and in those of their `images`. A web address is not looked at.
    Images that do not exist are in the list all the same, as long as some exist.
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
        images.set_root(image_root, with_base_names=False)
    elif image_root is not None:
        images.set_root(*_find_root(path, images, [image_root]))
    elif isinstance(path, HttpFile):
        images.set_root(path.parent, with_base_names=False)
    else:
        images.set_root(*_find_root(path, images, _list_candidates(path)))
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


def _add_entry(path: Place, index: int, image: Any, images: CocoImages) -> None:
    name, is_from_url = get_image_file_name(image) if isinstance(image, dict) else (None, False)
    if name is None:
        raise SourceError(
            f"expected file_name or coco_url in images[{index}] of {path}, "
            f"got {json.dumps(image)[:80]}"
        )
    image_id = image.get("id")
    # 64 bits: what Parquet's column of ids holds. True is an int in Python.
    if not isinstance(image_id, int) or isinstance(image_id, bool) or abs(image_id) >= 1 << 63:
        raise SourceError(
            f"expected a whole number as id in images[{index}] of {path}, got {image_id!r}"
        )
    images.add(name, image_id, _to_size(image.get("width")), _to_size(image.get("height")))
    images.are_from_urls = images.are_from_urls or is_from_url


def _to_size(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < 1 << 31 else 0


def _list_candidates(path: AnyPath) -> list[AnyPath]:
    above = path.parent.absolute().parent if isinstance(path, Path) else path.parent.parent
    near = [path.parent, above]
    parents = [*near, *(folder / "images" for folder in near)]
    inside = [folder for parent in parents for folder in _list_folders(parent)]
    # The nearest first: the first folder that has all probes is taken.
    return [*near, *inside]


def _list_folders(parent: AnyPath) -> list[AnyPath]:
    try:
        folders = [path for path in parent.iterdir() if path.name[0] != "." and path.is_dir()]
    except OSError:  # a neighbour that cannot be read does not hold the images
        return []
    most = _MAX_FOLDERS if isinstance(parent, Path) else _MAX_REMOTE_FOLDERS
    return sorted(folders, key=str)[:most]


def _find_root(path: Place, images: CocoImages, candidates: list[AnyPath]) -> tuple[AnyPath, bool]:
    """Return the candidate that holds most of the first images, and whether by base names alone.

    LVIS names images as "train2017/1.jpg"; many keep the images of all its splits in one folder.
    """
    most = _NUM_PROBES if isinstance(candidates[0], Path) else _NUM_REMOTE_PROBES
    probes = [images.get_name(index) for index in range(min(most, len(images)))]
    best, best_hits = (candidates[0], False), 0
    for folder in candidates:
        for with_base_names in (False, True)[: 1 + images.are_from_urls]:
            names = [PurePosixPath(name).name if with_base_names else name for name in probes]
            hits = sum(_exists(folder / name) for name in names)
            if hits > best_hits:
                best, best_hits = (folder, with_base_names), hits
        if probes and best_hits == len(probes):
            break
    if probes and not best_hits:
        looked = str(candidates[0]) if len(candidates) == 1 else f"{candidates[0]} and around it"
        raise SourceError(
            f"expected the images of {path} in {looked}, found none of the first {len(probes)} "
            f"(such as {probes[0]}): name their folder with --image-root"
        )
    return best


def _exists(path: AnyPath) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
