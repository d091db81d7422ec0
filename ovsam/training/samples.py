"""One training image with its objects, and the random resize, crop and flip of the paper.

Input: decoded images with full-size masks, or boxes where masks are missing. Output: a
`TrainingSample` that fits the network input.
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
from ovsam.training.loop.step_random import StepRandom

MIN_MASK_PIXELS = 32
_MOST_TRIES = 1000

LoadSample = Callable[[np.random.Generator], "TrainingSample"]
"""Draws one training image."""


@dataclass(frozen=True)
class TrainingSample:
    """An image as the network will see it, and its objects.

    Attributes:
        pixels: (h, w, 3) uint8 RGB; both sides at most the network's input size.
        masks: (N, h, w) uint8 in {0, 1}; None where only boxes are known (class loss alone).
        labels: (N,) int64 index into the training classes; -1 where the class is not trained on.
        boxes: (N, 4) float32 x1, y1, x2, y2 in pixels, where there are no masks; else None.
    """

    pixels: np.ndarray
    masks: np.ndarray | None
    labels: np.ndarray
    boxes: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Refuse objects with both masks and boxes, or with neither."""
        if (self.masks is None) == (self.boxes is None):
            raise ValueError("expected either masks or boxes in a training sample")

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.labels)

    def boxes_xyxy(self) -> np.ndarray:
        """Boxes, (N, 4) float32, right and bottom exclusive: given, or tight around the masks."""
        if self.masks is None:
            assert self.boxes is not None
            return self.boxes
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
    """Resize, crop, flip and tint one sample; objects with under 32 visible pixels are dropped."""
    height, width = sample.pixels.shape[:2]
    ratio = random.uniform(settings.min_ratio, settings.max_ratio)
    scale = ratio * input_size / max(height, width)
    size_hw = max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)
    pixels = cv2.resize(sample.pixels, size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    top = int(random.integers(0, max(size_hw[0] - input_size, 0) + 1))
    left = int(random.integers(0, max(size_hw[1] - input_size, 0) + 1))
    window = slice(top, top + input_size), slice(left, left + input_size)
    pixels = pixels[window]
    flip = random.random() < settings.flip
    if flip:
        pixels = pixels[:, ::-1]
    if settings.gain:
        gain = random.uniform(-settings.gain, settings.gain, 3)
        gain = np.exp(gain * 0.3 + random.uniform(-settings.gain, settings.gain)).astype(np.float32)
        pixels = np.clip(pixels * gain, 0, 255).astype(np.uint8)
    pixels = np.ascontiguousarray(pixels)
    if sample.masks is None:
        factors = (size_hw[1] / width, size_hw[0] / height)
        boxes = _move_boxes(sample.boxes_xyxy(), factors, (left, top), pixels.shape[:2], flip)
        kept = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) >= MIN_MASK_PIXELS
        return TrainingSample(pixels, None, sample.labels[kept], boxes[kept])
    masks = [
        cv2.resize(mask, size_hw[::-1], interpolation=cv2.INTER_NEAREST)[window]
        for mask in sample.masks
    ]
    stacked = np.stack(masks) if masks else np.zeros((0, *pixels.shape[:2]), np.uint8)
    kept = stacked.sum(axis=(1, 2), dtype=np.int64) >= MIN_MASK_PIXELS
    stacked = (stacked[:, :, ::-1] if flip else stacked)[kept]
    return TrainingSample(pixels, np.ascontiguousarray(stacked), sample.labels[kept])


def _move_boxes(
    boxes: np.ndarray,
    factors_xy: tuple[float, float],
    offset_xy: tuple[int, int],
    size_hw: tuple[int, ...],
    flip: bool,
) -> np.ndarray:
    """Scale, shift, clip and mirror (N, 4) boxes as their image was."""
    moved = boxes * np.tile(factors_xy, 2) - np.tile(offset_xy, 2)
    height, width = size_hw
    moved = moved.clip(0, np.array([width, height] * 2)).astype(np.float32)
    if flip:
        moved[:, [0, 2]] = width - moved[:, [2, 0]]
    return moved


def draw_sample(
    load_sample: LoadSample,
    input_size: int,
    augment: AugmentSettings,
    random: np.random.Generator,
) -> TrainingSample:
    """Load and augment until an image has an object left."""
    for _ in range(_MOST_TRIES):
        sample = augment_sample(load_sample(random), input_size, augment, random)
        if len(sample):
            return sample
    raise ConfigError(
        f"expected objects of {MIN_MASK_PIXELS} pixels or more after resizing and cropping, got "
        f"none in {_MOST_TRIES} images; give larger augment.min_ratio and max_ratio"
    )


def draw_samples(
    load_sample: LoadSample,
    count: int,
    input_size: int,
    augment: AugmentSettings,
    random: StepRandom,
) -> list[TrainingSample]:
    """Draw this process's `count` samples of a step, each with its own generator."""
    return [
        draw_sample(load_sample, input_size, augment, random.of_sample(index, count))
        for index in range(count)
    ]


def stack_pixels(samples: list[TrainingSample], input_size: int, device: torch.device) -> Tensor:
    """Normalise and pad the samples' pixels: (B, 3, S, S) float32."""
    images = [
        PreparedImage(sample.pixels, sample.pixels.shape[:2], input_size) for sample in samples
    ]
    return to_network_input(images, device)


def stack_masks(sample: TrainingSample, indices: np.ndarray, input_size: int) -> Tensor:
    """Pad chosen masks to the network input: (N, S, S) float32 in {0, 1}; none without masks."""
    if sample.masks is None:
        return torch.zeros((0, input_size, input_size))
    height, width = sample.pixels.shape[:2]
    masks = torch.zeros((len(indices), input_size, input_size))
    masks[:, :height, :width] = torch.from_numpy(sample.masks[indices])
    return masks
