"""A FiftyOneDataset export (samples.json) → what people left in each image.

All samples of the file count as looked at, so export the view of those that were. The mask of a
detection is an array in its box, packed by zlib: exact, where FiftyOne's COCO has polygons. Samples
have the names of our pictures, detections our key.
"""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ovsam.coco_json import iterate_json
from ovsam.errors import show_value
from ovsam_pipeline.export.editor_images import BATCH_FIELD, KEY_FIELD
from ovsam_pipeline.export.review_tasks import CorrectedImage, LeftObject
from ovsam_pipeline.outcomes import Reasons
from ovsam_pipeline.review.editors.shapes import check_size, draw_box, draw_pixels, to_float
from ovsam_pipeline.review.editors.untaken import counting_untaken, take_text

if TYPE_CHECKING:
    from ovsam.coco_json import JsonFile
    from ovsam.structures import RLE

# Of an array's own description.
_HEAD_BYTES = 4096


def read_fiftyone(path: JsonFile, left_out: Reasons) -> Iterator[CorrectedImage]:
    """Yield the samples of a samples.json; what gives none is counted in `left_out`.

    Raises:
        ValueError: it is no JSON.
    """
    for key, sample in iterate_json(path):
        if key != "samples[]":
            continue
        found: list[CorrectedImage] = []
        with counting_untaken(left_out, take_text(sample, "filepath")):
            found.append(_read_sample(sample))
        yield from found


def _read_sample(sample: dict[str, Any]) -> CorrectedImage:
    detections = _find_detections(sample)
    metadata = sample.get("metadata")
    if not isinstance(metadata, dict):
        raise ValueError("its metadata has no width and height; run dataset.compute_metadata()")
    size = check_size(metadata.get("height"), metadata.get("width"))
    objects = tuple(_read_detection(item, size) for item in detections)
    batches = {take_text(item, BATCH_FIELD) for item in detections} - {None}
    batch = take_text(sample, BATCH_FIELD) or (batches.pop() if len(batches) == 1 else None)
    return CorrectedImage(sample["filepath"], objects, batch=batch)


def _find_detections(sample: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the detections of a sample: of several fields those with our keys."""
    fields = [
        value["detections"]
        for value in sample.values()
        if isinstance(value, dict) and value.get("_cls") == "Detections"
    ]
    if len(fields) > 1:
        fields = [items for items in fields if any(take_text(i, KEY_FIELD) for i in items)]
        if len(fields) != 1:
            raise ValueError("several fields hold detections; export the one that was reviewed")
    return fields[0] if fields else []


def _read_detection(detection: dict[str, Any], size: tuple[int, int]) -> LeftObject:
    category = take_text(detection, "label")
    if category is None:
        raise ValueError("a detection has no label")
    key = take_text(detection, KEY_FIELD)
    x, y, width, height = (to_float(value) for value in detection["bounding_box"])
    sides = np.array([size[1], size[0]])
    corners = np.array([[x, y], [x + width, y + height]]) * sides
    mask = detection.get("mask")
    if mask is None:
        return LeftObject(category, draw_box(corners.reshape(-1).tolist(), size), key)
    return LeftObject(category, _place_mask(_unpack_mask(mask, size), corners, size), key)


def _place_mask(pixels: np.ndarray, corners: np.ndarray, size: tuple[int, int]) -> RLE:
    """Return a mask that fills a box, in pixels of the image; what lies outside is cut off."""
    (left, top), (right, bottom) = np.rint(np.clip(corners, -1e6, 1e6)).astype(int).tolist()
    if right <= left or bottom <= top:
        raise ValueError("a mask has no pixel")
    height, width = min(bottom - top, 2 * size[0]), min(right - left, 2 * size[1])
    if pixels.shape != (height, width):
        resized = cv2.resize(
            pixels.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
        )
        pixels = resized.astype(bool)
    first_x, first_y = max(left, 0), max(top, 0)
    kept = pixels[first_y - top : size[0] - top, first_x - left : size[1] - left]
    return draw_pixels(kept, first_x, first_y, size)


def _unpack_mask(mask: Any, size: tuple[int, int]) -> np.ndarray:
    """Return a packed array as (h, w) bool, which is no larger than the image."""
    packed = mask.get("$binary", {}).get("base64") if isinstance(mask, dict) else mask
    if not isinstance(packed, str):
        raise ValueError(f"expected a mask as base64, got {show_value(mask, 30)}")
    # A few bytes may unpack to gigabytes; eight bytes a pixel is the largest kind of number.
    most = 8 * size[0] * size[1] + _HEAD_BYTES
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(base64.b64decode(packed, validate=True), most)
    except (zlib.error, ValueError) as error:
        raise ValueError("a mask is damaged") from error
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise ValueError("a mask is larger than its image, or cut off")
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise ValueError(f"expected a mask as rows of pixels, got an array of {array.shape}")
    return np.asarray(array > 0)
