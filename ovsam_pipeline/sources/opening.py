"""What the user named → a source of its kind, checked as far as that needs no listing."""

from __future__ import annotations

import glob
import logging
from collections.abc import Sequence
from pathlib import Path

from ovsam.errors import explain
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.sources.coco_file import CocoFile, read_coco_images
from ovsam_pipeline.sources.containers import check_container
from ovsam_pipeline.sources.list_file import ListFile, PipedList
from ovsam_pipeline.sources.place import STANDARD_INPUT, Place, check_regular, look_at, parse_place
from ovsam_pipeline.sources.source import Source
from ovsam_pipeline.sources.tables import SavedDataset, is_saved_dataset
from ovsam_pipeline.sources.tree import File, Folder, Glob, identify, scan_folder
from ovsam_pipeline.storage.remote_path import AnyPath
from ovsam_pipeline.storage.web_file import HttpFile

logger = logging.getLogger(__name__)

# What a shell's "<(…)" is, and stdin by its names on Linux.
_PIPES = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")


def open_image_root(image_root: Path | str | None) -> Place | None:
    """Return what the names of COCO JSON files are relative to."""
    if image_root is None:
        return None
    root = parse_place(str(image_root))
    if not isinstance(root, HttpFile) and look_at(root, str(image_root)) != "folder":
        raise SourceError(f"expected the image root to be a folder, got {root}")
    return root


def open_source(text: str, image_root: Place | None, exclude: Sequence[AnyPath]) -> Source:
    """Decide what a source is; braces in `text` are expanded already.

    `image_root` is for COCO JSON files, `exclude` are folders that a walk must not enter.
    """
    if text == STANDARD_INPUT or text.startswith(_PIPES):
        return _open_list(text, PipedList(0 if text == STANDARD_INPUT else text))
    place, column = parse_place(text), None
    if isinstance(place, HttpFile):
        return _open_file(text, place, None, image_root)
    kind = look_at(place, text)
    if kind == "nothing" and "#" in place.name:
        # A column behind the file, unless there is a file that has "#" in its name.
        name, _, column = place.name.rpartition("#")
        place = place.parent / name
        kind = look_at(place, text)
    if kind == "file":
        return _open_file(text, place, column, image_root)
    if kind == "folder":
        return _open_folder(text, place, column, exclude)
    if not glob.has_magic(str(place)):
        raise SourceError(f"expected a folder, file or glob, got {text}, which is not there")
    source = Glob(text, place, column)
    if source.is_empty():
        raise SourceError(f"expected files for the pattern {text}, found none")
    return source


def _open_folder(
    text: str, path: AnyPath, column: str | None, exclude: Sequence[AnyPath]
) -> Source:
    if isinstance(path, Path):
        scan_folder(path)  # so that a folder that cannot be read is reported before any listing
        with explain("cannot read the folder", path, SourceError):
            is_saved = is_saved_dataset(path)
        if is_saved:
            return SavedDataset(text, path, column)
    return Folder(text, path, frozenset(identify(folder) for folder in exclude), column)


def _open_file(text: str, file: Place, column: str | None, image_root: Place | None) -> Source:
    name = file.name.lower()
    if name.endswith((".json", ".json.gz", ".txt")):
        check_regular(file, text)
    if name.endswith((".json", ".json.gz")):
        images = read_coco_images(file, image_root)
        if images.num_long_ids:
            logger.warning(
                "%d image ids of %s have more than 53 bits: they are kept, but jq, JavaScript and "
                "spreadsheets round them", images.num_long_ids, text,
            )  # fmt: skip
        return CocoFile(text, images)
    if name.endswith(".txt"):
        return _open_list(text, file)
    check_container(file.name)
    return File(text, file, column)


def _open_list(text: str, file: Place | PipedList) -> ListFile:
    source = ListFile(text, file)
    source.check()
    return source
