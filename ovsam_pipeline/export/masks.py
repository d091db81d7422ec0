"""Labels → pictures of masks: PNGs of object numbers and of classes, one of each an image.

    instances/NAME.png   16 bits: 0 is background, n the n-th object of the image in objects.jsonl
    semantic/NAME.png    palette, 8 bits: 0 is background, n the n-th class of classes.json; 16 bits
                         of grey where there are more than 255 classes
    objects.jsonl        a line an image: its files, and its objects with class, score and box
    images/NAME…         the pictures

A pixel holds one object. Where some overlap, the smaller one is on top, or the one of the higher
score; hidden pixels are lost, and an object that is hidden whole is counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from ovsam.errors import explain
from ovsam.masks import encode_mask
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.drawing.colours import choose_colour
from ovsam_pipeline.export.image_files import ImageFiles
from ovsam_pipeline.export.labels import LabelledImage, iterate_labelled, read_categories
from ovsam_pipeline.export.mask_crops import MaskCrop, iterate_crops
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.export.safe_names import SafeNames
from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import RLE

_FIELDS = ("category_id", "bbox", "area", "segmentation")
_MOST_OBJECTS, _MOST_COLOURS = 65_535, 255


def export_masks(output: AnyPath, target: Path, options: ExportOptions) -> ExportSummary:
    """Write the chosen labels as PNG masks into an empty folder."""
    summary = ExportSummary()
    categories = read_categories(output, options.choice)
    numbers = {category["id"]: n for n, category in enumerate(categories, start=1)}
    files, names = ImageFiles(output, options, summary), SafeNames()
    num_hidden = 0
    for folder in ("instances", "semantic"):
        (target / folder).mkdir()
    _write_text(target / "classes.json", _dump([c["name"] for c in categories]))
    with (target / "objects.jsonl").open("x", encoding="utf-8") as lines:
        for image, crops in iterate_crops(iterate_labelled(output, options.choice, _FIELDS)):
            name, suffix = names.make(image.file_name)
            if not files.put(image, target / "images" / f"{name}{suffix}"):
                continue
            instances = paint(image, crops, options.on_top)
            _write_png(target / "instances" / f"{name}.png", instances)
            lookup = np.array([0, *(numbers[o["category_id"]] for o in image.objects)], np.uint16)
            _write_classes(target / "semantic" / f"{name}.png", lookup[instances], categories)
            entry = _describe(image, name, suffix)
            areas = np.bincount(instances.reshape(-1), minlength=len(image.objects) + 1)
            num_hidden += int(np.count_nonzero(areas[1:] == 0))
            with explain("cannot write", target, OutputError):
                lines.write(_dump(entry))
            summary.images += 1
            summary.objects += len(image.objects)
    if num_hidden:
        summary.notes.append(f"{count_things(num_hidden, 'object')} hidden whole by others")
    return summary


def read_masks(output: AnyPath, target: Path, options: ExportOptions) -> Iterator[list[RLE | None]]:
    """Yield the visible masks of each image, in the order of the rows; None: hidden whole."""
    names = SafeNames()
    for image in iterate_labelled(output, options.choice, ()):
        path = target / "instances" / f"{names.make(image.file_name)[0]}.png"
        if not path.exists():
            continue
        with explain("cannot read", path, OutputError):
            data = np.frombuffer(path.read_bytes(), np.uint8)
        instances = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
        seen = set(np.unique(instances).tolist())
        yield [
            encode_mask(np.equal(instances, number)) if number in seen else None
            for number in range(1, len(image.objects) + 1)
        ]


def paint(image: LabelledImage, crops: Sequence[MaskCrop], on_top: str) -> np.ndarray:
    """Return which object each pixel shows, counted from 1; 0 for none: (H, W) uint16."""
    if len(image.objects) > _MOST_OBJECTS:
        raise OutputError(
            f"expected at most {_MOST_OBJECTS} objects for a 16-bit PNG, got "
            f"{len(image.objects)} in {image.file_name}; raise --min-score"
        )
    canvas = np.zeros((image.height, image.width), np.uint16)
    sign, field = (-1, "area") if on_top == "smaller" else (1, "score")
    order = np.argsort([sign * item[field] for item in image.objects], kind="stable")
    for number in order.tolist():
        left, top, width, height = crops[number].box_xywh
        canvas[top : top + height, left : left + width][crops[number].pixels] = number + 1
    return canvas


def _describe(image: LabelledImage, name: str, suffix: str) -> dict[str, Any]:
    objects = [
        {
            "number": number,
            "category": item["category"],
            "category_id": item["category_id"],
            "score": item["score"],
            "bbox": [round(side, 2) for side in item["bbox"]],
        }
        for number, item in enumerate(image.objects, start=1)
    ]
    files = {"image": f"images/{name}{suffix}", "instances": f"instances/{name}.png"}
    files["semantic"] = f"semantic/{name}.png"
    return {"file_name": image.file_name, "image_id": image.image_id, **files, "objects": objects}


def _write_classes(path: Path, classes: np.ndarray, categories: Sequence[dict[str, Any]]) -> None:
    """Write class numbers: in colours that follow the ids, where a palette holds them."""
    if len(categories) > _MOST_COLOURS:
        _write_png(path, classes)
        return
    picture = Image.fromarray(classes.astype(np.uint8))
    colours = [(0, 0, 0), *(choose_colour(category["id"]) for category in categories)]
    picture.putpalette([int(value) for colour in colours for value in colour])
    with explain("cannot write", path, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, "PNG")


def _write_png(path: Path, values: np.ndarray) -> None:
    _, data = cv2.imencode(".png", values)
    with explain("cannot write", path, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())


def _write_text(path: Path, text: str) -> None:
    with explain("cannot write", path, OutputError):
        path.write_text(text, encoding="utf-8")


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"
