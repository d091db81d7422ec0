"""Labels → Datumaro's own JSON: annotations/default.json, streamed.

Masks are COCO's run lengths, so nothing changes. Our own writer: the format is plain JSON, and
datumaro's brings 62 packages and holds the data set in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from ovsam.coco_json import iterate_json
from ovsam.errors import explain
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.editor_images import (
    EditorExport,
    EditorImage,
    export_for_editor,
    iterate_written,
    list_facts,
    write_items,
)
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import RLE

_SUBSET = "default"
PICTURES = f"images/{_SUBSET}"
_IMAGE = 2  # of the kinds of media


def export_datumaro(output: AnyPath, target: Path, options: ExportOptions) -> ExportSummary:
    """Write annotations/default.json and images/default/."""
    return export_for_editor(output, target, options, write_datumaro, PICTURES)


def write_datumaro(images: Iterator[EditorImage], export: EditorExport) -> None:
    """Write the masks of images into a folder."""
    labels = [{"name": name, "parent": "", "attributes": []} for name in export.names]
    head = {
        "dm_format_version": "1.0",
        "media_type": _IMAGE,
        "infos": {},
        "categories": {"label": {"labels": labels, "label_groups": [], "attributes": []}},
    }
    folder = export.folder / "annotations"
    folder.mkdir()
    numbers = {name: number for number, name in enumerate(export.names)}
    with (folder / f"{_SUBSET}.json").open("wb") as file:
        file.write(orjson.dumps(head)[:-1] + b',"items":[')
        write_items(file, (_build_item(n, image, numbers) for n, image in enumerate(images)))
        file.write(b"\n]}\n")


def read_datumaro(
    output: AnyPath, target: Path, options: ExportOptions
) -> Iterator[list[RLE | None]]:
    """Yield the masks of each image as Datumaro reads them, in the order of the rows."""
    path = target / "annotations" / f"{_SUBSET}.json"
    with explain("cannot read", path, OutputError):
        items = (item for key, item in iterate_json(path) if key == "items[]")
        item = next(items, None)
        for written in iterate_written(output, options):
            if item is not None and item["image"]["path"] == written.stem + written.suffix:
                yield written.arrange(mask["rle"] for mask in item["annotations"])
                item = next(items, None)


def _build_item(number: int, image: EditorImage, numbers: Mapping[str, int]) -> dict[str, Any]:
    task = image.task
    masks = []
    for index, item in enumerate(task.objects, start=1):
        segmentation = item["segmentation"]
        masks.append(
            {
                "id": index,
                "type": "mask",
                "attributes": list_facts(item),
                "group": index,
                "label_id": numbers[item["category"]],
                "rle": {"counts": segmentation["counts"], "size": segmentation["size"]},
                "z_order": 0,
            }
        )
    return {
        "id": image.stem,
        "annotations": masks,
        "attr": {"frame": number},
        "image": {"path": image.name, "size": [task.height, task.width]},
    }
