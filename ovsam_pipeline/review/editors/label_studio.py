"""Label Studio's JSON export → what people left in each image.

A task has an annotation for each person who submitted it; the last one comes last. Skipped tasks,
drafts and predictions that nobody submitted are no answers. A region is one of ours where its meta,
or its id, has our key; a region with the choice "reject" is no object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ovsam.coco_fields import to_text
from ovsam.coco_json import iterate_json
from ovsam.errors import show_value
from ovsam_pipeline.export.brush_runs import decode_brush
from ovsam_pipeline.export.editor_images import BATCH_FIELD, KEY_FIELD
from ovsam_pipeline.export.label_studio import FILE_NAME_FIELD, REJECT
from ovsam_pipeline.export.review_tasks import CorrectedImage, LeftObject
from ovsam_pipeline.outcomes import Reasons
from ovsam_pipeline.review.editors.shapes import (
    check_size,
    draw_ellipse,
    draw_pixels,
    draw_polygons,
    draw_turned_box,
    to_float,
)
from ovsam_pipeline.review.editors.untaken import counting_untaken, take_text

if TYPE_CHECKING:
    from ovsam.coco_json import JsonFile
    from ovsam.structures import RLE

_OWN_ID = re.compile(r"[0-9a-f]{16}")
_LABELS = re.compile(r"(brush|rectangle|polygon|ellipse)?labels")
_SHAPES = ("brush", "rectangle", "polygon", "ellipse")
# What says something of the image as a whole or of a region, and is no region.
_NO_REGIONS = ("choices", "textarea", "rating", "number", "datetime", "relation", "taxonomy")


def read_label_studio(path: JsonFile, left_out: Reasons) -> Iterator[CorrectedImage]:
    """Yield an image for each annotation that a person submitted.

    A task whose regions cannot be read gives none, and is counted in `left_out`.

    Raises:
        ValueError: it is no JSON, or not Label Studio's "JSON" (JSON-MIN lacks what is needed).
    """
    for key, task in iterate_json(path):
        if key != "[]":
            continue
        if not isinstance(task, dict) or "data" not in task:
            raise ValueError(
                'expected the export "JSON" of Label Studio, whose tasks have "data" and '
                f'"annotations", got {show_value(task, 60)}; JSON-MIN and CSV lack the regions'
            )
        found: list[CorrectedImage] = []
        with counting_untaken(left_out, _find_name(task)):
            found += _read_task(task)
        yield from found


def read_predictions(path: JsonFile) -> Iterator[CorrectedImage]:
    """Yield an image for each task: the regions of its first prediction, that nobody has seen yet.

    Raises:
        ValueError: it is no JSON, or a region cannot be read.
    """
    for key, task in iterate_json(path):
        if key == "[]":
            objects = tuple(_read_regions(task["predictions"][0]["result"]))
            yield CorrectedImage(str(_find_name(task)), objects)


def _find_name(task: dict[str, Any]) -> str | None:
    data = task.get("data")
    return take_text(data, FILE_NAME_FIELD) or take_text(data, "image")


def _read_task(task: dict[str, Any]) -> Iterator[CorrectedImage]:
    annotations = task.get("annotations", task.get("completions", []))
    submitted = [item for item in annotations if not item.get("was_cancelled")]
    name = _find_name(task)
    if submitted and name is None:
        raise ValueError(f'its data names no "{FILE_NAME_FIELD}" and no "image"')
    batch = take_text(task["data"], BATCH_FIELD)
    for annotation in sorted(submitted, key=_get_time):
        objects = tuple(_read_regions(annotation.get("result", [])))
        by = _get_person(annotation.get("completed_by"))
        yield CorrectedImage(str(name), objects, by, _get_time(annotation) or None, batch)


def _get_time(annotation: dict[str, Any]) -> str:
    """Return when an annotation was submitted last, in UTC; "" where the file does not say it."""
    text = take_text(annotation, "updated_at") or take_text(annotation, "created_at") or ""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return ""


def _get_person(value: Any) -> str | None:
    """Return who: an address of mail or a name where the export has it, else the number."""
    if isinstance(value, dict):
        names = (take_text(value, name) for name in ("email", "username", "first_name"))
        return next((name for name in names if name), None) or _get_person(value.get("id"))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"user {value}"
    return to_text(value)


def _read_regions(results: Iterable[dict[str, Any]]) -> Iterator[LeftObject]:
    """Yield the objects of an annotation, whose regions may be spread over several results."""
    shapes: dict[str, dict[str, Any]] = {}
    names: dict[str, str] = {}
    rejected = set()
    for result in results:
        region, kind = str(result.get("id")), str(result.get("type"))
        value = result.get("value", {})
        labels = next((value[key] for key in value if _LABELS.fullmatch(key)), None)
        if labels:
            names[region] = labels[0]
        if kind == "choices" and REJECT in value.get("choices", []):
            rejected.add(region)
        shape = kind.removesuffix("labels")
        if shape in _SHAPES:
            shapes[region] = {**result, "shape": shape}
        elif kind not in (*_NO_REGIONS, "labels"):
            raise ValueError(f"a region of the type {show_value(kind, 30)} cannot be read")
    for region, result in shapes.items():
        if region in rejected:
            continue
        name = to_text(names.get(region))
        if name is None:
            raise ValueError("a region has no label; give it one, or delete it")
        yield LeftObject(name, _draw_region(result), _find_key(result))


def _find_key(result: dict[str, Any]) -> str | None:
    own = take_text(result.get("meta"), KEY_FIELD)
    region = take_text(result, "id") or ""
    return own or (region if _OWN_ID.fullmatch(region) else None)


def _draw_region(result: dict[str, Any]) -> RLE:
    size = check_size(result.get("original_height"), result.get("original_width"))
    if result.get("image_rotation"):
        raise ValueError("its image was turned in the editor")
    value = result["value"]
    if result["shape"] == "brush":
        return _draw_brush(value, size)
    to_pixels = np.array([size[1], size[0]]) / 100
    if result["shape"] == "polygon":
        points = [[to_float(x), to_float(y)] for x, y in value["points"]]
        return draw_polygons([np.array(points) * to_pixels], size)
    place = np.array([to_float(value["x"]), to_float(value["y"])]) * to_pixels
    degrees = to_float(value.get("rotation") or 0)
    if result["shape"] == "ellipse":
        radii = np.array([to_float(value["radiusX"]), to_float(value["radiusY"])]) * to_pixels
        return draw_ellipse(place.tolist(), radii.tolist(), degrees, size)
    sides = np.array([to_float(value["width"]), to_float(value["height"])]) * to_pixels
    # A box turns about its first corner.
    box = [*place.tolist(), *(place + sides).tolist()]
    return draw_turned_box(box, degrees, place.tolist(), size)


def _draw_brush(value: dict[str, Any], size: tuple[int, int]) -> RLE:
    if value.get("format") != "rle":
        raise ValueError(f"expected a brush as rle, got {show_value(value.get('format'), 30)}")
    numbers = np.asarray(value["rle"])
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        raise ValueError("expected the rle of a brush as a list of bytes")
    if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) <= 255:
        raise ValueError("expected the rle of a brush as a list of bytes")
    pixels = decode_brush(numbers.astype(np.uint8), *size)
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not len(rows):
        raise ValueError("a brush covers no pixel of the image")
    crop = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return draw_pixels(crop, int(columns[0]), int(rows[0]), size)
