"""Questions of a review → a folder for an editor: pre-labels with keys, classes, pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ovsam.errors import ConfigError
from ovsam_pipeline.export import cvat, fiftyone, label_studio
from ovsam_pipeline.export.editor_images import EditorExport, Writer, iterate_placed
from ovsam_pipeline.export.image_files import ImageFiles
from ovsam_pipeline.export.labels import LabelledImage
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.export.review_tasks import ReviewTask
from ovsam_pipeline.review.editors.reading import EDITOR_FORMATS, EditorFormat


def write_editor_folder(
    editor: EditorFormat,
    tasks: Iterable[tuple[ReviewTask, LabelledImage]],
    names: tuple[str, ...],
    folder: Path,
    files: ImageFiles,
    options: ExportOptions,
    summary: ExportSummary,
) -> None:
    """Write tasks for an editor into an empty folder, in their order.

    Args:
        editor: one of `EDITOR_FORMATS`.
        tasks: each with what is needed to find its picture.
        names: of all classes.
        folder: of this machine.
        files: finds the pictures and counts those that are gone.
        options: whether pictures are copied, linked or left.
        summary: counts what was written, and takes notes for the user.

    Raises:
        ConfigError: there is no such editor.
    """
    write, pictures = _choose_writer(editor)
    has_pictures = options.images != "none"
    export = EditorExport(folder, names, has_pictures, is_ordered=True, summary=summary)
    write(iterate_placed(tasks, files, export, pictures), export)


def _choose_writer(editor: EditorFormat) -> tuple[Writer, str]:
    """Return what writes an editor's files, and the folder of pictures that it names."""
    if editor == "label-studio":
        return label_studio.write_label_studio, label_studio.PICTURES
    if editor == "cvat":
        return cvat.write_cvat, cvat.PICTURES
    if editor == "fiftyone":
        return fiftyone.write_fiftyone, fiftyone.PICTURES
    if editor == "coco":
        return fiftyone.write_editor_coco, fiftyone.COCO_PICTURES
    raise ConfigError(f"expected an editor of {', '.join(EDITOR_FORMATS)}, got '{editor}'")
