"""CenterNet2's proposals: a heat map of object centres and the distances to four sides.

Source: CenterNet2 (Zhou et al. 2021), as Detic uses it: one class, no regression by size. Letters:
B images, N boxes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import nms

from ovsam_pipeline.detectors.official.rcnn.structures import Proposals, SizeHW

_NUM_CONVS = 4
_NORM_GROUPS = 32
_SMALLEST_BOX = 0.01


def build_centres(grid_hw: SizeHW, stride: int, device: torch.device) -> Tensor:
    """Return the (H x W, 2) float32 x, y of the cells' centres, row by row."""
    rows, columns = (
        torch.arange(side, dtype=torch.float32) * stride + stride // 2 for side in grid_hw
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], dim=-1).view(-1, 2).to(device)


class _Scale(nn.Module):
    """One learned factor."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))


class _Head(nn.Module):
    """A tower of convolutions shared by all levels, and two outputs."""

    def __init__(self, channels: int, num_levels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(_NUM_CONVS):
            layers += [
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.GroupNorm(_NORM_GROUPS, channels),
                nn.ReLU(),
            ]
        self.bbox_tower = nn.Sequential(*layers)
        self.bbox_pred = nn.Conv2d(channels, 4, 3, padding=1)
        self.agn_hm = nn.Conv2d(channels, 1, 3, padding=1)
        self.scales = nn.ModuleList(_Scale() for _ in range(num_levels))

    def forward(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) to heat-map logits (B, 1, H, W) and distances (B, 4, H, W), float32.

        Distances are left, top, right, bottom in strides of the level.
        """
        tower = self.bbox_tower(x).to(self.bbox_pred.weight.dtype)
        return self.agn_hm(tower), F.relu(self.bbox_pred(tower) * self.scales[level].scale)


class CenterProposals(nn.Module):
    """CenterNet head and the choice of the best boxes.

    Args:
        best_per_level: boxes of a level that go into NMS.
        nms_threshold: boxes that overlap by more suppress each other, over all levels.
    """

    output_layers = ("bbox_pred", "agn_hm", "scales")

    def __init__(
        self,
        channels: int,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        least_heat: float = 1e-4,
        best_per_level: int = 1000,
        nms_threshold: float = 0.9,
    ) -> None:
        super().__init__()
        self.centernet_head = _Head(channels, len(strides))
        self.strides = tuple(strides)
        self.least_heat, self.best_per_level = least_heat, best_per_level
        self.nms_threshold = nms_threshold

    def forward(
        self, features: Sequence[Tensor], sizes_hw: Sequence[SizeHW], keep: int
    ) -> list[Proposals]:
        """Propose boxes for each image of a batch; they may reach outside it.

        `features`: (B, C, H, W) of each level, finest first. `sizes_hw`: b sizes of the resized,
        unpadded images; only their number matters here. `keep`: most boxes per image (upstream
        keeps ties at the cut, so a few more).
        """
        outputs = [self.centernet_head(level, i) for i, level in enumerate(features)]
        return [
            self._choose([(heat[b], sides[b]) for heat, sides in outputs], keep)
            for b in range(len(sizes_hw))
        ]

    def to_probability(self, scores: Tensor) -> Tensor:
        """Return the proposals' scores: they are in 0..1 already."""
        return scores

    def _choose(self, levels: Sequence[tuple[Tensor, Tensor]], keep: int) -> Proposals:
        """Suppress over all levels of one image, keep the best."""
        decoded = [self._decode_level(i, *level) for i, level in enumerate(levels)]
        boxes = torch.cat([level[0] for level in decoded])
        scores = torch.cat([level[1] for level in decoded])
        usable = boxes.isfinite().all(dim=1)
        boxes, scores = boxes[usable], scores[usable]
        kept = nms(boxes, scores, self.nms_threshold)[:keep]
        return Proposals(boxes[kept], scores[kept])

    def _decode_level(self, level: int, logits: Tensor, sides: Tensor) -> tuple[Tensor, Tensor]:
        """Return the best boxes (N, 4) and scores (N,) of one level of one image.

        `logits`: (1, H, W). `sides`: (4, H, W).
        """
        stride = self.strides[level]
        heat = logits.flatten().sigmoid()
        above = (heat > self.least_heat).nonzero().squeeze(1)
        heat, best = heat[above].topk(min(self.best_per_level, len(above)))
        cells = above[best]
        centres = build_centres((logits.shape[1], logits.shape[2]), stride, logits.device)[cells]
        distances = sides.flatten(1).T[cells] * stride
        low = centres - distances[:, :2]
        high = torch.maximum(centres + distances[:, 2:], low + _SMALLEST_BOX)
        # Detic's scores are fused as sqrt(class x proposal), and the proposal's is a root already.
        return torch.cat([low, high], dim=1), heat.sqrt()
