"""uint8 RGB image → resized pixels (numpy, any thread) → normalised, padded network input (torch).

Letters: B images, H W pixels of an image, S side of the network input.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ovsam.errors import ImageError
from ovsam.structures import PreparedImage

# SAM's (ImageNet's) statistics; CLIP gets them too, though it was trained with its own: paper
# section 3.2 and the released configs.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


def prepare_image(image: NDArray[np.uint8], input_size: int) -> PreparedImage:
    """Resize an image so that its longer side is `input_size` pixels: `Predictor.encode`'s input.

    Thread-safe and torch-free, so that a pool of threads can prepare the next batch.

    Args:
        image: (H, W, 3) uint8 RGB.
        input_size: S, `model.config.input_size`.

    Returns:
        Pixels (h, w, 3) uint8 with max(h, w) = S, and the original size.

    Raises:
        ImageError: the array is not (H, W, 3) uint8, or has no pixels.
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
        # OpenCV's uint8 bilinear without antialias, as the released code has it: a float resize
        # would move the normalised input by up to 0.013.
        size = (new_width, new_height)
        pixels = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return PreparedImage(np.ascontiguousarray(pixels), (height, width), input_size)


def to_network_input(
    images: Sequence[PreparedImage],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Normalise B images and zero-pad them right and bottom: (B, 3, S, S), channels last in memory.

    The arithmetic is float32 whatever the `dtype` of the result.
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


def resized_size_hw(size_hw: tuple[int, int], longer_side: int) -> tuple[int, int]:
    """Return the size with the longer side scaled to `longer_side`, at least 1 pixel a side.

    Source: the released `ResizeLongestSide`, which rounds half up: int(x * scale + 0.5).
    """
    height, width = size_hw
    scale = longer_side / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
