"""COCO masks: polygons and run lengths of either kind → compressed run lengths, or pixels.

The one reader of `segmentation` in COCO, LVIS and SA-1B files, and what pycocotools computes on
masks. RLE here: {"size": [height, width], "counts": compressed run lengths as text or bytes}.

Letters: N masks, M other masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from ovsam.coco_fields import to_side
from ovsam.errors import show_value
from ovsam.run_lengths import find_readable_counts

if TYPE_CHECKING:  # structures needs torch, masks do not
    from ovsam.structures import RLE

# pycocotools takes a list of four numbers for a box, and two points have no area.
_FEWEST_NUMBERS = 6
# pycocotools 2.0.11 with numpy 2 fails on more: it holds their number in a uint8.
_AREA_BATCH = 255
# Pycocotools keeps a run in so many bits.
_RUN_BITS = 32
# Pycocotools makes a point for each pixel of an edge: a coordinate of 1e9 would take all memory.
_MOST_COORDINATE = 1 << 20


def to_rle(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """Return a COCO segmentation as RLE.

    Compressed run lengths come back unchanged, without a look at what they decode to.
    `segmentation`: polygons [[x, y, x, y, …], …] in pixels; {"size", "counts"}; or None or [] for
    an empty mask. Polygons of fewer than three points or an odd number of values are left out.
    `height`: of the image in pixels, for polygons and empty masks; run lengths have their own.
    `width`: likewise.
    """
    if isinstance(segmentation, dict):
        return _read_run_lengths(segmentation)
    if not isinstance(segmentation, list | None):
        raise ValueError(f"expected polygons or run lengths, got {show_value(segmentation, 40)}")
    if height < 0 or width < 0:
        raise ValueError("polygons need the height and width of their image")
    rings = [_read_ring(ring) for ring in segmentation or () if is_ring(ring)]
    if not rings:
        empty = {"size": [height, width], "counts": [height * width]}
        return dict(coco_mask.frPyObjects(empty, height, width))
    return dict(coco_mask.merge(coco_mask.frPyObjects(rings, height, width)))


def decode_mask(segmentation: Any, height: int, width: int) -> NDArray[np.uint8]:
    """Return the (height, width) pixels of a COCO segmentation, 0 and 1; see `to_rle`."""
    rle = to_rle(segmentation, height, width)
    if list(rle["size"]) != [height, width]:
        raise ValueError(
            f"expected a mask of {width} x {height} pixels, got {rle['size'][1]} x "
            f"{rle['size'][0]}: the annotations were made for another version of the image"
        )
    mask: NDArray[np.uint8] = coco_mask.decode(rle)
    return mask


def encode_mask(mask: NDArray[Any]) -> RLE:
    """Return an (H, W) mask of bool, or of 0 and 1, as RLE with text."""
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": rle["size"], "counts": rle["counts"].decode("ascii")}


def find_readable_masks(rles: Sequence[Any]) -> NDArray[np.bool_]:
    """Return which RLEs with text have run lengths that fill their size: (N,) bool.

    pycocotools' C code reads on behind the end of others.
    """
    sizes = [rle["size"] for rle in rles]
    num_pixels = [size[0] * size[1] if min(size) >= 0 else -1 for size in sizes]
    counts = [rle["counts"] for rle in rles]
    return find_readable_counts(counts, np.array(num_pixels, np.int64))


def compute_mask_areas(rles: Sequence[Any]) -> NDArray[np.float64]:
    """Return the number of pixels of each RLE: (N,)."""
    if not rles:
        return np.zeros(0)
    batches = range(0, len(rles), _AREA_BATCH)
    return np.concatenate(
        [np.asarray(coco_mask.area(rles[i : i + _AREA_BATCH]), np.float64) for i in batches]
    )


def compute_tight_boxes(rles: Sequence[Any]) -> NDArray[np.float64]:
    """Return the tight box x, y, width, height of each RLE, zeros for an empty one: (N, 4)."""
    if not rles:
        return np.zeros((0, 4))
    return np.asarray(coco_mask.toBbox(rles), np.float64).reshape(-1, 4)


def compute_mask_ious(
    rles: Sequence[Any], others: Sequence[Any], is_crowd: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """Return the IoU of each pair of RLEs: (N, M); -1 where boxes meet and image sizes differ.

    `rles`: n masks. `others`: m masks. `is_crowd`: m flags: divide by the area of the first mask
    instead of the union; None: none.
    """
    flags = [0] * len(others) if is_crowd is None else is_crowd
    ious = coco_mask.iou(list(rles), list(others), flags)
    return np.asarray(ious, np.float64).reshape(len(rles), len(others))


def intersect_masks(first: Any, second: Any) -> dict[str, Any]:
    """Return the pixels that two RLEs of one size share, as RLE."""
    return dict(coco_mask.merge([first, second], intersect=True))


def merge_masks(rles: Sequence[Any]) -> dict[str, Any]:
    """Return the pixels of any of one or more RLEs of one size, as RLE."""
    return dict(coco_mask.merge(list(rles)))


def bound_mask(segmentation: Any) -> list[float] | None:
    """Return the tight box x, y, width, height of a COCO segmentation, which may be anything.

    None where it is no mask, a damaged one, or has no pixel.
    """
    if isinstance(segmentation, dict):
        try:
            rle = _read_run_lengths(segmentation)
        except (TypeError, ValueError):
            return None
        if None in map(to_side, rle["size"]):
            return None
        counts = rle["counts"] if isinstance(rle["counts"], str) else rle["counts"].decode("ascii")
        num_pixels = np.array([rle["size"][0] * rle["size"][1]], np.int64)
        if not find_readable_counts([counts], num_pixels)[0]:
            return None
        box: list[float] = compute_tight_boxes([rle])[0].tolist()
        return box if box[2] else None
    given = segmentation if isinstance(segmentation, list) else []
    rings = [ring for ring in given if is_ring(ring) and are_coordinates(ring)]
    if not rings:
        return None
    every = np.concatenate([np.reshape(ring, (-1, 2)) for ring in rings]).astype(np.float64)
    return [*every.min(axis=0).tolist(), *np.ptp(every, axis=0).tolist()]


def is_ring(ring: Any) -> bool:
    """Return whether a value can be a polygon: a list of three points or more."""
    return isinstance(ring, list) and len(ring) >= _FEWEST_NUMBERS and len(ring) % 2 == 0


def are_coordinates(values: Sequence[Any]) -> bool:
    """Return whether all values are numbers that a point near an image can have."""
    try:
        numbers = np.asarray(values)
    except (ValueError, OverflowError):  # lists among them, numbers of hundreds of digits
        return False
    is_plain = numbers.ndim == 1 and numbers.dtype.kind in "iuf"
    return is_plain and bool((np.abs(numbers) <= _MOST_COORDINATE).all())


def are_runs(runs: Any, num_pixels: int) -> bool:
    """Return whether a value is a list of uncompressed run lengths that fill so many pixels."""
    if not isinstance(runs, list):
        return False
    if not all(isinstance(run, int) and 0 <= run < 1 << _RUN_BITS for run in runs):
        return False
    return sum(runs) == num_pixels


def _read_ring(ring: list[Any]) -> NDArray[np.float64]:
    if not are_coordinates(ring):
        raise ValueError("a polygon's coordinates are not all numbers within an image's reach")
    return np.asarray(ring, np.float64)


def _read_run_lengths(segmentation: dict[str, Any]) -> dict[str, Any]:
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise ValueError(
            f"expected run lengths with the size of their image, got {show_value(size, 40)}"
        )
    if isinstance(counts, list):
        if not are_runs(counts, size[0] * size[1]):
            raise ValueError("its runs do not fill its size")
        return dict(coco_mask.frPyObjects(segmentation, *size))
    if not isinstance(counts, str | bytes) or not counts:
        raise ValueError("it has no runs")
    return segmentation
