"""Rows of an output, and their images → OUT/preview/*.jpg: masks, boxes, labels and scores."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ovsam.errors import ImageError, explain
from ovsam.masks import decode_mask
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.drawing import (
    WHITE,
    Box,
    choose_colour,
    draw_label,
    draw_outline,
    draw_point,
    encode_jpeg,
    find_outline,
)
from ovsam_pipeline.output.answered_rows import read_corrections
from ovsam_pipeline.output.folder import PREVIEW_FOLDER, list_parts
from ovsam_pipeline.output.parts import iterate_part_rows
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.read_image import decode_image
from ovsam_pipeline.storage.atomic import write_atomically
from ovsam_pipeline.storage.remote_path import AnyPath

logger = logging.getLogger(__name__)

# The longer side of a picture, in pixels, so that text is readable and files stay small: smaller
# images are enlarged, larger ones reduced, before anything is drawn.
_LEAST_SIDE, _MOST_SIDE = 640, 1600
# More would cover each other.
_MOST_OBJECTS = 100
_FEW_OBJECTS = 15
# Light enough to see the object, strong enough to see where its mask is.
_OPACITY = 0.25
_MOST_NAME_BYTES = 120
_LEAST_TEXT_SCALE = 0.45


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


def draw_objects(image: np.ndarray, objects: Sequence[dict[str, Any]]) -> np.ndarray:
    """Return a picture of an (H, W, 3) uint8 RGB image and the 100 best of its objects.

    Objects are as in a row of the output. The longer side has 640 to 1600 pixels.
    """
    longest = max(image.shape[:2])
    scale = min(max(1.0, _LEAST_SIDE / longest), _MOST_SIDE / longest)
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(image, (width, height), interpolation=interpolation)
    side = max(height, width)
    thickness = max(2, round(side / 400))
    # Many tags of full size would cover the picture.
    share = min(1.0, (_FEW_OBJECTS / max(1, len(objects))) ** 0.5)
    text_scale = max(_LEAST_TEXT_SCALE, side / 1300 * share)
    if not objects:
        draw_label(picture, "no objects", (0, 0, width, height), WHITE, text_scale, [])
        return picture
    best = sorted(objects, key=lambda item: -item["score"])[:_MOST_OBJECTS]
    # Large objects first, so that a small one on top of them stays visible.
    drawn = sorted(best, key=lambda item: -item["area"])
    colours = [choose_colour(item["category_id"]) for item in drawn]
    # Tinted once: masks mixed one after another would hide what lies under them.
    tinted, outlines = picture.copy(), []
    for item, colour in zip(drawn, colours, strict=True):
        mask = _decode_mask(item, (width, height))
        tinted[mask > 0] = colour
        outlines.append(find_outline(mask))
    picture = cv2.addWeighted(tinted, _OPACITY, picture, 1 - _OPACITY, 0)
    boxes = [_find_corners(item["bbox"], scale) for item in drawn]
    for outline, box, colour in zip(outlines, boxes, colours, strict=True):
        cv2.rectangle(picture, box[:2], box[2:], colour, thickness // 2)
        draw_outline(picture, outline, colour, thickness)
    plates: list[Box] = []
    for item, box, colour in zip(drawn, boxes, colours, strict=True):
        if point := item.get("detector_point_xy"):
            x, y = (round(value * scale) for value in point)
            draw_point(picture, (x, y), colour, thickness)
        text = f"{item['category']} {item['score']:.2f}"
        plates.append(draw_label(picture, text, box, colour, text_scale, plates))
    return picture


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


def _find_corners(box_xywh: Sequence[float], scale: float) -> Box:
    left, top, width, height = (round(value * scale) for value in box_xywh)
    return left, top, left + width, top + height


def _decode_mask(item: dict[str, Any], size_wh: tuple[int, int]) -> np.ndarray:
    segmentation = item["segmentation"]
    mask = decode_mask(segmentation, *segmentation["size"])
    return cv2.resize(mask, size_wh, interpolation=cv2.INTER_NEAREST)
