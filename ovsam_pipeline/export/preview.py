"""Pictures of labelled images with masks, boxes, names and scores, to be looked at."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ovsam.errors import ImageError, MissingDependencyError
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.output.folder import PREVIEW_FOLDER, list_parts
from ovsam_pipeline.output.parts import iterate_part_rows
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.read_image import decode_image
from ovsam_pipeline.storage.atomic import write_atomically
from ovsam_pipeline.storage.remote_path import AnyPath

logger = logging.getLogger(__name__)

# Pictures are drawn at a size at which text is readable: smaller images are enlarged, larger ones
# reduced, before anything is drawn.
_SHORTEST, _LONGEST = 640, 1600
# A mask is a full picture in memory while it is drawn.
_MOST_OBJECTS = 100


def write_previews(output: AnyPath, images: Iterable[ImageRecord], count: int) -> list[AnyPath]:
    """Draw `count` labelled images, spread evenly over the output, into OUT/preview.

    Args:
        output: folder of a run.
        images: where the files are; only these can be drawn.
        count: most pictures; earlier ones are replaced.

    Returns:
        The pictures written.

    Raises:
        OutputError: a part cannot be read, or a picture not be written.
        MissingDependencyError: supervision is not installed.
    """
    chosen = _choose_rows(output, {image.file_name for image in images}, count)
    records = {image.file_name: image for image in images if image.file_name in chosen}
    folder = output / PREVIEW_FOLDER
    try:
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.jpg"):
            old.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot empty {folder}: {error.strerror or error}") from error
    written = []
    for number, (file_name, row) in enumerate(sorted(chosen.items()), start=1):
        try:
            picture = draw_objects(decode_image(records[file_name]), row["objects"])
        except ImageError as error:
            logger.warning("no preview of %s: %s", file_name, error)
            continue
        path = folder / f"{number:03d}_{Path(file_name).stem[:60]}.jpg"
        _, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        write_atomically(path, encoded.tobytes())
        written.append(path)
    return written


def draw_objects(image: np.ndarray, objects: list[dict[str, Any]]) -> np.ndarray:
    """Return a picture of the objects of an image.

    Args:
        image: (H, W, 3) uint8 RGB.
        objects: as in a row of the output; the 100 best-scoring ones are drawn.

    Returns:
        (H', W', 3) uint8 RGB, at most 1600 pixels a side.

    Raises:
        MissingDependencyError: supervision is not installed.
    """
    try:
        import supervision as sv
    except ImportError as error:
        raise MissingDependencyError(
            "--preview draws with the package supervision; pip install supervision"
        ) from error
    scale = _choose_scale(image.shape[0], image.shape[1])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scene: NDArray[np.uint8] = cv2.resize(  # type: ignore[assignment]
        image, (width, height), interpolation=interpolation
    )[:, :, ::-1].copy()
    if not objects:
        return scene[:, :, ::-1]
    # Large objects first, so that a small one on top of them stays visible.
    objects = sorted(objects, key=lambda item: -item["score"])[:_MOST_OBJECTS]
    objects = sorted(objects, key=lambda item: -item["area"])
    detections = sv.Detections(
        xyxy=np.array([_to_xyxy(item["bbox"]) for item in objects], np.float32) * scale,
        mask=np.array([_decode_mask(item, (width, height)) for item in objects]),
        class_id=np.arange(len(objects)),
    )
    side = max(height, width)
    text_scale, thickness = max(0.45, side / 1300), max(1, round(side / 500))
    names = [f"{item['category']} {item['score']:.2f}" for item in objects]
    scene = sv.MaskAnnotator(opacity=0.45).annotate(scene, detections)
    scene = sv.PolygonAnnotator(thickness=thickness).annotate(scene, detections)
    scene = sv.BoxAnnotator(thickness=thickness).annotate(scene, detections)
    scene = sv.LabelAnnotator(
        text_scale=text_scale,
        text_thickness=max(1, round(text_scale * 1.6)),
        text_padding=max(2, round(side / 250)),
        text_color=sv.Color.BLACK,
        smart_position=True,
    ).annotate(scene, detections, labels=names)
    return np.ascontiguousarray(scene[:, :, ::-1])


def _choose_rows(output: AnyPath, file_names: set[str], count: int) -> dict[str, dict[str, Any]]:
    """Return rows of labelled images by name, evenly spread over their sorted names."""
    places = sorted(
        (
            (str(row["file_name"]), part)
            for part in list_parts(output)
            for row in iterate_part_rows(part, ("file_name", "status"))
            if row["status"] == "labelled" and row["file_name"] in file_names
        ),
        key=lambda place: place[0],
    )
    picked = np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int))
    wanted = {places[index][0] for index in picked}
    parts = sorted({places[index][1] for index in picked}, key=str)
    return {
        row["file_name"]: row
        for part in parts
        for row in iterate_part_rows(part)
        if row["file_name"] in wanted
    }


def _choose_scale(height: int, width: int) -> float:
    longest = max(height, width)
    return min(max(1.0, _SHORTEST / longest), _LONGEST / longest)


def _to_xyxy(box_xywh: list[float]) -> tuple[float, float, float, float]:
    left, top, width, height = box_xywh
    return left, top, left + width, top + height


def _decode_mask(item: dict[str, Any], size_wh: tuple[int, int]) -> np.ndarray:
    from pycocotools import mask as coco_mask

    full = coco_mask.decode(item["segmentation"])
    return cv2.resize(full, size_wh, interpolation=cv2.INTER_NEAREST).astype(bool)
