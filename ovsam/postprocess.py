"""Low-resolution mask logits → boxes, full-size masks and RLE at the original size.

The released code resizes logits to the padded input (bilinear), crops to the image and resizes to
the original size (bilinear), then thresholds. Both resizes are linear and separable, so together
they are one row matrix and one column matrix per image size. A pixel can be positive only where a
contributing cell is, so only the region around the positive cells is computed. RLE comes straight
from that region, byte-equal to pycocotools on the full mask.

Letters: N masks, S side of the network input, h w cells of the low-resolution map, H W original.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from ovsam.structures import RLE

FloatArray = NDArray[np.float32]
STABILITY_OFFSET = 1.0
"""Logit distance from the threshold at which SAM measures a mask's stability."""


def _bilinear_matrix(inputs: int, outputs: int) -> FloatArray:
    """Return (outputs, inputs): one axis of a bilinear resize without aligned corners."""
    # As torch's interpolate(align_corners=False): pixels have their values at their centres, and
    # the border's value goes on outside.
    centres = (np.arange(outputs) + 0.5) * (inputs / outputs) - 0.5
    centres = np.clip(centres, 0, None)
    low = np.minimum(centres.astype(np.int64), inputs - 1)
    fraction = (centres - low).astype(np.float32)
    high = np.minimum(low + 1, inputs - 1)
    matrix = np.zeros((outputs, inputs), dtype=np.float32)
    rows = np.arange(outputs)
    np.add.at(matrix, (rows, low), 1 - fraction)
    np.add.at(matrix, (rows, high), fraction)
    return matrix


@dataclass(frozen=True)
class AxisResize:
    """One axis of the resize from low-resolution logits to original pixels.

    `matrix` is (original, cells) float32; a cell contributes to the pixels `first` up to `last`,
    (cells,) each, exclusive.
    """

    matrix: FloatArray
    first: NDArray[np.int64]
    last: NDArray[np.int64]


# A side of 4,000 pixels is a matrix of 4 MB: folders of odd sizes must not fill the memory.
@lru_cache(maxsize=64)
def axis_resize(cells: int, padded: int, inside: int, original: int) -> AxisResize:
    """Return the operator cells → padded input → crop to `inside` → original pixels."""
    matrix = _bilinear_matrix(inside, original) @ _bilinear_matrix(cells, padded)[:inside]
    touches = matrix > 0
    reached = touches.any(axis=0)
    first = np.where(reached, touches.argmax(axis=0), original)
    last = np.where(reached, original - touches[::-1].argmax(axis=0), 0)
    return AxisResize(matrix.astype(np.float32), first, last)


