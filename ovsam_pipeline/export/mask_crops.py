"""Run lengths of a mask → the pixels of its tight box alone, and runs along its rows.

COCO counts pixels down the columns; most editors count along the rows. A mask is decoded in its
box, never in its whole image: a hundred small objects of a 12-megapixel photo cost what they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import numpy as np
from pycocotools import mask as coco_mask

from ovsam.run_lengths import decode_all_counts
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.labels import LabelledImage

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import RLE

# Pixels of crops that are made together: some megabytes, whatever their number.
_PIXELS_AT_ONCE = 1 << 22
_IMAGES_AT_ONCE = 32


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
    """Return the pixels of a mask in its tight box; see `crop_masks`."""
    return crop_masks([rle])[0]


def crop_masks(rles: Sequence[RLE]) -> list[MaskCrop]:
    """Return the pixels of masks in their tight boxes: many at once, as most of them are small.

    A ValueError where one is no mask of an image of its size.
    """
    sizes = np.array([rle["size"] for rle in rles], np.int64).reshape(-1, 2)
    ones = _find_ones([rle["counts"] for rle in rles], sizes)
    has_pixels = ones.counts > 0
    crops = [MaskCrop(0, 0, np.zeros((0, 0), bool))] * len(rles)
    if not has_pixels.any():
        return crops
    firsts = (np.cumsum(ones.counts) - ones.counts)[has_pixels]
    lasts = firsts + ones.counts[has_pixels] - 1
    left, right = ones.first_columns[firsts], ones.last_columns[lasts]
    # A run over several columns has pixels in the first and in the last row.
    spans = ones.last_columns > ones.first_columns
    top = np.minimum.reduceat(np.where(spans, 0, ones.first_rows), firsts)
    bottom = np.maximum.reduceat(np.where(spans, ones.heights - 1, ones.last_rows), firsts)
    width, height = right - left + 1, bottom - top + 1
    of = np.repeat(np.arange(len(firsts)), ones.counts[has_pixels])
    starts = (ones.first_columns - left[of]) * height[of] + ones.first_rows - top[of]
    stops = (ones.last_columns - left[of]) * height[of] + ones.last_rows - top[of] + 1
    boxes = np.stack([left, top, width, height], axis=1)
    pixels = _fill(starts, stops, of, width * height)
    for index, box, flat in zip(np.flatnonzero(has_pixels), boxes.tolist(), pixels, strict=True):
        # Columns follow each other in memory, as COCO counts.
        crops[index] = MaskCrop(box[0], box[1], flat.reshape(box[2], box[3]).T)
    return crops


def iterate_crops(
    images: Iterable[LabelledImage],
) -> Iterator[tuple[LabelledImage, list[MaskCrop]]]:
    """Yield images with the masks of their objects; an OutputError names a damaged one."""
    images = iter(images)
    while some := list(islice(images, _IMAGES_AT_ONCE)):
        rles = [item["segmentation"] for image in some for item in image.objects]
        try:
            for image in some:
                _check_sizes(image)
            crops = iter(crop_masks(rles))
        except ValueError as error:
            _raise_damaged(some, error)
        for image in some:
            yield image, list(islice(crops, len(image.objects)))


def _check_sizes(image: LabelledImage) -> None:
    size = [image.height, image.width]
    if any(list(item["segmentation"]["size"]) != size for item in image.objects):
        raise ValueError("its masks have another size than their image")


def _raise_damaged(images: Sequence[LabelledImage], error: ValueError) -> NoReturn:
    """Raise an OutputError that names the first image with a damaged mask."""
    for image in images:
        try:
            _check_sizes(image)
            crop_masks([item["segmentation"] for item in image.objects])
        except ValueError as reason:
            raise OutputError(
                f"the row of {image.file_name} is damaged: {reason}; label that image again"
            ) from error
    raise error


class _Ones(NamedTuple):
    """The runs of ones of n masks, (m,) int64 each; `counts` of them are each mask's, (n,)."""

    counts: np.ndarray
    heights: np.ndarray
    first_columns: np.ndarray
    first_rows: np.ndarray
    last_columns: np.ndarray
    last_rows: np.ndarray


