"""Boxes → the level that suits their size → a 7 x 7 grid of features each.

Source: FPN (Lin et al. 2017) equation 1, detectron2's `ROIPooler`. Letters: N boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchvision.ops import roi_align

POOL_SIZE = 7
_CANONICAL_SIDE = 224
_CANONICAL_LEVEL = 4


def choose_levels(boxes: Tensor, levels: Sequence[int]) -> Tensor:
    """Return the (N,) int64 level number of each box.

    `boxes`: (N, 4) float32 xyxy. `levels`: the numbers that there are, finest first (level l has
    stride 2**l).
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    wanted = torch.floor(_CANONICAL_LEVEL + torch.log2(areas.sqrt() / _CANONICAL_SIDE + 1e-8))
    return wanted.clamp(levels[0], levels[-1]).to(torch.int64)


def pool_boxes(
    features: Mapping[str, Tensor], image_index: int, boxes: Tensor, levels: Sequence[int]
) -> Tensor:
    """Pool boxes of one image, each from its level.

    `features`: {"p2": (B, C, H, W), ...}. `boxes`: (N, 4) float32 xyxy, pixels of the resized
    image. Returns (N, C, 7, 7) in the features' dtype.
    """
    chosen = choose_levels(boxes, levels)
    first = features[f"p{levels[0]}"]
    pooled = first.new_zeros(len(boxes), first.shape[1], POOL_SIZE, POOL_SIZE)
    for level in levels:
        rows = (chosen == level).nonzero().squeeze(1)
        if len(rows) == 0:
            continue
        # float32: the operator has no bfloat16 on a CPU, and box corners need the precision.
        feature = features[f"p{level}"][image_index : image_index + 1].float()
        grids = roi_align(
            feature, [boxes[rows]], POOL_SIZE, 1 / 2**level, sampling_ratio=0, aligned=True
        )
        pooled[rows] = grids.to(pooled.dtype)
    return pooled
