"""Labels → what FiftyOne imports: data/ and labels.json, its COCODetectionDataset layout.

COCO with run lengths. FiftyOne cuts a mask out by the box of its annotation, so boxes are tight and
in whole pixels. Every further field of an annotation (risk, reason, ovsam_key) becomes an attribute
of the detection. A review writes the same as plain COCO, with the pictures in images/.
Our own writer: fiftyone brings a data base.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import orjson

from ovsam.masks import compute_mask_areas, compute_tight_boxes
from ovsam_pipeline.export.editor_images import (
    BATCH_FIELD,
    EditorExport,
    EditorImage,
    export_for_editor,
    list_facts,
    write_items,
)
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.storage.remote_path import AnyPath

PICTURES = "data"
COCO_PICTURES = "images"


def export_fiftyone(output: AnyPath, target: Path, options: ExportOptions) -> ExportSummary:
    """Write labels.json and data/."""
    return export_for_editor(output, target, options, write_fiftyone, PICTURES)


def write_fiftyone(images: Iterator[EditorImage], export: EditorExport) -> None:
    """Write labels.json into a folder."""
    _write_file(images, export, export.folder / "labels.json")
    export.summary.notes.append(
        "FiftyOne: fiftyone.Dataset.from_dir(dataset_dir=..., label_types='segmentations', "
        "dataset_type=fiftyone.types.COCODetectionDataset)"
    )


def write_editor_coco(images: Iterator[EditorImage], export: EditorExport) -> None:
    """Write annotations.json into a folder: COCO that CVAT and others take, with keys."""
    _write_file(images, export, export.folder / "annotations.json")


def _write_file(images: Iterator[EditorImage], export: EditorExport, path: Path) -> None:
    """Write a COCO file in one pass: annotations wait in a file of their own."""
    numbers = {name: number for number, name in enumerate(export.names, start=1)}
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    spool = path.with_suffix(".spool")
    with path.open("wb") as file, spool.open("w+b") as waiting:
        head: dict[str, Any] = {"info": {"description": "labels made by ovsam"}, "licenses": []}
        head["categories"] = categories
        file.write(orjson.dumps(head)[:-1] + b',"images":[')
        ids = itertools.count(1)
        write_items(file, _iterate_images(images, waiting, ids, numbers.__getitem__))
        file.write(b'\n],"annotations":[\n')
        waiting.seek(0)
        shutil.copyfileobj(waiting, file, 1 << 20)
        file.write(b"]}\n")
    spool.unlink()


def _iterate_images(
    images: Iterator[EditorImage],
    waiting: IO[bytes],
    ids: Iterator[int],
    number: Callable[[str], int],
) -> Iterator[dict[str, Any]]:
    """Yield the entries of images; write their annotations to a file meanwhile."""
    for image_id, image in enumerate(images, start=1):
        task = image.task
        masks = [item["segmentation"] for item in task.objects]
        boxes, areas = compute_tight_boxes(masks), compute_mask_areas(masks)
        for item, box, area in zip(task.objects, boxes, areas, strict=True):
            annotation_id = next(ids)
            annotation = {
                "id": annotation_id,
                "image_id": image_id,
                "category_id": number(item["category"]),
                "bbox": [int(side) for side in box],
                "segmentation": item["segmentation"],
                "area": int(area),
                "iscrowd": 0,
                **list_facts(item),
            }
            waiting.write((b",\n" if annotation_id > 1 else b"") + orjson.dumps(annotation))
        entry: dict[str, Any] = {
            "id": image_id,
            "file_name": image.name,
            "width": task.width,
            "height": task.height,
            "ovsam_file_name": task.file_name,
        }
        yield {**entry, BATCH_FIELD: task.batch} if task.batch else entry
