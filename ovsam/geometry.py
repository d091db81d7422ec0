"""Boxes and sizes between the original image and the network input. Pure numpy."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def clip_boxes(boxes_xyxy: FloatArray, size_hw: tuple[int, int]) -> FloatArray:
    """Clip (N, 4) corner boxes to an image of `size_hw` pixels."""
    height, width = size_hw
    limit = np.array([width, height, width, height], dtype=np.float32)
    return np.clip(np.asarray(boxes_xyxy, dtype=np.float32), 0, limit)


def resized_size_hw(size_hw: tuple[int, int], longer_side: int) -> tuple[int, int]:
    """Return the size with the longer side scaled to `longer_side`, rounded to whole pixels.

    Source: the released `ResizeLongestSide`: int(x * scale + 0.5). At least 1 pixel a side.
    """
    height, width = size_hw
    scale = longer_side / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
