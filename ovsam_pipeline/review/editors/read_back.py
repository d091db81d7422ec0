"""`ovsam export --check` of formats that come back from editors, by the readers for these.

Objects are found by their keys, as those of a review are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ovsam.errors import explain
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.editor_images import iterate_written
from ovsam_pipeline.export.options import ExportOptions
from ovsam_pipeline.export.review_tasks import CorrectedImage
from ovsam_pipeline.outcomes import Reasons
from ovsam_pipeline.review.editors.coco import read_coco
from ovsam_pipeline.review.editors.cvat import read_cvat
from ovsam_pipeline.review.editors.label_studio import read_predictions
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import RLE


def read_back_cvat(
    output: AnyPath, target: Path, options: ExportOptions
) -> Iterator[list[RLE | None]]:
    """Yield the masks of each image as CVAT reads them, in the order of the rows."""
    path = target / "annotations.xml"
    with explain("cannot read", path, OutputError), path.open("rb") as stream:
        yield from _align(output, options, read_cvat(stream, Reasons()))


def read_back_fiftyone(
    output: AnyPath, target: Path, options: ExportOptions
) -> Iterator[list[RLE | None]]:
    """Yield the masks of each image as FiftyOne reads them, in the order of the rows."""
    path = target / "labels.json"
    with explain("cannot read", path, OutputError):
        yield from _align(output, options, read_coco(path, Reasons()))


def read_back_label_studio(
    output: AnyPath, target: Path, options: ExportOptions
) -> Iterator[list[RLE | None]]:
    """Yield the masks of each image as Label Studio shows them, in the order of the rows.

    Tasks have another order: memory is that of the run lengths of all of them.
    """
    files = sorted(target.glob("tasks*.json"))
    with explain("cannot read", target, OutputError):
        found = {image.file_name: image for path in files for image in read_predictions(path)}
    for written in iterate_written(output, options):
        if image := found.get(written.image.file_name):
            yield _pick(image, written.keys)


def _align(
    output: AnyPath, options: ExportOptions, found: Iterable[CorrectedImage]
) -> Iterator[list[RLE | None]]:
    """Yield the masks of images that come in the order of the rows; some may be left out."""
    coming = iter(found)
    image = next(coming, None)
    for written in iterate_written(output, options):
        names = (written.image.file_name, written.stem + written.suffix)
        if image is not None and image.file_name in names:
            yield _pick(image, written.keys)
            image = next(coming, None)


def _pick(image: CorrectedImage, keys: Iterable[str | None]) -> list[RLE | None]:
    masks = {item.key: item.segmentation for item in image.objects}
    return [None if key is None else masks.get(key) for key in keys]
