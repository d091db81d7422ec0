"""Labels → labelme: a JSON file beside each picture, with shapes of the type "mask".

Masks keep every pixel; labelme shows them since version 5.3. Our own writer: it is JSON with a PNG
of the mask in its box. `score`, `risk` and `ovsam_key` stay with a shape when labelme saves it.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import orjson

from ovsam.errors import explain
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.editor_images import (
    EditorExport,
    EditorImage,
    describe_risk,
    export_for_editor,
    iterate_crops,
    iterate_written,
    list_facts,
)
from ovsam_pipeline.export.labels import LabelledImage
from ovsam_pipeline.export.mask_crops import MaskCrop, encode_crop
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import RLE

PICTURES = "images"
# The first whose files say the type of mask as we write it.
_VERSION = "5.3.0"


def export_labelme(output: AnyPath, target: Path, options: ExportOptions) -> ExportSummary:
    """Write images/NAME.json for each image, and its picture beside it."""
    return export_for_editor(output, target, options, write_labelme, PICTURES)


def write_labelme(images: Iterator[EditorImage], export: EditorExport) -> None:
    """Write a file for each image into images/."""
    for image in images:
        path = export.folder / PICTURES / f"{image.stem}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = os.path.basename(image.name)  # noqa: PTH119  a text, no path
        if not export.has_pictures and image.task.picture is not None:
            picture = str(image.task.picture)
        content: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": [
                _build_shape(item, crop) for item, crop in iterate_crops(image.task.objects)
            ],
            "imagePath": picture,
            "imageData": None,
            "imageHeight": image.task.height,
            "imageWidth": image.task.width,
            "ovsam_file_name": image.task.file_name,
        }
        path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))


def read_labelme(
    output: AnyPath, target: Path, options: ExportOptions
) -> Iterator[list[RLE | None]]:
    """Yield the masks of each image as labelme shows them, in the order of the rows."""
    for written in iterate_written(output, options):
        path = target / PICTURES / f"{written.stem}.json"
        if not path.exists():
            continue
        with explain("cannot read", path, OutputError):
            shapes = orjson.loads(path.read_bytes())["shapes"]
        yield written.arrange(_read_shape(shape, written.image) for shape in shapes)


def _read_shape(shape: Mapping[str, Any], image: LabelledImage) -> RLE:
    png = np.frombuffer(base64.b64decode(shape["mask"]), np.uint8)
    pixels = np.asarray(cv2.imdecode(png, cv2.IMREAD_UNCHANGED)).astype(bool)
    left, top = shape["points"][0]
    return encode_crop(MaskCrop(left, top, pixels), image.height, image.width)


def _build_shape(item: Mapping[str, Any], crop: MaskCrop) -> dict[str, Any]:
    left, top, width, height = crop.box_xywh
    _, png = cv2.imencode(".png", crop.pixels.astype(np.uint8))
    return {
        "label": item["category"],
        # The last row and column are inside.
        "points": [[left, top], [left + width - 1, top + height - 1]],
        "group_id": None,
        "description": describe_risk(item),
        "shape_type": "mask",
        "flags": {},
        "mask": base64.b64encode(png.tobytes()).decode("ascii"),
        **list_facts(item),
    }
