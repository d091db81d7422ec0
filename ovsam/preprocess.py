"""uint8 RGB image → resized pixels (numpy, any thread) → normalised, padded network input (torch).

SAM's statistics are used for CLIP too (paper section 3.2 and the released configs).
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ovsam.errors import ImageError
from ovsam.geometry import resized_size_hw
from ovsam.structures import PreparedImage

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


def prepare_image(image: NDArray[np.uint8], input_size: int) -> PreparedImage:
    """Resize an image so that its longer side is `input_size` pixels.

    Thread-safe, torch-free. Uses OpenCV's uint8 bilinear without antialias, as the released
    code does; a float resize would move the input by up to 0.013.

    Args:
        image: (H, W, 3) uint8 RGB.
        input_size: side of the square network input, in pixels.

    Raises:
        ImageError: not (H, W, 3) uint8, or an empty image.
    """
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(
            f"an image must be an (H, W, 3) RGB array, got {getattr(image, 'shape', type(image))}"
        )
    if image.dtype != np.uint8:
        raise ImageError(f"an image must be uint8 in 0..255, got {image.dtype}; convert it first")
    height, width = image.shape[:2]
    if min(height, width) == 0:
        raise ImageError(f"an image must have pixels, got size {width} x {height}")
    new_height, new_width = resized_size_hw((height, width), input_size)
    pixels = image
    if (new_height, new_width) != (height, width):
        size = (new_width, new_height)
        pixels = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return PreparedImage(np.ascontiguousarray(pixels), (height, width), input_size)


def to_network_input(
    images: Sequence[PreparedImage],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Normalise and zero-pad a batch right and bottom.

    Args:
        images: B prepared images of one input size S.
        device: where the batch goes.
        dtype: of the result; the arithmetic is float32.

    Returns:
        (B, 3, S, S), channels-last in memory.
    """
    size = images[0].input_size
    batch = torch.zeros((len(images), size, size, 3), dtype=dtype, device=device)
    mean = torch.tensor(PIXEL_MEAN, device=device)
    std = torch.tensor(PIXEL_STD, device=device)
    for row, image in zip(batch, images, strict=True):
        height, width = image.input_size_hw
        pixels = torch.from_numpy(image.pixels).to(device)
        row[:height, :width] = ((pixels - mean) / std).to(dtype)
    return batch.permute(0, 3, 1, 2)
