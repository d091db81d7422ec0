"""Run lengths of a mask → the pixels of its tight box alone, and runs along its rows.

COCO counts pixels down the columns; most editors count along the rows. A mask is decoded in its
box, never in its whole image: a hundred small objects of a 12-megapixel photo cost what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from ovsam.run_lengths import decode_counts

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import RLE


class MaskCrop(NamedTuple):
    """A mask in its tight box.

    Attributes:
        left: column of the image where the box begins; `top`: row.
        pixels: (h, w) bool; (0, 0) for a mask without a pixel.
    """

    left: int
    top: int
    pixels: np.ndarray

    @property
    def box_xywh(self) -> tuple[int, int, int, int]:
        """The tight box in whole pixels."""
        height, width = self.pixels.shape
        return self.left, self.top, width, height


def crop_mask(rle: RLE) -> MaskCrop:
    """Return the pixels of a mask in its tight box.

    `rle`: of a row of an output, whose run lengths were checked when they were written or read.
    """
    height = int(rle["size"][0])
    runs = decode_counts(rle["counts"])
    stops = np.cumsum(runs)
    ones = np.flatnonzero((runs > 0) & (np.arange(len(runs)) % 2 == 1))
    if not len(ones):
        return MaskCrop(0, 0, np.zeros((0, 0), bool))
    first, last = ones[0], ones[-1]
    left, right = (stops[first] - runs[first]) // height, (stops[last] - 1) // height
    inside = runs[first : last + 1]
    values = np.arange(1, 1 + len(inside), dtype=np.uint8) & 1
    columns = np.zeros((int(right - left + 1), height), np.uint8)
    start = int(stops[first] - runs[first] - left * height)
    columns.reshape(-1)[start : start + int(inside.sum())] = np.repeat(values, inside)
    rows = np.flatnonzero(columns.any(axis=0))
    pixels = np.ascontiguousarray(columns[:, rows[0] : rows[-1] + 1].T).view(bool)
    return MaskCrop(int(left), int(rows[0]), pixels)


def list_row_runs(pixels: np.ndarray) -> np.ndarray:
    """Return the run lengths of (h, w) bool pixels along their rows: (m,) int64.

    The first run is of zeros and may be 0 long, as CVAT counts.
    """
    flat = pixels.reshape(-1)
    if not flat.size:
        return np.zeros(0, np.int64)
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(changes, prepend=0, append=flat.size)
    return np.concatenate([[0], runs]) if flat[0] else runs


def list_image_row_runs(crop: MaskCrop, height: int, width: int) -> np.ndarray:
    """Return the same of the whole (height, width) image that a crop lies in, which is not made."""
    padded = np.zeros((crop.pixels.shape[0], crop.pixels.shape[1] + 1), np.int8)
    padded[:, :-1] = crop.pixels
    # A difference over the joined rows: each row ends with a zero, so no run crosses two rows.
    edges = np.diff(padded.reshape(-1), prepend=0)
    places = np.flatnonzero(edges)
    rows, columns = np.divmod(places, padded.shape[1])
    places = (crop.top + rows) * width + crop.left + columns
    # Where a row of full width is followed by another, its end is the other's beginning.
    meets = np.flatnonzero(places[1:] == places[:-1])
    places = np.delete(places, np.concatenate([meets, meets + 1]))
    runs = np.diff(places, prepend=0, append=height * width)
    return runs[:-1] if runs[-1] == 0 else runs


def encode_crop(crop: MaskCrop, height: int, width: int) -> RLE:
    """Return a mask in its box, within an image of (height, width), as run lengths of the image."""
    # COCO counts down the columns: along the rows of the turned image.
    turned = MaskCrop(crop.top, crop.left, np.ascontiguousarray(crop.pixels.T))
    runs = list_image_row_runs(turned, width, height).tolist()
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}
