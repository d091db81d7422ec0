"""Labels → one picture an object, in a folder per class: for classifiers, and to look through.

CLASS/NAME_n.jpg     the n-th object of an image: its box with a margin; PNG with the mask as
                     transparency where it is cut out
crops.jsonl          a line a crop: its file, image, class, score and box in the image
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ovsam.errors import ImageError, explain
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.image_files import ImageFiles
from ovsam_pipeline.export.labels import LabelledImage, iterate_labelled, read_categories
from ovsam_pipeline.export.mask_crops import MaskCrop, iterate_crops
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.export.safe_names import SafeNames
from ovsam_pipeline.sources.read_image import decode_image
from ovsam_pipeline.storage.remote_path import AnyPath

_FIELDS = ("category_id", "bbox", "segmentation")
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]


def export_crops(output: AnyPath, target: Path, options: ExportOptions) -> ExportSummary:
    """Write a crop of each chosen object into an empty folder; images without any are not read."""
    summary = ExportSummary()
    class_names, names = SafeNames(("crops.jsonl", "export.json", "README.md")), SafeNames()
    categories = read_categories(output, options.choice)
    folders = {category["id"]: class_names.make_part(category["name"]) for category in categories}
    files = ImageFiles(output, options, summary)
    with (target / "crops.jsonl").open("x", encoding="utf-8") as lines:
        for image, masks in iterate_crops(iterate_labelled(output, options.choice, _FIELDS)):
            if not image.objects:
                summary.images += 1
                continue
            name = names.make_part(image.file_name)
            with files.counting_missing(image) as is_there:
                picture = _read_picture(image, files)
            if not is_there[0]:
                continue
            objects = zip(image.objects, masks, strict=True)
            for number, (item, mask) in enumerate(objects, start=1):
                box = pad_box(item["bbox"], options.padding, image.width, image.height)
                suffix = "png" if options.cut_out else "jpg"
                path = f"{folders[item['category_id']]}/{name}_{number}.{suffix}"
                _write_crop(target / path, picture, box, mask if options.cut_out else None)
                with explain("cannot write", target, OutputError):
                    lines.write(_describe(path, image, item, box))
            summary.images += 1
            summary.objects += len(image.objects)
    return summary


def pad_box(
    box_xywh: list[float], padding: float, width: int, height: int
) -> tuple[int, int, int, int]:
    """Return a box with a margin, a share of its longer side, as whole pixels inside the image.

    Left, top, right, bottom; at least one pixel.
    """
    x, y, box_width, box_height = box_xywh
    margin = padding * max(box_width, box_height)
    left, top = max(0, int(x - margin)), max(0, int(y - margin))
    left, top = min(left, width - 1), min(top, height - 1)
    right = min(width, max(left + 1, int(np.ceil(x + box_width + margin))))
    bottom = min(height, max(top + 1, int(np.ceil(y + box_height + margin))))
    return left, top, right, bottom


def _read_picture(image: LabelledImage, files: ImageFiles) -> np.ndarray:
    picture = decode_image(files.find(image))
    if picture.shape[:2] != (image.height, image.width):
        raise ImageError(
            f"it has {picture.shape[1]} x {picture.shape[0]} pixels now, and had {image.width} x "
            f"{image.height} when it was labelled"
        )
    return picture


def _write_crop(
    path: Path, picture: np.ndarray, box: tuple[int, int, int, int], mask: MaskCrop | None
) -> None:
    left, top, right, bottom = box
    crop = picture[top:bottom, left:right, ::-1]
    if mask is not None:
        alpha = np.zeros(picture.shape[:2], np.uint8)
        x, y, width, height = mask.box_xywh
        alpha[y : y + height, x : x + width] = mask.pixels * np.uint8(255)
        crop = np.dstack([crop, alpha[top:bottom, left:right]])
    settings = _QUALITY if mask is None else []
    _, data = cv2.imencode(path.suffix, np.ascontiguousarray(crop), settings)
    with explain("cannot write", path, OutputError):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data.tobytes())


def _describe(
    path: str, image: LabelledImage, item: dict[str, Any], box: tuple[int, int, int, int]
) -> str:
    left, top, right, bottom = box
    entry = {
        "crop": path,
        "file_name": image.file_name,
        "category": item["category"],
        "score": item["score"],
        "box_xywh": [left, top, right - left, bottom - top],
    }
    return json.dumps(entry, ensure_ascii=False) + "\n"
