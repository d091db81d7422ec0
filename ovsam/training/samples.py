"""One training image with its masks, and the random resize, crop and flip of the paper.

Input: decoded images and full-size masks. Output: a `TrainingSample` that fits the network input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from ovsam.errors import ConfigError
from ovsam.preprocess import to_network_input
from ovsam.structures import PreparedImage

MIN_MASK_PIXELS = 32


@dataclass(frozen=True)
class TrainingSample:
    """An image as the network will see it, and its objects.

    Attributes:
        pixels: (h, w, 3) uint8 RGB; both sides at most the network's input size.
        masks: (N, h, w) uint8 in {0, 1}.
        labels: (N,) int64 index into the training classes; -1 where the class is not trained on.
    """

    pixels: np.ndarray
    masks: np.ndarray
    labels: np.ndarray

    def boxes_xyxy(self) -> np.ndarray:
        """Tight boxes of the masks, (N, 4) float32, right and bottom exclusive."""
        boxes = np.zeros((len(self.masks), 4), np.float32)
        for row, mask in zip(boxes, self.masks, strict=True):
            x, y, width, height = cv2.boundingRect(mask)
            row[:] = (x, y, x + width, y + height)
        return boxes


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """Random geometry and light of a training image; defaults are the paper's for COCO.

    Attributes:
        min_ratio: Smallest long side, as a part of the input size.
        max_ratio: Largest long side, as a part of the input size; what sticks out is cropped.
        flip: Probability of a horizontal flip.
        gain: Largest change of brightness and of each colour, as a logarithm.
    """

    min_ratio: float = 0.9
    max_ratio: float = 2.0
    flip: float = 0.5
    gain: float = 0.0

    def __post_init__(self) -> None:
        """Refuse an empty range."""
        if not 0 < self.min_ratio <= self.max_ratio:
            raise ConfigError(
                "augment needs 0 < min_ratio <= max_ratio, "
                f"got {self.min_ratio} and {self.max_ratio}"
            )


def augment_sample(
    sample: TrainingSample, input_size: int, settings: AugmentSettings, random: np.random.Generator
) -> TrainingSample:
    """Resize, crop, flip and tint one sample; objects under 32 pixels are dropped.

    Returns:
        A sample with sides of at most `input_size`; it may have no objects left.
    """
    height, width = sample.pixels.shape[:2]
    ratio = random.uniform(settings.min_ratio, settings.max_ratio)
    scale = ratio * input_size / max(height, width)
    size_hw = max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)
    pixels = cv2.resize(sample.pixels, size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    top = int(random.integers(0, max(size_hw[0] - input_size, 0) + 1))
    left = int(random.integers(0, max(size_hw[1] - input_size, 0) + 1))
    window = slice(top, top + input_size), slice(left, left + input_size)
    pixels = pixels[window]
    masks = [
        cv2.resize(mask, size_hw[::-1], interpolation=cv2.INTER_NEAREST)[window]
        for mask in sample.masks
    ]
    stacked = np.stack(masks) if masks else np.zeros((0, *pixels.shape[:2]), np.uint8)
    if random.random() < settings.flip:
        pixels, stacked = pixels[:, ::-1], stacked[:, :, ::-1]
    if settings.gain:
        gain = random.uniform(-settings.gain, settings.gain, 3)
        gain = np.exp(gain * 0.3 + random.uniform(-settings.gain, settings.gain)).astype(np.float32)
        pixels = np.clip(pixels * gain, 0, 255).astype(np.uint8)
    kept = stacked.sum(axis=(1, 2), dtype=np.int64) >= MIN_MASK_PIXELS
    return TrainingSample(
        pixels=np.ascontiguousarray(pixels),
        masks=np.ascontiguousarray(stacked[kept]),
        labels=sample.labels[kept],
    )


def draw_samples(
    load_sample: Callable[[np.random.Generator], TrainingSample],
    count: int,
    input_size: int,
    augment: AugmentSettings,
    random: np.random.Generator,
) -> list[TrainingSample]:
    """Load and augment until `count` images have an object left."""
    samples: list[TrainingSample] = []
    while len(samples) < count:
        sample = augment_sample(load_sample(random), input_size, augment, random)
        if len(sample.masks):
            samples.append(sample)
    return samples


def stack_pixels(samples: list[TrainingSample], input_size: int, device: torch.device) -> Tensor:
    """Normalise and pad the samples' pixels: (B, 3, S, S) float32."""
    images = [
        PreparedImage(sample.pixels, sample.pixels.shape[:2], input_size) for sample in samples
    ]
    return to_network_input(images, device)


def stack_masks(sample: TrainingSample, indices: np.ndarray, input_size: int) -> Tensor:
    """Pad chosen masks to the network input: (N, S, S) float32 in {0, 1}."""
    height, width = sample.pixels.shape[:2]
    masks = torch.zeros((len(indices), input_size, input_size))
    masks[:, :height, :width] = torch.from_numpy(sample.masks[indices])
    return masks
