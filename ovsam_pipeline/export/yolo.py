"""Labels → YOLO segmentation: data.yaml, images/ and labels/, one row of text an object.

A row is "class x y x y …", shares of the image's width and height. It holds one polygon: parts and
holes are joined by zero-width bridges (`polygons.py`). Images without objects have an empty file,
else they would count as unlabelled. Class indices count the vocabulary by ascending id, so they do
not depend on which classes were found.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import yaml

from ovsam.errors import explain
from ovsam.masks import encode_mask
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.image_files import ImageFiles
from ovsam_pipeline.export.labels import LabelledImage, iterate_labelled, read_categories
from ovsam_pipeline.export.mask_crops import crop_mask
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.export.polygons import trace_points
from ovsam_pipeline.export.safe_names import SafeNames
from ovsam_pipeline.export.splits import SPLITS, assign_splits
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import RLE

_FIELDS = ("category_id", "segmentation")
# Ultralytics cuts coordinates to whole pixels, supervision rounds them: a quarter into the pixel
# both mean the same one. The corners of a thin object lie apart, so that its box has a size.
_INTO_PIXEL, _EDGES = 0.25, (0.02, 0.48)
# A reader turns ".../images/..." into ".../labels/..." at the last such folder.
_RESERVED = ("images", "labels")
_FEWEST_POINTS = 3


def export_yolo(output: AnyPath, target: Path, options: ExportOptions) -> ExportSummary:
    """Write the chosen labels as a YOLO data set into an empty folder."""
    summary = ExportSummary()
    categories = read_categories(output, options.choice)
    classes = {category["id"]: str(index) for index, category in enumerate(categories)}
    splits = assign_splits(output, options)
    files, names = ImageFiles(output, options, summary), SafeNames(_RESERVED)
    for image in iterate_labelled(output, options.choice, _FIELDS):
        split = splits.find(image.file_name)
        name, suffix = names.make(image.file_name)
        if not files.put(image, target / "images" / split / f"{name}{suffix}"):
            continue
        rows = "".join(write_row(item, classes, image) for item in image.objects)
        _write_text(target / "labels" / split / f"{name}.txt", rows)
        summary.images += 1
        summary.objects += len(image.objects)
    _write_text(target / "data.yaml", _describe(categories, splits.used))
    if options.images == "none":
        summary.notes.append("without pictures: put them into images/ under the names of labels/")
    return summary


def read_yolo(output: AnyPath, target: Path, options: ExportOptions) -> Iterator[list[RLE | None]]:
    """Yield the masks of each image as readers of YOLO see them, in the order of the rows.

    None: an object that is not there. Images that are not there are left out.
    """
    splits, names = assign_splits(output, options), SafeNames(_RESERVED)
    for image in iterate_labelled(output, options.choice, _FIELDS):
        name, _ = names.make(image.file_name)
        path = target / "labels" / splits.find(image.file_name) / f"{name}.txt"
        if not path.exists():
            continue
        with explain("cannot read", path, OutputError):
            rows = path.read_text(encoding="utf-8").splitlines()
        yield [_fill(row, image) for row in rows]


def write_row(item: dict[str, Any], classes: dict[int, str], image: LabelledImage) -> str:
    """Return the line of one object."""
    crop = crop_mask(item["segmentation"])
    points = trace_points(crop.pixels)
    if not len(points):
        return ""
    columns, rows = points[:, 0].tolist(), points[:, 1].tolist()
    across, down = _list_shares(image.width), _list_shares(image.height)
    left, top = crop.left, crop.top
    height, width = crop.pixels.shape
    if height > 1 and width > 1 and len(columns) >= _FEWEST_POINTS:
        texts = [f"{across[left + x]} {down[top + y]}" for x, y in zip(columns, rows, strict=True)]
    else:
        texts = _write_thin(crop.box_xywh, columns, rows, image)
    return f"{classes[item['category_id']]} {' '.join(texts)}\n"


def _write_thin(
    box_xywh: tuple[int, int, int, int], columns: list[int], rows: list[int], image: LabelledImage
) -> list[str]:
    """Return the points of an object that is one pixel high or wide, or has but two corners."""
    left, top, width, height = box_xywh
    if width > 1 and height > 1:
        places = [
            (left + x + _INTO_PIXEL, top + y + _INTO_PIXEL)
            for x, y in zip(columns, rows, strict=True)
        ]
        places += places[:1]
    else:
        (low, high), right, bottom = _EDGES, left + width - 1, top + height - 1
        x, y = (left + low, right + high), (top + low, bottom + high)
        places = [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]
    return [f"{x / image.width:.6f} {y / image.height:.6f}" for x, y in places]


@lru_cache(maxsize=64)
def _list_shares(side: int) -> list[str]:
    """Return the text of each whole pixel of a side: half of the time of an export otherwise."""
    return [f"{(pixel + _INTO_PIXEL) / side:.6f}" for pixel in range(side)]


def _fill(row: str, image: LabelledImage) -> RLE | None:
    values = np.array(row.split()[1:], np.float32).reshape(-1, 2)
    if len(values) < _FEWEST_POINTS:
        return None
    points = (values * np.array([image.width, image.height], np.float32)).astype(np.int32)
    mask = np.zeros((image.height, image.width), np.uint8)
    cv2.fillPoly(mask, [points], 1)
    return encode_mask(mask)


def _describe(categories: list[dict[str, Any]], splits: tuple[str, ...]) -> str:
    """Return data.yaml; readers want a `val`, which is `train` where nothing was split off."""
    named = {split: f"images/{split}" for split in SPLITS if split in splits}
    named.setdefault("val", f"images/{splits[0]}")
    names = {index: category["name"] for index, category in enumerate(categories)}
    text: str = yaml.safe_dump({**named, "names": names}, sort_keys=False, allow_unicode=True)
    return text


def _write_text(path: Path, text: str) -> None:
    with explain("cannot write", path, OutputError):
        try:
            file = path.open("x", encoding="utf-8", newline="\n")
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("x", encoding="utf-8", newline="\n")
        with file:
            file.write(text)
