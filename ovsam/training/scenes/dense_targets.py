"""An auxiliary task for the image tower: what covers each 4 x 4 cell, and how far its box reaches.

It keeps outlines in features that classification alone would forget; the tower is frozen later and
the mask decoder lives on what it kept. The head is thrown away after training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

CELL = 4
_DISTANCE_UNIT = 64.0
_WIDTH = 48


class DenseHead(nn.Module):
    """Four stages → six maps at stride 4: object, edge, distances to the box's four sides."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, _WIDTH, 1) for c in channels)
        self.output = nn.Sequential(
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1), nn.ReLU(), nn.Conv2d(_WIDTH, 6, 1)
        )

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Return (B, 6, S/4, S/4) float32."""
        merged: Tensor | None = None
        for conv, stage in reversed(list(zip(self.lateral, stages, strict=True))):
            level = conv(stage)
            merged = level if merged is None else level + F.interpolate(merged, scale_factor=2.0)
        assert merged is not None
        return self.output(F.relu(merged)).float()


def make_dense_targets(id_map: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
    """Compute the six target maps of a scene.

    `id_map`: (S, S) uint8, object k + 1 where object k is visible. `boxes_xyxy`: (N, 4) float32
    boxes of all objects. Returns (6, S/4, S/4) float32.
    """
    cells = id_map.shape[0] // CELL
    ids = id_map[CELL // 2 :: CELL, CELL // 2 :: CELL]
    edges = np.zeros(id_map.shape, bool)
    edges[:, 1:] |= id_map[:, 1:] != id_map[:, :-1]
    edges[1:] |= id_map[1:] != id_map[:-1]
    has_edge = edges.reshape(cells, CELL, cells, CELL).any(axis=(1, 3))
    table = np.concatenate([np.zeros((1, 4), np.float32), boxes_xyxy])
    box = table[np.minimum(ids, len(boxes_xyxy))]
    y, x = np.mgrid[0:cells, 0:cells] * float(CELL) + CELL / 2
    distances = [x - box[..., 0], y - box[..., 1], box[..., 2] - x, box[..., 3] - y]
    maps = [ids > 0, has_edge, *(distance / _DISTANCE_UNIT for distance in distances)]
    return np.stack(maps).astype(np.float32)


def compute_dense_loss(predicted: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of object and edge, smooth L1 of the distances inside objects."""
    inside = targets[:, 0]
    loss = F.binary_cross_entropy_with_logits(predicted[:, 0], inside)
    loss = loss + F.binary_cross_entropy_with_logits(predicted[:, 1], targets[:, 1])
    distance = F.smooth_l1_loss(predicted[:, 2:], targets[:, 2:], reduction="none", beta=0.2)
    return loss + (distance.mean(dim=1) * inside).sum() / inside.sum().clamp(min=1)
