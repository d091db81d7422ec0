"""RGB images → resized, normalised, padded network input.

Pillow's antialiased bilinear resize on 8-bit pixels, as the official code: other resizers differ by
several grey values. Padding is zeros after normalising, at the right and bottom.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ovsam.errors import ImageError
from ovsam_pipeline.detectors.official.rcnn.structures import Prepared, Recipe, SizeHW


def compute_resized_size(original_hw: SizeHW, short_side: int, max_side: int) -> SizeHW:
    """Return the size with `short_side`, or less where the longer side would pass `max_side`.

    The official rule, but that no side falls below one pixel (it does upstream for thin images).
    """
    height, width = original_hw
    scale = short_side / min(height, width)
    # Two steps, not one factor: the rounding below sees the same floats as upstream.
    new_height, new_width = (
        (float(short_side), scale * width)
        if height < width
        else (scale * height, float(short_side))
    )
    longest = max(new_height, new_width)
    if longest > max_side:
        new_height, new_width = (side * (max_side / longest) for side in (new_height, new_width))
    return max(1, int(new_height + 0.5)), max(1, int(new_width + 0.5))


def resize_image(image: np.ndarray, size_hw: SizeHW) -> np.ndarray:
    """Resize (H, W, 3) uint8 to `size_hw` with Pillow's bilinear filter."""
    if image.shape[:2] == size_hw:
        return image
    height, width = size_hw
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def prepare(image: np.ndarray, recipe: Recipe) -> Prepared:
    """Resize and normalise one image.

    `image`: (H, W, 3) uint8 RGB, upright. Returns (3, h, w) float32 pixels in the recipe's channel
    order, and both sizes.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(
            f"expected an image as uint8 array of shape (H, W, 3), got {image.dtype} {image.shape}"
        )
    original_hw = (image.shape[0], image.shape[1])
    resized_hw = compute_resized_size(original_hw, recipe.short_side, recipe.max_side)
    pixels = resize_image(image, resized_hw)
    if recipe.channel_order == "bgr":
        pixels = pixels[:, :, ::-1]
    planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (recipe.mean, recipe.std))
    return Prepared((planes - mean) / std, resized_hw, original_hw)


def compute_padded_size(sizes_hw: Sequence[SizeHW], recipe: Recipe) -> SizeHW:
    """Return the size of a batch of images: the largest sides, padded as the recipe says."""
    if recipe.square_side:
        return recipe.square_side, recipe.square_side
    step = recipe.pad_multiple
    height, width = (max(size[axis] for size in sizes_hw) for axis in (0, 1))
    return height + -height % step, width + -width % step


def build_batch(pixels: Sequence[Tensor], recipe: Recipe) -> Tensor:
    """Pad images to one size and stack them.

    `pixels`: (3, H, W) float32 each, as `prepare` made them. But for a square recipe the sizes
    should be equal: padding to another image's size changes what the network finds. Returns (B, 3,
    H, W) float32.
    """
    height, width = compute_padded_size([(p.shape[1], p.shape[2]) for p in pixels], recipe)
    padded = [F.pad(p, (0, width - p.shape[2], 0, height - p.shape[1])) for p in pixels]
    return torch.stack(padded)
