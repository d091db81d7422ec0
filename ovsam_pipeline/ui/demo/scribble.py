"""A person's prompt → what the mask decoder takes.

Letters: P points, h w pixels of a scribble, S side of the network input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ovsam.structures import EncodedImage, Prompts
    from ovsam_pipeline.ui.demo.prompt import Prompt

MOST_SCRIBBLE_POINTS = 3


def build_prompts(prompt: Prompt, encoded: EncodedImage) -> Prompts:
    """Return one object's prompt in pixels of the original image, inside it."""
    from ovsam.structures import Prompts

    height, width = encoded.original_size_hw
    limits = np.array([width, height], np.float32)
    points = [np.array(point[:2], np.float32).clip(0, limits - 1) for point in prompt.points]
    labels = [point[2] for point in prompt.points]
    box = None if prompt.box is None else np.array([prompt.box], np.float32)
    drawn = prompt.draw_scribble((height, width))
    if drawn is not None:
        drawn_points = choose_points(drawn, (height, width), MOST_SCRIBBLE_POINTS)
        points += list(drawn_points)
        labels += [1] * len(drawn_points)
    if not points:
        return Prompts(boxes_xyxy=box)
    return Prompts(box, np.array([points], np.float32), [labels])


def find_box(drawn: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Return the box around an (h, w) scribble in pixels of the image: (4,) float32."""
    rows, columns = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
    corners = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    return corners * np.tile(_find_scale(drawn, size_hw), 2)


def choose_points(
    drawn: NDArray[np.uint8], size_hw: tuple[int, int], most: int
) -> NDArray[np.float32]:
    """Return up to `most` points of an (h, w) scribble, in pixels of the image: (P, 2) float32.

    The first lies deepest inside, each further one as far as can be from those before it.
    """
    depth = cv2.distanceTransform(np.pad(drawn, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    # Near the border of a broad scribble the brush may have left the object.
    deep = np.argwhere(depth >= depth.max() / 2)[:, ::-1].astype(np.float32)
    first = np.unravel_index(int(depth.argmax()), depth.shape)
    chosen = [np.array(first[::-1], np.float32)]
    distances = np.linalg.norm(deep - chosen[0], axis=1)
    while len(chosen) < most and distances.max() > 2 * depth.max():
        chosen.append(deep[int(distances.argmax())])
        distances = np.minimum(distances, np.linalg.norm(deep - chosen[-1], axis=1))
    return ((np.array(chosen) + 0.5) * _find_scale(drawn, size_hw) - 0.5).astype(np.float32)


def _find_scale(drawn: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Return the factors, x and y, from pixels of a scribble to those of the image."""
    return np.array([size_hw[1] / drawn.shape[1], size_hw[0] / drawn.shape[0]], np.float32)
