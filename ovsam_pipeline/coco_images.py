"""The images of a COCO or LVIS JSON file, and the folder that they lie in.

Input: the path of the JSON file. Output: the image root, and path, name, id and size of each entry.
Annotations are passed over one by one and never held.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ovsam_pipeline.coco_json import get_image_file_name, iterate_json
from ovsam_pipeline.errors import SourceError

__all__ = ["CocoImage", "read_coco_images"]

_NUM_PROBES = 20
_MAX_FOLDERS = 500


class CocoImage(NamedTuple):
    """One entry of the `images` list, with the path resolved."""

    path: Path
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


def read_coco_images(path: Path, image_root: Path | None) -> tuple[Path, list[CocoImage]]:
    """Read the image entries of a COCO or LVIS file.

    Args:
        path: the JSON file.
        image_root: the folder that the names are relative to; None looks beside the file, in the
            folder above it, in the folders directly in those two, and in those of their `images`.

    Returns:
        The image root and the entries in the order of the file. Images that are not there are in
        the list all the same, as long as some are.

    Raises:
        SourceError: not JSON, not a COCO data set, an entry without a whole-number id or a name, a
            repeated id, or none of the first images is where it should be.
    """
    entries = list(_iterate_entries(path))
    _check_ids(path, entries)
    candidates = [image_root] if image_root is not None else _list_candidates(path)
    root, with_base_names = _find_root(path, entries, candidates)
    images = []
    for entry in entries:
        place = PurePosixPath(entry.name).name if with_base_names else entry.name
        images.append(
            CocoImage(root / place, entry.name, entry.image_id, entry.width, entry.height)
        )
    return root, images


def _iterate_entries(path: Path) -> Iterator[_Named]:
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


def _parse_entry(path: Path, index: int, image: Any) -> _Named:
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
    return value if isinstance(value, int) and value > 0 else None


def _check_ids(path: Path, entries: list[_Named]) -> None:
    names: dict[int, str] = {}
    for entry in entries:
        if entry.image_id in names:
            raise SourceError(
                f"expected different image ids in {path}, got {entry.image_id} for "
                f"{names[entry.image_id]} and for {entry.name}"
            )
        names[entry.image_id] = entry.name


def _list_candidates(path: Path) -> list[Path]:
    near = [path.parent, path.parent.absolute().parent]
    parents = [*near, *(folder / "images" for folder in near)]
    inside = [folder for parent in parents for folder in _list_folders(parent)]
    return [*near, *inside]


def _list_folders(parent: Path) -> list[Path]:
    try:
        folders = [path for path in parent.iterdir() if path.name[0] != "." and path.is_dir()]
    except OSError:  # a neighbour that cannot be read does not hold the images
        return []
    return sorted(folders)[:_MAX_FOLDERS]


def _find_root(path: Path, entries: list[_Named], candidates: list[Path]) -> tuple[Path, bool]:
    """Return the candidate that holds most of the first images, and whether by base names alone."""
    probes = entries[:_NUM_PROBES]
    best, best_hits = (candidates[0], False), 0
    are_from_urls = any(entry.is_from_url for entry in probes)
    for folder in candidates:
        for with_base_names in (False, True)[: 1 + are_from_urls]:
            names = [PurePosixPath(e.name).name if with_base_names else e.name for e in probes]
            hits = sum(_exists(folder / name) for name in names)
            if hits > best_hits:
                best, best_hits = (folder, with_base_names), hits
    if probes and not best_hits:
        looked = str(candidates[0]) if len(candidates) == 1 else f"{candidates[0]} and around it"
        raise SourceError(
            f"expected the images of {path} in {looked}, found none of the first {len(probes)} "
            f"(such as {probes[0].name}): name their folder with --image-root"
        )
    return best


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
