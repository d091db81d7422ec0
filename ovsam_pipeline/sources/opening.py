"""What the user named → a source of its kind, checked as far as that needs no listing."""

from __future__ import annotations

import glob
import stat
from collections.abc import Sequence
from pathlib import Path

from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.sources.coco import CocoFile
from ovsam_pipeline.sources.coco_file import ImageRoot, read_coco_images
from ovsam_pipeline.sources.containers import check_container
from ovsam_pipeline.sources.entry import Source, is_uri
from ovsam_pipeline.sources.list_file import ListFile
from ovsam_pipeline.sources.local import LocalFile, LocalFolder, LocalGlob, scan_folder
from ovsam_pipeline.sources.remote import (
    RemoteFile,
    RemoteFolder,
    RemoteGlob,
    look_at,
    parse_place,
)
from ovsam_pipeline.sources.saved_dataset import SavedDataset, is_saved_dataset
from ovsam_pipeline.storage.remote_path import RemotePath
from ovsam_pipeline.storage.web_file import HttpFile


def open_image_root(image_root: Path | str | None) -> ImageRoot | None:
    """Return what the names of COCO JSON files are relative to.

    Raises:
        SourceError: it is no folder. Web addresses are not asked.
    """
    if image_root is None:
        return None
    text = str(image_root)
    root = parse_place(text) if is_uri(text) else Path(text).expanduser()
    is_folder = (
        root.is_dir()
        if isinstance(root, Path)
        else isinstance(root, HttpFile) or look_at(root, text) == "folder"
    )
    if not is_folder:
        raise SourceError(f"expected the image root to be a folder, got {root}")
    return root


def open_source(
    text: str, image_root: ImageRoot | None, exclude: Sequence[Path | RemotePath]
) -> Source:
    """Decide what a source is.

    Args:
        text: as the user wrote it, braces expanded.
        image_root: for COCO JSON files.
        exclude: folders that a walk must not enter.

    Raises:
        SourceError: it does not exist, cannot be read, or is not what its suffix says.
    """
    if is_uri(text):
        place = parse_place(text)
        if isinstance(place, RemotePath):
            return _open_remote(text, place, image_root, exclude)
        if isinstance(place, HttpFile):
            return _open_web(place, image_root)
        text = str(place)
    return _open_local(text, image_root, exclude)


def _open_local(
    text: str, image_root: ImageRoot | None, exclude: Sequence[Path | RemotePath]
) -> Source:
    path, column = Path(text).expanduser(), None
    mode = _get_mode(path, text)
    if mode is None and "#" in text:
        before, _, column = text.rpartition("#")
        path = Path(before).expanduser()
        mode = _get_mode(path, text)
    if mode is None:
        if glob.has_magic(str(path)):
            source = LocalGlob(str(path), column)
            if source.is_empty():
                raise SourceError(f"expected files for the pattern {path}, found none")
            return source
        raise SourceError(f"expected a folder, file or glob, got {text}, which is not there")
    if stat.S_ISDIR(mode):
        scan_folder(str(path))
        if is_saved_dataset(path):
            return SavedDataset(text, path, column)
        local = frozenset(folder.resolve() for folder in exclude if isinstance(folder, Path))
        return LocalFolder(text, path, local, column)
    described = _open_described(text, path, image_root)
    if described is not None:
        return described
    check_container(text)
    return LocalFile(text, path, column)


def _get_mode(path: Path, text: str) -> int | None:
    """Return the file mode; None where nothing is there."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot read {text!r}: {error}") from error


def _open_described(
    text: str, file: ImageRoot, image_root: ImageRoot | None
) -> CocoFile | ListFile | None:
    """Open a file that names images: JSON or a list; None for any other."""
    name = file.name.lower()
    if name.endswith((".json", ".json.gz")):
        return CocoFile(text, read_coco_images(file, image_root)[1])
    if name.endswith(".txt"):
        source = ListFile(text, file)
        source.check()
        return source
    return None


def _open_remote(
    text: str,
    path: RemotePath,
    image_root: ImageRoot | None,
    exclude: Sequence[Path | RemotePath],
) -> Source:
    kind, column = look_at(path, text), None
    if kind == "nothing" and "#" in path.name:
        name, _, column = path.name.rpartition("#")
        path = path.parent / name
        kind = look_at(path, text)
    if kind == "nothing":
        if glob.has_magic(str(path)):
            source = RemoteGlob(text, path, column)
            if source.is_empty():
                raise SourceError(f"expected objects for the pattern {text}, found none")
            return source
        raise SourceError(f"expected a folder, object or glob, got {text}, which is not there")
    if kind == "folder":
        remote = frozenset(folder for folder in exclude if isinstance(folder, RemotePath))
        return RemoteFolder(text, path, remote, column)
    described = _open_described(text, path, image_root)
    if described is not None:
        return described
    check_container(path.name)
    return RemoteFile(text, path, column)


def _open_web(file: HttpFile, image_root: ImageRoot | None) -> Source:
    described = _open_described(str(file), file, image_root)
    if described is not None:
        return described
    check_container(file.name)
    return RemoteFile(str(file), file)
