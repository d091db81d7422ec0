"""Pixels of a mask → how long, wide and turned it is, by moments: what biologists measure.

Each number is that of scikit-image's `regionprops` of the same mask: the ellipse with the same
second moments about the centroid.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ovsam_pipeline.export.mask_crops import MaskCrop


class Shape(NamedTuple):
    """The ellipse with the moments of a mask.

    Attributes:
        centre_x: of the centroid, pixels of the upright image; the centre of the top left pixel
            is (0, 0). So is `centre_y`.
        length: major axis in pixels (`axis_major_length`): of a filled ellipse its length, of a
            rectangle 1.155 times its length; 0 for one pixel.
        width: minor axis in pixels (`axis_minor_length`); 0 for a line one pixel thin.
        orientation: of the major axis in degrees, in (-90, 90]: 0 is vertical, and positive ones
            turn its upper end to the left (`orientation`, which is in radians).
    """

    centre_x: float
    centre_y: float
    length: float
    width: float
    orientation: float


def measure_shape(crop: MaskCrop) -> Shape | None:
    """Return the shape of a mask; None for one without a pixel."""
    pixels = crop.pixels
    in_columns = pixels.sum(axis=0, dtype=np.float64)
    area = float(in_columns.sum())
    if not area:
        return None
    in_rows = pixels.sum(axis=1, dtype=np.float64)
    x, y = (
        np.arange(pixels.shape[1], dtype=np.float64),
        np.arange(pixels.shape[0], dtype=np.float64),
    )
    centre_x, centre_y = float(in_columns @ x) / area, float(in_rows @ y) / area
    x, y = x - centre_x, y - centre_y
    along_x, along_y = float(in_columns @ (x * x)) / area, float(in_rows @ (y * y)) / area
    across = float(y @ (pixels @ x)) / area
    half, spread = (along_x + along_y) / 2, math.hypot((along_x - along_y) / 2, across)
    return Shape(
        crop.left + centre_x,
        crop.top + centre_y,
        4 * math.sqrt(half + spread),
        4 * math.sqrt(max(0.0, half - spread)),
        math.degrees(_find_orientation(along_x, along_y, across)),
    )


def _find_orientation(along_x: float, along_y: float, across: float) -> float:
    """Return the angle of the major axis as scikit-image defines it, in radians."""
    if along_x == along_y:
        return math.pi / 4 if across > 0 else -math.pi / 4
    return 0.5 * math.atan2(2 * across, along_y - along_x)