@dataclass(frozen=True)
class MaskRegion:
    """The part of one full-size mask that can be positive.

    `mask` is (h, w) bool; its corner is at row `top` and column `left` of the original image of
    `size_hw` pixels.
    """

    mask: NDArray[np.bool_]
    top: int
    left: int
    size_hw: tuple[int, int]

    def area(self) -> int:
        """Count the mask's pixels."""
        return int(np.count_nonzero(self.mask))

    def box_xyxy(self) -> tuple[float, float, float, float]:
        """Return the tight box in original pixels, zeros where the mask is empty."""
        rows, columns = np.asarray(self.mask.any(axis=1)), np.asarray(self.mask.any(axis=0))
        if not rows.any():
            return (0.0, 0.0, 0.0, 0.0)
        y1, x1 = int(rows.argmax()), int(columns.argmax())
        y2, x2 = len(rows) - int(rows[::-1].argmax()), len(columns) - int(columns[::-1].argmax())
        return (self.left + x1, self.top + y1, self.left + x2, self.top + y2)

    def full(self) -> NDArray[np.bool_]:
        """Return the (H, W) bool mask."""
        out = np.zeros(self.size_hw, dtype=bool)
        height, width = self.mask.shape
        out[self.top : self.top + height, self.left : self.left + width] = self.mask
        return out

    def rle(self) -> RLE:
        """Return COCO's compressed RLE, byte-equal to pycocotools on the full mask."""
        height, width = self.size_hw
        positions = self._toggles(height)
        counts = np.diff(positions, prepend=0, append=height * width)
        encoded = coco_mask.frPyObjects(
            {"counts": counts.tolist(), "size": [height, width]}, height, width
        )
        return {"size": [height, width], "counts": encoded["counts"].decode("ascii")}

    def _toggles(self, height: int) -> NDArray[np.int64]:
        """Return the column-major pixel positions at which the mask changes value."""
        # COCO's runs go down the columns.
        lines = self.mask.shape[0]
        if not self.mask.size:
            return np.zeros(0, dtype=np.int64)
        columns = cv2.transpose(self.mask.view(np.uint8)).view(bool)
        toggles = np.empty((columns.shape[0], lines + 1), dtype=bool)
        toggles[:, 0] = columns[:, 0]
        toggles[:, lines] = columns[:, -1]
        np.logical_xor(columns[:, 1:], columns[:, :-1], out=toggles[:, 1:lines])
        column, row = np.divmod(np.flatnonzero(toggles), lines + 1)
        positions = (column + self.left) * height + row + self.top
        # A run that reaches the bottom and continues at the next column's top does not change.
        same = np.flatnonzero(positions[1:] == positions[:-1])
        positions = np.delete(positions, np.concatenate([same, same + 1]))
        return positions[positions < height * self.size_hw[1]]


def mask_region(
    logits: FloatArray,
    input_size: int,
    input_size_hw: tuple[int, int],
    original_size_hw: tuple[int, int],
) -> MaskRegion:
    """Compute one full-size mask from (h, w) float32 logits, where it can be positive.

    The logits cover the padded network input of side `input_size`, and the image `input_size_hw` of
    it.
    """
    rows = axis_resize(logits.shape[0], input_size, input_size_hw[0], original_size_hw[0])
    columns = axis_resize(logits.shape[1], input_size, input_size_hw[1], original_size_hw[1])
    positive = logits > 0
    row_cells = np.flatnonzero(positive.any(axis=1))
    column_cells = np.flatnonzero(positive.any(axis=0))
    if not len(row_cells):
        return MaskRegion(np.zeros((0, 0), dtype=bool), 0, 0, original_size_hw)
    top, bottom = rows.first[row_cells].min(), rows.last[row_cells].max()
    left, right = columns.first[column_cells].min(), columns.last[column_cells].max()
    if top >= bottom or left >= right:
        return MaskRegion(np.zeros((0, 0), dtype=bool), 0, 0, original_size_hw)
    row_part, row_slice = _support(rows.matrix[top:bottom])
    column_part, column_slice = _support(columns.matrix[left:right])
    values = row_part @ logits[row_slice, column_slice] @ column_part.T
    return MaskRegion(values > 0, int(top), int(left), original_size_hw)


def _support(matrix: FloatArray) -> tuple[FloatArray, slice]:
    """Drop the leading and trailing cells that contribute nothing."""
    used = np.flatnonzero(matrix.any(axis=0))
    part = slice(int(used[0]), int(used[-1]) + 1)
    return matrix[:, part], part


def stability_scores(
    logits: FloatArray, input_size: int, input_size_hw: tuple[int, int]
) -> FloatArray:
    """Return SAM's stability of (N, h, w) logits: area at > +1 over area at > -1, (N,) in [0, 1].

    Measured on the low-resolution map inside the image; 0 where nothing passes -1.
    """
    scale = logits.shape[-1] / input_size
    height, width = (max(1, round(side * scale)) for side in input_size_hw)
    inside = logits[:, :height, :width]
    strict = (inside > STABILITY_OFFSET).sum(axis=(1, 2))
    loose = (inside > -STABILITY_OFFSET).sum(axis=(1, 2))
    return (strict / np.maximum(loose, 1)).astype(np.float32)
