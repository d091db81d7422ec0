"""Rows of an output, and their images → OUT/preview/*.jpg: masks, boxes, labels and scores."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ovsam.errors import ImageError, explain
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.drawing.colours import Colour, choose_class_number, choose_colour
from ovsam_pipeline.export.drawing.labels import (
    CHECK_MARK,
    CHECKED,
    DOUBT,
    QUIET,
    Label,
    annotate,
    write_remark,
)
from ovsam_pipeline.export.drawing.shapes import (
    Shape,
    draw_outline,
    draw_point,
    encode_jpeg,
    fill_shape,
    resize_picture,
    shape_of_box,
    shape_of_mask,
)
from ovsam_pipeline.export.drawing.text import UNKNOWN, to_drawable
from ovsam_pipeline.output.answered_rows import REVIEWED_BY, read_corrections
from ovsam_pipeline.output.folder import PREVIEW_FOLDER, list_parts
from ovsam_pipeline.output.parts import iterate_part_rows
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.read_image import decode_image
from ovsam_pipeline.storage.atomic import write_atomically
from ovsam_pipeline.storage.remote_path import AnyPath

logger = logging.getLogger(__name__)

# The longer side of a picture, in pixels, so that text is readable and files stay small: smaller
# images are enlarged, larger ones reduced, before anything is drawn. Of a panorama the shorter side
# is as long as objects in it need.
_LEAST_SIDE, _MOST_SIDE = 640, 1600
_LEAST_SHORTER_SIDE, _MOST_LONGER_SIDE = 320, 3200
# More would cover each other.
_MOST_OBJECTS = 100
# Light enough to see the object, strong enough to see where its mask is; large ones need less.
_MOST_OPACITY, _LEAST_OPACITY, _LARGE_SHARE = 0.32, 0.14, 0.25
_MOST_NAME_BYTES = 120
_LEAST_FONT, _MOST_FONT, _FONT_SHARE, _MANY_OBJECTS = 12, 20, 1 / 64, 40
# A higher risk always has a reason; see labelling/risk.py.
_HIGH_RISK = 0.5
# Outside of every picture.
_FAR = 1e6
_LOW_SCORE = 0.3


def write_previews(output: AnyPath, images: Iterable[ImageRecord], count: int) -> list[AnyPath]:
    """Draw `count` images, spread evenly over the output, into OUT/preview; return the files.

    Failed images have no picture; those without objects do. Only `images`, whose files are known,
    can be drawn. Pictures of an earlier run are removed.
    """
    chosen = _choose_rows(output, {image.file_name for image in images}, count)
    records = {image.file_name: image for image in images if image.file_name in chosen}
    folder = output / PREVIEW_FOLDER
    with explain("cannot empty", folder, OutputError):
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.jpg"):
            old.unlink(missing_ok=True)
    written = []
    for number, (file_name, row) in enumerate(sorted(chosen.items()), start=1):
        try:
            picture = draw_objects(decode_image(records[file_name]), row["objects"])
        except ImageError as error:
            logger.warning("no preview of %s: %s", file_name, error)
            continue
        path = folder / f"{number:03d}_{_shorten(Path(file_name).stem)}.jpg"
        write_atomically(path, encode_jpeg(picture))
        written.append(path)
    return written


def _shorten(stem: str) -> str:
    """Return the start of a name: file systems allow 255 bytes, and a letter may take four."""
    return stem.encode()[:_MOST_NAME_BYTES].decode("utf-8", "ignore")


def draw_objects(
    image: np.ndarray,
    objects: Sequence[Mapping[str, Any]],
    *,
    scale: float | None = None,
    font_size: int | None = None,
) -> np.ndarray:
    """Return a picture of an (H, W, 3) uint8 RGB image and the 100 best of its objects.

    Objects are as in a row of the output of `ovsam label`, or of `ovsam detect`, whose boxes are
    drawn. Outlines of objects that are likely wrong are dashed.

    Args:
        scale: of the picture to the image. By default the longer side has 640 to 1600 pixels, of a
            panorama up to 3200; a legend comes on top.
        font_size: in pixels, 12 to 20 by default.
    """
    if scale is None:
        scale = _choose_scale(*image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    picture = resize_picture(image, (width, height))
    size = font_size or _choose_font_size(height, width)
    if not objects:
        return write_remark(picture, "no objects", size)
    best = sorted(objects, key=lambda item: -_get_score(item))[:_MOST_OBJECTS]
    shapes = [_find_shape(item, image.shape[:2], (width, height)) for item in best]
    # Large objects first, so that a small one on top of them stays visible.
    pairs = sorted(zip(best, shapes, strict=True), key=lambda pair: -_measure_box(pair[1]))
    thickness = max(2, round(_measure_side(height, width) / 600))
    for item, shape in pairs:
        fill_shape(picture, shape, _get_colour(item), _choose_opacity(shape, picture))
    for item, shape in pairs:
        colour, is_dashed = _get_colour(item), _is_doubtful(item)
        draw_outline(picture, shape, colour, thickness, is_dashed=is_dashed)
        if point := item.get("detector_point_xy"):
            x, y = (_to_pixel(value * scale) for value in point)
            draw_point(picture, (x, y), colour, thickness)
    if len(best) > _MANY_OBJECTS and font_size is None:
        size = max(_LEAST_FONT, round(0.8 * size))
    left_out = f"the {len(best)} surest of {len(objects)} objects"
    remark = left_out if len(objects) > len(best) else ""
    labels = [describe_object(item) for item, _ in pairs]
    return annotate(picture, [shape for _, shape in pairs], labels, size, remark)


def describe_object(item: Mapping[str, Any]) -> Label:
    """Return what a picture says of an object of a row: name, score, and what speaks against it."""
    name = to_drawable(str(item.get("category") or item.get("detector_category") or "object"))
    if UNKNOWN in name and item.get("category_id") is not None:
        name += f" (id {item['category_id']})"
    notes: list[tuple[str, Colour]] = []
    if item.get(REVIEWED_BY):
        notes.append((CHECK_MARK, CHECKED))
    else:
        notes.append((_write_share(_get_score(item)), QUIET))
    if _is_doubtful(item):
        notes.append((f"risk {_write_share(item['risk'])}", DOUBT))
    is_faded = not item.get(REVIEWED_BY) and _get_score(item) < _LOW_SCORE
    return Label(name, tuple(notes), _get_colour(item), is_faded)


def _choose_scale(height: int, width: int) -> float:
    longer, shorter = max(height, width), min(height, width)
    scale = min(max(1.0, _LEAST_SIDE / longer), _MOST_SIDE / longer)
    if scale * shorter < _LEAST_SHORTER_SIDE:
        scale = max(scale, min(_LEAST_SHORTER_SIDE / shorter, _MOST_LONGER_SIDE / longer, 1.0))
    return scale


def _measure_side(height: int, width: int) -> int:
    """Return the side that text and lines go by: a panorama is looked at part by part."""
    return min(max(height, width), 3 * min(height, width))


def _choose_font_size(height: int, width: int) -> int:
    size = round(_measure_side(height, width) * _FONT_SHARE)
    return max(_LEAST_FONT, min(_MOST_FONT, size))


def _choose_opacity(shape: Shape, picture: np.ndarray) -> float:
    share = shape.area / (picture.shape[0] * picture.shape[1])
    return _MOST_OPACITY - (_MOST_OPACITY - _LEAST_OPACITY) * min(1.0, share / _LARGE_SHARE)


def _get_score(item: Mapping[str, Any]) -> float:
    score = item.get("score", item.get("detector_score"))
    return float(score) if score is not None else 0.0


def _get_colour(item: Mapping[str, Any]) -> Colour:
    number = item.get("category_id", item.get("detector_category_id"))
    return choose_colour(choose_class_number(item.get("detector_category"), number))


def _is_doubtful(item: Mapping[str, Any]) -> bool:
    risk = item.get("risk")
    return risk is not None and risk > _HIGH_RISK and not item.get(REVIEWED_BY)


def _write_share(share: float) -> str:
    """Return a number from 0 to 1 as ".62", and 1 as "1.0"."""
    text = f"{share:.2f}"
    return text[1:] if text.startswith("0.") else text[:3]


def _find_shape(
    item: Mapping[str, Any], image_hw: tuple[int, int], size_wh: tuple[int, int]
) -> Shape:
    """Return the mask of an object in the picture; its box where there is no mask."""
    # A mask that is damaged or of another image, in an output that somebody gave us, is shown by
    # its box.
    with suppress(ValueError):
        mask = item.get("segmentation")
        shape = None if mask is None else shape_of_mask(mask, image_hw, size_wh)
        if shape is not None:
            return shape
    left, top, width, height = item.get("bbox") or _to_xywh(item["detector_box_xyxy"])
    corners = (left, top, left + width, top + height)
    scale = size_wh[0] / image_hw[1]
    x0, y0, x1, y1 = (_to_pixel(value * scale) for value in corners)
    x0, y0 = min(max(x0, 0), size_wh[0] - 1), min(max(y0, 0), size_wh[1] - 1)
    return shape_of_box(
        (x0, y0, max(x0 + 1, min(x1, size_wh[0])), max(y0 + 1, min(y1, size_wh[1])))
    )


def _to_pixel(value: float) -> int:
    """Return a coordinate as a whole number that OpenCV takes; 0 for what is no number."""
    return 0 if math.isnan(value) else round(min(max(value, -_FAR), _FAR))


def _to_xywh(box_xyxy: Sequence[float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = box_xyxy
    return left, top, right - left, bottom - top


def _measure_box(shape: Shape) -> int:
    left, top, right, bottom = shape.box
    return (right - left) * (bottom - top)


def _choose_rows(output: AnyPath, file_names: set[str], count: int) -> dict[str, dict[str, Any]]:
    """Return rows that did not fail by name, evenly spread over their sorted names."""
    places = sorted(
        (
            (str(row["file_name"]), part)
            for part in list_parts(output)
            for row in iterate_part_rows(part, ("file_name", "status"))
            if row["status"] != "failed" and row["file_name"] in file_names
        ),
        key=lambda place: place[0],
    )
    picked = np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int))
    wanted = {places[index][0] for index in picked}
    parts = sorted({places[index][1] for index in picked}, key=str)
    rows = {
        row["file_name"]: row
        for part in parts
        for row in iterate_part_rows(part)
        if row["file_name"] in wanted
    }
    # What people said wins here as in the exports.
    for name, objects in read_corrections(output).objects.items():
        if name in rows:
            rows[name]["objects"] = objects
    return rows
