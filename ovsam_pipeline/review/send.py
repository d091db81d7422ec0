"""A batch of questions → a folder for an editor or a spreadsheet, with its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ovsam_pipeline.export import cvat, fiftyone, label_studio
from ovsam_pipeline.export.cvat import write_cvat
from ovsam_pipeline.export.drawing.colours import choose_colour
from ovsam_pipeline.export.drawing.shapes import (
    draw_outline,
    encode_jpeg,
    resize_picture,
    shape_of_mask,
)
from ovsam_pipeline.export.editor_images import EditorExport, Writer, iterate_placed
from ovsam_pipeline.export.fiftyone import write_editor_coco, write_fiftyone
from ovsam_pipeline.export.image_files import ImageFiles
from ovsam_pipeline.export.label_studio import write_label_studio
from ovsam_pipeline.export.labels import LabelledImage
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.export.review_tasks import ReviewTask
from ovsam_pipeline.output.folder import read_run_file
from ovsam_pipeline.output.reviews import Answers
from ovsam_pipeline.records import UNKNOWN_ORIGIN
from ovsam_pipeline.review.batches import Batch
from ovsam_pipeline.review.sheet import CROPS_FOLDER, SHEET, SHEET_FILE, start_sheet, write_line
from ovsam_pipeline.review.tasks import find_origins, make_tasks
from ovsam_pipeline.sources.read_image import decode_image
from ovsam_pipeline.storage.remote_path import AnyPath

_WRITERS: dict[str, tuple[Writer, str]] = {
    "label-studio": (write_label_studio, label_studio.PICTURES),
    "cvat": (write_cvat, cvat.PICTURES),
    "fiftyone": (write_fiftyone, fiftyone.PICTURES),
    "coco": (write_editor_coco, fiftyone.COCO_PICTURES),
}
EDITORS = (*_WRITERS, SHEET)
# Of what is around an object, as a share of the longer side of its box; and of its picture.
_MARGIN, _LEAST_MARGIN = 0.3, 12
_LEAST_SIDE, _MOST_SIDE = 240, 640


def send_batch(
    output: AnyPath,
    batch: Batch,
    answers: Answers,
    editor: str,
    folder: Path,
    options: ExportOptions,
) -> ExportSummary:
    """Write the questions of a batch for one of `EDITORS` into an empty folder."""
    if editor == SHEET:
        return _send_sheet(output, batch, answers, folder, options)
    summary = ExportSummary()
    write, pictures = _WRITERS[editor]
    tasks = _iterate_images(output, batch, answers)
    files = ImageFiles(output, options, summary)
    has_pictures = options.images != "none"
    categories = answers.extend_categories(read_run_file(output).get("categories", []))
    names = tuple(str(category["name"]) for category in categories)
    export = EditorExport(folder, names, has_pictures, is_ordered=True, summary=summary)
    write(iterate_placed(tasks, files, export, pictures), export)
    return summary


def _send_sheet(
    output: AnyPath, batch: Batch, answers: Answers, folder: Path, options: ExportOptions
) -> ExportSummary:
    """Write answers.csv and crops/."""
    summary = ExportSummary()
    files = ImageFiles(output, options, summary)
    crops = folder / CROPS_FOLDER
    crops.mkdir()
    # With the mark by which spreadsheets know UTF-8.
    with (folder / SHEET_FILE).open("w", encoding="utf-8-sig", newline="") as stream:
        writer = start_sheet(stream)
        for task, image in _iterate_images(output, batch, answers):
            pixels = _read_pixels(files, image)
            summary.images += 1
            for item in task.objects:
                summary.objects += 1
                name = ""
                if pixels is not None:
                    name = f"{CROPS_FOLDER}/{summary.objects:05d}.jpg"
                    (folder / name).write_bytes(encode_jpeg(_draw_crop(pixels, item)))
                write_line(writer, item, task.file_name, name)
    summary.notes.append(
        f"open {SHEET_FILE} in a spreadsheet; write y, n or the true name beside each object"
    )
    return summary


def _iterate_images(
    output: AnyPath, batch: Batch, answers: Answers
) -> Iterator[tuple[ReviewTask, LabelledImage]]:
    """Yield the tasks of a batch, each with what is needed to find its picture."""
    origins = find_origins(output, {image.file_name for image in batch.images})
    for task in make_tasks(output, batch, answers):
        origin = origins.get(task.file_name, UNKNOWN_ORIGIN)
        size = task.width, task.height
        yield task, LabelledImage(task.image_id, task.file_name, *size, [], origin)


def _read_pixels(files: ImageFiles, image: LabelledImage) -> np.ndarray | None:
    """Return the picture of a row; None, counted, where it is gone or another one by now."""
    with files.counting_missing(image):
        pixels = decode_image(files.find(image))
        if pixels.shape[:2] == (image.height, image.width):
            return pixels
        raise OSError(f"it has {pixels.shape[1]} x {pixels.shape[0]} pixels by now")
    return None


def _draw_crop(pixels: np.ndarray, item: Any) -> np.ndarray:
    """Return an object with what is around it, its mask outlined."""
    height, width = pixels.shape[:2]
    window = left, top, right, bottom = _find_crop(item["bbox"], width, height)
    crop = pixels[top:bottom, left:right]
    longest = max(crop.shape[:2])
    scale = min(max(1.0, _LEAST_SIDE / longest), _MOST_SIDE / longest)
    size = max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale))
    picture = resize_picture(crop, size)
    with suppress(ValueError):  # a damaged mask: what is there can be judged without its outline
        shape = shape_of_mask(item["segmentation"], (height, width), size, window)
        if shape is not None:
            draw_outline(picture, shape, choose_colour(item.get("category_id") or 0), 2)
    return picture


def _find_crop(bbox: Sequence[float], width: int, height: int) -> tuple[int, int, int, int]:
    """Return the box of an object with a margin: left, top, right, bottom within the image."""
    x, y, box_width, box_height = bbox
    margin = max(_LEAST_MARGIN, _MARGIN * max(box_width, box_height))
    left, top = max(0, int(x - margin)), max(0, int(y - margin))
    right = min(width, int(np.ceil(x + box_width + margin)))
    bottom = min(height, int(np.ceil(y + box_height + margin)))
    return min(left, width - 1), min(top, height - 1), max(right, 1), max(bottom, 1)
