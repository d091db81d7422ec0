"""The images of a COCO or LVIS JSON file, and the folder that they lie in.

Input: the JSON file. Output: the image root, and place, name, id and size of each entry, packed.
Annotations are passed over one by one and never held.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from ovsam.coco_json import get_image_file_name, iterate_json
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.storage.remote_path import RemotePath
from ovsam_pipeline.storage.web_file import HttpFile

_NUM_PROBES = 20
_MAX_FOLDERS = 500
# A look at an object store is a request.
_NUM_REMOTE_PROBES = 3
_MAX_REMOTE_FOLDERS = 20

ImageRoot = Path | RemotePath | HttpFile
"""What names are relative to: a folder, a prefix of an object store, or a web address."""


class CocoImage(NamedTuple):
    """One entry of the `images` list, with the place resolved."""

    path: ImageRoot
    name: str
    image_id: int
    width: int | None
    height: int | None


class _Named(NamedTuple):
    """An entry before its folder is known; `is_from_url`: LVIS, named by its URL."""

    name: str
    is_from_url: bool
    image_id: int
    width: int | None
    height: int | None


class CocoImages(Sequence[CocoImage]):
    """The entries of a file in its order: 24 bytes each and their names, instead of 400.

    Attributes:
        root: what the names are relative to.
    """

    def __init__(self, entries: Iterator[_Named]) -> None:
        self.root: ImageRoot = Path()
        self.are_from_urls = False
        self._with_base_names = False
        self._names = bytearray()
        self._ends = array("Q")
        self._ids = array("q")
        self._sizes = array("i")
        for entry in entries:
            self._names += entry.name.encode("utf-8", "surrogatepass")
            self._ends.append(len(self._names))
            self._ids.append(entry.image_id)
            self._sizes.extend((entry.width or 0, entry.height or 0))
            self.are_from_urls = self.are_from_urls or entry.is_from_url

    def place(self, root: ImageRoot, with_base_names: bool) -> None:
        """Say where the images are: below `root`, by name or by the last part of it."""
        self.root, self._with_base_names = root, with_base_names

    def get_name(self, index: int) -> str:
        """Return the name of an entry, as the file says."""
        start = self._ends[index - 1] if index else 0
        return self._names[start : self._ends[index]].decode("utf-8", "surrogatepass")

    def find_repeated_id(self) -> tuple[int, int] | None:
        """Return the first two entries that have one id, or None."""
        ids = np.frombuffer(self._ids, np.int64) if self._ids else np.empty(0, np.int64)
        order = np.argsort(ids, kind="stable")
        equal = np.flatnonzero(ids[order[1:]] == ids[order[:-1]])
        if not len(equal):
            return None
        return int(order[equal[0]]), int(order[equal[0] + 1])

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> CocoImage:  # type: ignore[override]  # never sliced
        if not 0 <= index < len(self):
            raise IndexError(index)
        name = self.get_name(index)
        place = PurePosixPath(name).name if self._with_base_names else name
        width, height = self._sizes[2 * index], self._sizes[2 * index + 1]
        return CocoImage(self.root / place, name, self._ids[index], width or None, height or None)


def read_coco_images(path: ImageRoot, image_root: ImageRoot | None) -> tuple[ImageRoot, CocoImages]:
    """Read the image entries of a COCO or LVIS file.

    Args:
        path: the JSON file.
        image_root: what the names are relative to; None looks beside the file, in the folder above
            it, in the folders directly in those two, and in those of their `images`. A web address
            is not looked at.

    Returns:
        The image root and the entries in the order of the file. Images that are not there are in
        the list all the same, as long as some are.

    Raises:
        SourceError: not JSON, not a COCO data set, an entry without a whole-number id or a name, a
            repeated id, or none of the first images is where it should be.
    """
    images = CocoImages(_iterate_entries(path))
    if repeated := images.find_repeated_id():
        first, second = repeated
        raise SourceError(
            f"expected different image ids in {path}, got {images[first].image_id} for "
            f"{images.get_name(first)} and for {images.get_name(second)}"
        )
    if isinstance(image_root, HttpFile):
        images.place(image_root, with_base_names=False)
    elif image_root is not None:
        images.place(*_find_root(path, images, [image_root]))
    elif isinstance(path, HttpFile):
        images.place(path.parent, with_base_names=False)
    else:
        images.place(*_find_root(path, images, _list_candidates(path)))
    return images.root, images


def _iterate_entries(path: ImageRoot) -> Iterator[_Named]:
    has_images, index = False, 0
    try:
        for key, value in iterate_json(path):
            if key == "":
                raise SourceError(
                    f"expected a COCO data set with a list of images, got a list in {path}: "
                    "results are read by `--detector boxes:FILE`, beside a source of images"
                )
            has_images = has_images or (key == "images" and value == [])
            if key == "images[]":
                yield _parse_entry(path, index, value)
                index += 1
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error
    except SourceError:
        raise
    except ValueError as error:
        raise SourceError(f"expected JSON in {path}, got {error}") from error
    if not has_images:
        raise SourceError(f'expected a COCO data set in {path}, got JSON without an "images" list')


def _parse_entry(path: ImageRoot, index: int, image: Any) -> _Named:
    name, is_from_url = get_image_file_name(image) if isinstance(image, dict) else (None, False)
    if name is None:
        raise SourceError(
            f"expected file_name or coco_url in images[{index}] of {path}, "
            f"got {json.dumps(image)[:80]}"
        )
    image_id = image.get("id")
    if not isinstance(image_id, int) or isinstance(image_id, bool) or abs(image_id) >= 1 << 63:
        raise SourceError(
            f"expected a whole number as id in images[{index}] of {path}, got {image_id!r}"
        )
    width, height = _parse_size(image.get("width")), _parse_size(image.get("height"))
    return _Named(name, is_from_url, image_id, width, height)


def _parse_size(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 < value < 1 << 31 else None


def _list_candidates(path: Path | RemotePath) -> list[Path | RemotePath]:
    above = path.parent.absolute().parent if isinstance(path, Path) else path.parent.parent
    near = [path.parent, above]
    parents = [*near, *(folder / "images" for folder in near)]
    inside = [folder for parent in parents for folder in _list_folders(parent)]
    return [*near, *inside]


def _list_folders(parent: Path | RemotePath) -> list[Path | RemotePath]:
    try:
        folders = [path for path in parent.iterdir() if path.name[0] != "." and path.is_dir()]
    except OSError:  # a neighbour that cannot be read does not hold the images
        return []
    most = _MAX_FOLDERS if isinstance(parent, Path) else _MAX_REMOTE_FOLDERS
    return sorted(folders, key=str)[:most]


def _find_root(
    path: Path | RemotePath | HttpFile, images: CocoImages, candidates: list[Path | RemotePath]
) -> tuple[Path | RemotePath, bool]:
    """Return the candidate that holds most of the first images, and whether by base names alone."""
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


def _exists(path: Path | RemotePath) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
