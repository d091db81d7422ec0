"""`gt:FILE`: the annotations of a COCO or LVIS data set as prompts.

`gt:FILE` prompts with the annotated boxes, `gt:FILE#points` with one point in each mask. Crowds are
left out, scores are 1, and the order is that of the file. Each prompt carries its annotation's id.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ovsam.coco_fields import to_id
from ovsam.errors import show_value
from ovsam.masks import decode_mask
from ovsam_pipeline.detectors.base import DetectorImage, compute_fingerprint, hash_file
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.detectors.stored.box_table import BoxTable, TableDetector
from ovsam_pipeline.detectors.stored.coco_boxes import CocoBoxes
from ovsam_pipeline.errors import DatasetError


def build_ground_truth_detector(settings: DetectorSettings) -> TableDetector:
    """Load the annotations of a file; the argument is FILE, or FILE#points for centre points.

    Raises a DatasetError where the file does not exist, or is not a COCO data set.
    """
    argument = settings.argument
    path, prompt = Path(argument).expanduser(), ""
    if "#" in argument and not path.is_file():  # a # may be part of the name
        text, _, prompt = argument.rpartition("#")
        path = Path(text).expanduser()
    if prompt not in ("", "points", "boxes"):
        raise DatasetError(f"expected gt:FILE or gt:FILE#points, got gt:{argument}")
    if not path.is_file():
        raise DatasetError(f"expected a COCO file of annotations, got {path}, which does not exist")
    segmentations: list[bytes] = []
    ids = array("q")

    def keep(annotation: dict[str, Any]) -> None:
        ids.append(_read_id(annotation, path))
        if prompt == "points":
            segmentations.append(json.dumps(annotation.get("segmentation")).encode())

    coco = CocoBoxes(keep)
    coco.read(path)
    if not coco.is_dataset:
        raise DatasetError(
            f"expected a COCO data set in {path}, got a list; use boxes:FILE for detection results"
        )
    table = coco.build(None)
    table.scores[:] = 1.0  # an annotation is certain, even if an earlier tool left a score in it
    table = replace(table, prompt_ids=np.asarray(ids, np.int64)[table.rows])
    fingerprint = compute_fingerprint("gt", prompt or "boxes", hash_file(path))
    if prompt == "points":
        return _PointDetector(settings.spec, fingerprint, table, segmentations)
    return TableDetector(settings.spec, fingerprint, table)


def _read_id(annotation: dict[str, Any], path: Path) -> int:
    """Return an annotation's id, -1 where it has none."""
    value = annotation.get("id", -1)
    number = to_id(value)
    if number is None:
        raise DatasetError(
            f"expected whole numbers or texts as annotation ids in {path}, got {show_value(value)}"
        )
    return number


class _PointDetector(TableDetector):
    """Gives the centre point of each mask next to its box.

    Masks are kept as JSON text and decoded image by image: decoded, those of a data set do not fit
    into memory.
    """

    def __init__(
        self, name: str, fingerprint: str, table: BoxTable, segmentations: list[bytes]
    ) -> None:
        super().__init__(name, fingerprint, table)
        self.segmentations = segmentations

    def _get_points(self, image: DetectorImage, rows: np.ndarray) -> np.ndarray:
        """Return (N, 2) float32; the centre of the box where an annotation has no mask."""
        height, width = image.rgb.shape[:2]
        points = np.zeros((len(rows), 2), np.float32)
        limits = np.array([width, height, width, height], np.float32)
        for index, row in enumerate(self.table.rows[rows]):
            segmentation = json.loads(self.segmentations[row])
            mask = decode_segmentation(segmentation, height, width)
            if mask.any():
                points[index] = compute_centre_point(mask)
            else:
                left, top, right, bottom = np.clip(self.table.boxes_xyxy[rows[index]], 0, limits)
                points[index] = (left + right) / 2, (top + bottom) / 2
        return points


def compute_centre_point(mask: np.ndarray) -> tuple[int, int]:
    """Return x and y of the pixel of a mask that is farthest from its edge: pixel indices.

    The mask is (H, W) bool or uint8 with at least one pixel set. The image border counts as an
    edge; of several such pixels the first in reading order is taken. This is the prompt of OV-SAM's
    published evaluation, which computes it at the size of the network's input by an approximate
    distance transform; this one is exact and at the size of the mask.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    part = mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.uint8)
    padded = np.pad(part, 1)  # the transform does not count the border as an edge
    distances = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = divmod(int(distances.argmax()), part.shape[1])
    return left + x, top + y


def decode_segmentation(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Return the (H, W) bool mask of an annotation, all False where it has none."""
    if isinstance(segmentation, dict) and "counts" not in segmentation:
        segmentation = None
    try:
        is_known = isinstance(segmentation, dict | list)
        return decode_mask(segmentation if is_known else None, height, width).astype(bool)
    except ValueError as error:
        raise DatasetError(str(error)) from error