def _find_ones(counts: Sequence[str], sizes: np.ndarray) -> _Ones:
    runs, num_runs = decode_all_counts(counts, sizes[:, 0] * sizes[:, 1])
    mask_of = np.repeat(np.arange(len(num_runs)), num_runs)
    firsts = np.cumsum(num_runs) - num_runs
    stops = np.cumsum(runs)
    stops -= (stops[firsts] - runs[firsts])[mask_of]
    is_ones = ((np.arange(len(runs)) - firsts[mask_of]) % 2 == 1) & (runs > 0)
    stops, mask_of = stops[is_ones], mask_of[is_ones]
    heights = sizes[mask_of, 0]
    first = np.divmod(stops - runs[is_ones], heights)
    last = np.divmod(stops - 1, heights)
    return _Ones(np.bincount(mask_of, minlength=len(sizes)), heights, *first, *last)


def _fill(
    starts: np.ndarray, stops: np.ndarray, mask_of: np.ndarray, areas: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield the pixels of each mask, (area,) bool, with ones from starts to stops: (m,) int64."""
    ends = np.cumsum(areas)
    group_of = ends // _PIXELS_AT_ONCE
    for group in np.unique(group_of):
        masks = np.flatnonzero(group_of == group)
        first = ends[masks[0]] - areas[masks[0]]
        ones = slice(*np.searchsorted(mask_of, [masks[0], masks[-1] + 1]))
        offsets = (ends - areas)[mask_of[ones]] - first
        edges = np.stack([starts[ones] + offsets, stops[ones] + offsets], axis=1).reshape(-1)
        lengths = np.diff(edges, prepend=0, append=ends[masks[-1]] - first)
        pixels = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
        for mask in masks:
            stop = ends[mask] - first
            yield pixels[stop - areas[mask] : stop]


def list_row_runs(pixels: np.ndarray) -> np.ndarray:
    """Return the run lengths of (h, w) bool pixels along their rows: (m,) int64.

    The first run is of zeros and may be 0 long, as CVAT counts.
    """
    flat = pixels.reshape(-1)
    if not flat.size:
        return np.zeros(0, np.int64)
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    return _measure_runs([0] if flat[0] else [], changes, flat.size)


def list_image_row_runs(crop: MaskCrop, height: int, width: int) -> np.ndarray:
    """Return the same of the whole (height, width) image that a crop lies in, which is not made."""
    padded = np.zeros((crop.pixels.shape[0], crop.pixels.shape[1] + 1), np.int8)
    padded[:, :-1] = crop.pixels
    # A difference over the joined rows: each row ends with a zero, so no run crosses two rows.
    flat = padded.reshape(-1)
    places = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat.size and flat[0]:
        places = np.concatenate([[0], places])
    rows, columns = np.divmod(places, padded.shape[1])
    places = (crop.top + rows) * width + crop.left + columns
    # Where a row of full width is followed by another, its end is the other's beginning.
    meets = np.flatnonzero(places[1:] == places[:-1])
    places = np.delete(places, np.concatenate([meets, meets + 1]))
    runs = _measure_runs([], places, height * width)
    return runs[:-1] if runs[-1] == 0 else runs


def _measure_runs(first: list[int], changes: np.ndarray, total: int) -> np.ndarray:
    bounds = np.concatenate([[0], first, changes, [total]]).astype(np.int64)
    return bounds[1:] - bounds[:-1]


def encode_crop(crop: MaskCrop, height: int, width: int) -> RLE:
    """Return a mask in its box, within an image of (height, width), as run lengths of the image."""
    # COCO counts down the columns: along the rows of the turned image.
    turned = MaskCrop(crop.top, crop.left, np.ascontiguousarray(crop.pixels.T))
    runs = list_image_row_runs(turned, width, height).tolist()
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}
