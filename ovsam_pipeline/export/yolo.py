"""Labels → YOLO segmentation: data.yaml, images/ and labels/, one row of text an object.

A row is "class x y x y …", shares of the image's width and height. It holds one polygon: parts and
holes are joined by zero-width bridges (`polygons.py`). Images without objects have an empty file,
else they would count as unlabelled. Class indices count the vocabulary by ascending id, so they do
not depend on which classes were found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from ovsam_pipeline.export.mask_crops import MaskCrop, iterate_crops
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
_TEXT_BYTES = len("0.123456 ")


def export_yolo(output: AnyPath, target: Path, options: ExportOptions) -> ExportSummary:
    """Write the chosen labels as a YOLO data set into an empty folder."""
    summary = ExportSummary()
    categories = read_categories(output, options.choice)
    classes = {category["id"]: str(index) for index, category in enumerate(categories)}
    splits = assign_splits(output, options)
    files, names = ImageFiles(output, options, summary), SafeNames(_RESERVED)
    pictures = {split: target / "images" / split for split in splits.used}
    labels = {split: target / "labels" / split for split in splits.used}
    images = iterate_labelled(output, options.choice, _FIELDS)
    for image, crops in iterate_crops(images):
        split = splits.find(image.file_name)
        name, suffix = names.make(image.file_name)
        if not files.put(image, pictures[split] / f"{name}{suffix}"):
            continue
        indices = [classes[item["category_id"]] for item in image.objects]
        _write(labels[split] / f"{name}.txt", write_rows(image, crops, indices))
        summary.images += 1
        summary.objects += len(image.objects)
    _write(target / "data.yaml", _describe(categories, splits.used).encode())
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


def write_rows(
    image: LabelledImage, crops: Sequence[MaskCrop], class_indices: Sequence[str]
) -> bytes:
    """Return the lines of an image's objects."""
    # A crop's columns follow each other in memory: traced as rows, x and y change places.
    outlines = [trace_points(crop.pixels.T) for crop in crops]
    texts = _write_points(image, crops, outlines) if outlines else b""
    lines, stop = [], 0
    for crop, points, index in zip(crops, outlines, class_indices, strict=True):
        start, stop = stop, stop + len(points) * 2 * _TEXT_BYTES
        line = texts[start : stop - 1]
        if min(crop.pixels.shape) < 2 or len(points) < _FEWEST_POINTS:
            line = _write_thin(crop, points, image)
        if len(points):
            lines.append(b"%s %s\n" % (index.encode(), line))
    return b"".join(lines)


def _write_points(
    image: LabelledImage, crops: Sequence[MaskCrop], outlines: Sequence[np.ndarray]
) -> bytes:
    """Return the points of all outlines as text, "0.123456 0.123456 " each."""
    points = np.concatenate(outlines)
    lengths = [len(outline) for outline in outlines]
    points += np.repeat([(crop.top, crop.left) for crop in crops], lengths, axis=0)
    texts = np.empty((len(points), 2, _TEXT_BYTES), np.uint8)
    texts[:, 0] = _list_shares(image.width)[points[:, 1]]
    texts[:, 1] = _list_shares(image.height)[points[:, 0]]
    return texts.tobytes()


def _write_thin(crop: MaskCrop, points: np.ndarray, image: LabelledImage) -> bytes:
    """Return the points of an object that is one pixel high or wide, or has but two corners."""
    left, top, width, height = crop.box_xywh
    if width > 1 and height > 1:
        places = (points[:, ::-1] + [left, top] + _INTO_PIXEL).tolist()
        places += places[:1]
    else:
        (low, high), right, bottom = _EDGES, left + width - 1, top + height - 1
        x, y = (left + low, right + high), (top + low, bottom + high)
        places = [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]
    texts = [f"{x / image.width:.6f} {y / image.height:.6f}" for x, y in places]
    return " ".join(texts).encode()


@lru_cache(maxsize=64)
def _list_shares(side: int) -> np.ndarray:
    """Return the text of each whole pixel of a side, "0.123456 ": (side, 9) uint8.

    Texts of one length are looked up for all points at once.
    """
    texts = [f"{(pixel + _INTO_PIXEL) / side:.6f} " for pixel in range(side)]
    return np.frombuffer("".join(texts).encode(), np.uint8).reshape(side, _TEXT_BYTES)


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


def _write(path: Path, content: bytes) -> None:
    """Write a new file; its folder is there already, but for the first one in it."""
    with explain("cannot write", path, OutputError):
        try:
            file = path.open("xb")
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("xb")
        with file:
            file.write(content)
