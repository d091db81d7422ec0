"""Chosen labels → COCO instances: object by object, where `coco.py` writes all labels by columns.

The file has the same fields in the same order, and the same rule for annotation ids.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ovsam.coco_json import iterate_json
from ovsam.masks import to_rle
from ovsam_pipeline.export.coco import OPTIONAL_FIELDS, describe_run, export_coco
from ovsam_pipeline.export.labels import LabelledImage, iterate_labelled, read_categories
from ovsam_pipeline.export.mask_crops import MaskCrop, iterate_crops
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.export.polygons import trace_edges
from ovsam_pipeline.output.annotations_file import SealedStream
from ovsam_pipeline.output.folder import read_run_file
from ovsam_pipeline.storage.atomic import replace_file
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import RLE


def export_coco_as(output: AnyPath, target: AnyPath, options: ExportOptions) -> ExportSummary:
    """Write the chosen labels as one COCO file, as run lengths or as polygons."""
    if options.writes_all:
        written = export_coco(output, target)
        return ExportSummary(written.labelled + written.empty, written.objects, written.failed)
    categories = read_categories(output, options.choice)
    head = {"info": describe_run(read_run_file(output)), "licenses": [], "categories": categories}
    summary = ExportSummary()
    with replace_file(target) as temporary, temporary.open("wb") as file:
        stream = SealedStream(file)
        stream.write(_dump(head)[:-1].encode())
        stream.write(b',\n"images":[')
        image_ids, counts = _write_images(stream, output, options)
        stream.write(b'],\n"annotations":[')
        _write_annotations(stream, output, options, _number(image_ids, counts))
        stream.write(b"]")
        stream.seal()
    summary.images, summary.objects = len(image_ids), int(counts.sum())
    return summary


def _write_images(
    stream: SealedStream, output: AnyPath, options: ExportOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Write the images; return their ids and numbers of objects: (N,) int64 each."""
    image_ids, counts = array("q"), array("q")
    for image in iterate_labelled(output, options.choice, ()):
        entry = {"id": image.image_id, "file_name": image.file_name}
        entry |= {"width": image.width, "height": image.height}
        stream.write(f"{',' if image_ids else ''}\n{_dump(entry)}".encode())
        image_ids.append(image.image_id)
        counts.append(len(image.objects))
    return np.frombuffer(image_ids, np.int64), np.frombuffer(counts, np.int64)


def _number(image_ids: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the first annotation id of each image, counted in order of image ids: (N,) int64."""
    order = np.argsort(image_ids, kind="stable")
    first_ids = np.empty(len(counts), np.int64)
    first_ids[order] = 1 + np.cumsum(counts[order]) - counts[order]
    return first_ids


def _write_annotations(
    stream: SealedStream, output: AnyPath, options: ExportOptions, first_ids: np.ndarray
) -> None:
    images = iterate_crops(iterate_labelled(output, options.choice))
    comma = b""
    for (image, crops), first_id in zip(images, first_ids.tolist(), strict=True):
        for annotation in _describe_objects(image, crops if options.polygons else (), first_id):
            stream.write(comma + b"\n" + _dump(annotation).encode())
            comma = b","


def _describe_objects(
    image: LabelledImage, crops: Sequence[MaskCrop], first_id: int
) -> Iterator[dict[str, Any]]:
    """Yield the annotations of an image, with polygons where crops of its masks are given."""
    for number, item in enumerate(image.objects):
        plain = {name: shorten(item[name]) for name in ("area", "score", "detector_score")}
        optional = {name: shorten(item.get(name)) for name in OPTIONAL_FIELDS}
        yield {
            "id": first_id + number,
            "image_id": image.image_id,
            "category_id": item["category_id"],
            "segmentation": _list_polygons(crops[number]) if crops else item["segmentation"],
            "area": plain.pop("area"),
            "bbox": [round(side, 2) for side in item["bbox"]],
            "iscrowd": 0,
            **plain,
            **{name: value for name, value in optional.items() if value is not None},
        }


def shorten(value: Any) -> Any:
    """Return a float as the shortest decimal that is the same float32; all else as it is."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _list_polygons(crop: MaskCrop) -> list[Any]:
    """Return a mask as polygons: one for each part, holes bridged."""
    corner = (crop.left, crop.top)
    rings = [polygon + corner for polygon in trace_edges(crop.pixels)]
    return [ring.reshape(-1).tolist() for ring in rings]


def read_coco(
    output: AnyPath,
    target: AnyPath,
    options: ExportOptions,
) -> Iterator[list[RLE | None]]:
    """Yield the masks of each image as pycocotools makes them, in the order of the rows."""
    annotations = (item for key, item in iterate_json(target) if key == "annotations[]")
    found = groupby(annotations, lambda item: item["image_id"])
    waiting = next(found, None)
    for image in iterate_labelled(output, options.choice, ()):
        if waiting is None or waiting[0] != image.image_id:
            yield []
            continue
        masks = [item["segmentation"] for item in waiting[1]]
        yield [_read_mask(mask, image.height, image.width) for mask in masks]
        waiting = next(found, None)


def _read_mask(segmentation: Any, height: int, width: int) -> RLE:
    rle = to_rle(segmentation, height, width)
    counts = rle["counts"]
    return {"size": rle["size"], "counts": counts if isinstance(counts, str) else counts.decode()}


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
