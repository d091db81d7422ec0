"""Crops of single objects out of a scene pool, for the first part of the image tower's training."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from ovsam.preprocess import PIXEL_MEAN, PIXEL_STD
from ovsam.training.scenes.pool import ScenePool

_GREY = tuple(round(value) for value in PIXEL_MEAN)


class CropSource:
    """Square crops around objects of a pool."""

    def __init__(self, pool: ScenePool) -> None:
        self.pool = pool
        self.index = np.argwhere(pool.objects[:, :, 0] >= 0)

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.index)

    def draw(self, count: int, size: int, random: np.random.Generator) -> tuple[np.ndarray, Tensor]:
        """Draw random objects, loosely and off-centre, half of them flipped.

        Returns (count, size, size, 3) uint8 and (count,) int64 class ids.
        """
        crops, labels = [], []
        for _ in range(count):
            scene, row = self.index[random.integers(len(self.index))]
            label, *box = self.pool.objects[scene, row]
            loose = random.uniform(1.0, 1.4)
            shift = random.uniform(-0.08, 0.08, 2)
            crop = self._cut(int(scene), np.array(box), size, loose, shift)
            crops.append(crop[:, ::-1] if random.random() < 0.5 else crop)
            labels.append(int(label))
        return np.stack(crops), torch.tensor(labels)

    def centred(self, number: int, size: int) -> tuple[np.ndarray, int]:
        """Return object `number` in a centred crop of 1.1 times its long side, and its class id."""
        scene, row = self.index[number]
        label, *box = self.pool.objects[scene, row]
        return self._cut(int(scene), np.array(box), size, 1.1, np.zeros(2)), int(label)

    def _cut(
        self, scene: int, box: np.ndarray, size: int, loose: float, shift: np.ndarray
    ) -> np.ndarray:
        """Cut and resize one square; what lies outside the scene is grey."""
        image = self.pool.images[scene]
        side = max(box[2] - box[0], box[3] - box[1]) * loose
        centre = (box[:2] + box[2:]) / 2 + side * shift
        scale = size / side
        matrix = np.array(
            [
                [scale, 0, size / 2 - centre[0] * scale],
                [0, scale, size / 2 - centre[1] * scale],
            ]
        )
        # Only the pixels needed: a whole scene through warpAffine would cost ten times as much.
        low = np.maximum(centre - side / 2 - 2, 0).astype(int)
        high = np.minimum(centre + side / 2 + 3, image.shape[1]).astype(int)
        matrix[:, 2] += low * scale
        part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
        return cv2.warpAffine(
            part, matrix, (size, size), borderMode=cv2.BORDER_CONSTANT, borderValue=_GREY
        )


def normalise_crops(crops: np.ndarray, random: np.random.Generator | None = None) -> Tensor:
    """Turn (B, S, S, 3) uint8 into (B, 3, S, S) float32 input, with random gains if given."""
    pixels = torch.from_numpy(np.array(crops)).permute(0, 3, 1, 2).float()
    if random is not None:
        gains = np.exp(random.uniform(-0.2, 0.2, (len(crops), 3, 1, 1))).astype(np.float32)
        pixels = (pixels * torch.from_numpy(gains)).clamp(0, 255)
    mean = torch.tensor(PIXEL_MEAN)[:, None, None]
    std = torch.tensor(PIXEL_STD)[:, None, None]
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)
