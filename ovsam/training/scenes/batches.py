"""Whole scenes with boxes, classes and dense targets, for the image tower's training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ovsam.training.scenes.crops import normalise_crops
from ovsam.training.scenes.dense_targets import make_dense_targets
from ovsam.training.scenes.pool import ScenePool

MIN_KEPT = 0.55
_CUT_PROBABILITY = 0.35


@dataclass(frozen=True)
class SceneBatch:
    """B scenes of S pixels.

    Attributes:
        pixels: (B, 3, S, S) float32 network input.
        boxes_xyxy: For each scene (N, 4) float32.
        labels: (sum of N,) int64 class ids.
        dense_targets: (B, 6, S/4, S/4) float32.
    """

    pixels: Tensor
    boxes_xyxy: list[Tensor]
    labels: Tensor
    dense_targets: Tensor


class SceneBatchSource:
    """Random scenes of a pool: flipped, cut to other aspect ratios, boxes jittered."""

    def __init__(self, pool: ScenePool) -> None:
        self.pool = pool
        self.size = pool.images.shape[1]

    def draw(self, count: int, random: np.random.Generator) -> SceneBatch:
        """Draw a batch; a scene whose objects were all cut away is drawn again."""
        images: list[np.ndarray] = []
        areas: list[tuple[int, int]] = []
        boxes: list[Tensor] = []
        labels: list[np.ndarray] = []
        targets: list[Tensor] = []
        while len(images) < count:
            index = int(random.integers(len(self.pool)))
            image, id_map = self.pool.images[index].copy(), self.pool.id_maps[index].copy()
            area_hw = self._random_area(random)
            all_boxes, kept = _cut_boxes(self.pool.boxes_xyxy(index), area_hw)
            if not kept.any():
                continue
            if random.random() < 0.5:
                _flip(image, id_map, all_boxes, area_hw[1])
            for array in (image, id_map):
                array[area_hw[0] :] = 0
                array[:, area_hw[1] :] = 0
            chosen = all_boxes[kept]
            sides = np.tile(chosen[:, 2:] - chosen[:, :2], (1, 2))
            chosen = chosen + sides * random.normal(0, 0.03, chosen.shape)
            images.append(image)
            areas.append(area_hw)
            boxes.append(torch.from_numpy(chosen.astype(np.float32)))
            labels.append(self.pool.scene(index).class_ids[kept])
            targets.append(torch.from_numpy(make_dense_targets(id_map, all_boxes)))
        pixels = normalise_crops(np.stack(images), random)
        for row, (height, width) in zip(pixels, areas, strict=True):
            row[:, height:] = 0
            row[:, :, width:] = 0
        return SceneBatch(
            pixels, boxes, torch.from_numpy(np.concatenate(labels)), torch.stack(targets)
        )

    def _random_area(self, random: np.random.Generator) -> tuple[int, int]:
        """The part of the scene that is shown; the rest is padding, as for oblong pictures."""
        height = width = self.size
        if random.random() < _CUT_PROBABILITY:
            cut = int(random.integers(int(0.55 * self.size), self.size))
            if random.random() < 0.5:
                height = cut
            else:
                width = cut
        return height, width


def _cut_boxes(boxes: np.ndarray, area_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Clip boxes to the shown part; the second value says which keep most of their area."""
    full = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    clipped = np.minimum(boxes, np.array([area_hw[1], area_hw[0]] * 2, np.float32))
    return clipped, (clipped[:, 2:] - clipped[:, :2]).prod(axis=1) > MIN_KEPT * full


def _flip(image: np.ndarray, id_map: np.ndarray, boxes: np.ndarray, width: int) -> None:
    """Mirror the shown part in place."""
    image[:, :width] = image[:, :width][:, ::-1].copy()
    id_map[:, :width] = id_map[:, :width][:, ::-1].copy()
    boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
