"""A file or folder that came back from an editor → which editor's it is, and what people left.

Input: Label Studio's JSON, CVAT's XML, COCO, a FiftyOneDataset; in a .zip, too, as CVAT and Label
Studio hand them out. Output: one `CorrectedImage` for each image that a person submitted.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from ovsam.checked_json import refuse_pipe
from ovsam.coco_json import iterate_json
from ovsam.errors import ConfigError, OvsamError, describe_error
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.export.review_tasks import CorrectedImage
from ovsam_pipeline.outcomes import Reasons
from ovsam_pipeline.review.editors.coco import read_coco
from ovsam_pipeline.review.editors.cvat import read_cvat
from ovsam_pipeline.review.editors.fiftyone import read_fiftyone
from ovsam_pipeline.review.editors.label_studio import read_label_studio
from ovsam_pipeline.storage.remote_path import AnyPath

EditorFormat = Literal["label-studio", "cvat", "coco", "fiftyone"]
EDITOR_FORMATS: tuple[EditorFormat, ...] = ("label-studio", "cvat", "coco", "fiftyone")

_COCO_KEYS = ("images", "annotations", "categories", "licenses")
# Of a folder or archive the first kind of which it holds exactly one file.
_MEMBERS = (
    "annotations.xml",
    "annotations.json",
    "samples.json",
    "labels.json",
    "result.json",
    "instances_*.json",
    "*.json",
)


@dataclass(frozen=True)
class _Member:
    """A file in an archive, opened as the reader of JSON does."""

    archive: AnyPath
    name: str

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    def __str__(self) -> str:
        return f"{self.archive}/{self.name}"

    def open(self, mode: Literal["rb"]) -> IO[bytes]:
        del mode
        # The archive closes when its last member does.
        with _open_archive(self.archive) as archive:
            return archive.open(self.name)


_File = AnyPath | _Member


def read_editor_file(
    path: AnyPath, left_out: Reasons, editor: EditorFormat | None = None
) -> Iterator[CorrectedImage]:
    """Yield what people left in each image that they submitted.

    Args:
        path: a file of one of `EDITOR_FORMATS`, an archive with one, or a FiftyOneDataset's folder.
        left_out: counts images whose objects cannot be read, with the reason.
        editor: whose file it is said to be; None: found out from its content. All of them write
            COCO, too.

    Raises:
        DatasetError: it cannot be read, or is none of these.
    """
    try:
        file = _find_file(path)
        found = detect_editor(file)
        if editor not in (None, found) and found != "coco":
            raise ValueError(f"expected a file of {editor}, got one of {found}")
        yield from _read(file, found, left_out)
    except (OvsamError, GeneratorExit):
        raise
    except (ValueError, OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        # The last two: an archive with a password, or packed in a way that Python does not know.
        raise DatasetError(f"cannot read {path}: {describe_error(error)}") from error


def detect_editor(path: _File) -> EditorFormat:
    """Return whose file it is, by its first bytes; a ValueError where it is nobody's."""
    if path.suffix.lower() == ".xml":
        return "cvat"
    for key, _ in iterate_json(path):
        if key == "":
            return "label-studio"
        if key == "samples":
            return "fiftyone"
        if key in _COCO_KEYS:
            return "coco"
    raise ValueError(
        "expected Label Studio's JSON, CVAT for images 1.1, COCO, or samples.json of a "
        "FiftyOneDataset"
    )


def _read(file: _File, editor: EditorFormat, left_out: Reasons) -> Iterator[CorrectedImage]:
    if editor == "cvat":
        with closing(file.open("rb")) as stream:
            yield from read_cvat(stream, left_out)
    elif editor == "coco":
        yield from read_coco(file, left_out)
    elif editor == "fiftyone":
        yield from read_fiftyone(file, left_out)
    else:
        yield from read_label_studio(file, left_out)


def _find_file(path: AnyPath) -> _File:
    """Return the file with the annotations: the path itself, or what is in it."""
    if path.is_dir():
        names = {child.name: child for child in path.iterdir()}
        return names[_choose(list(names), path)]
    refuse_pipe(path)
    if path.suffix.lower() != ".zip":
        return path
    with _open_archive(path) as archive:
        return _Member(path, _choose(archive.namelist(), path))


def _open_archive(path: AnyPath) -> zipfile.ZipFile:
    return zipfile.ZipFile(path if isinstance(path, Path) else path.open("rb"))


def _choose(names: list[str], path: AnyPath) -> str:
    for pattern in _MEMBERS:
        found = [name for name in names if PurePosixPath(name).match(pattern)]
        if len(found) == 1:
            return found[0]
    raise ConfigError(
        f"expected one file of annotations in {path}, such as annotations.xml or samples.json; "
        "name the file itself"
    )
