"""Feature pyramid: a body's maps → maps of equal width, coarse ones added to finer ones.

Source: FPN (Lin et al. 2017), detectron2's `FPN`. Names of levels: p2 has stride 4, p3 8, ...
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class PoolLevel6(nn.Module):
    """p6 is every second cell of p5."""

    def forward(self, p5: Tensor) -> dict[str, Tensor]:
        """Map p5 (B, C, H, W) to {"p6"}."""
        return {"p6": F.max_pool2d(p5, kernel_size=1, stride=2)}


class StridedLevels67(nn.Module):
    """p6 and p7 by strided convolutions (RetinaNet's, from p5)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.p6 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.p7 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, p5: Tensor) -> dict[str, Tensor]:
        """Map p5 (B, C, H, W) to {"p6", "p7"}."""
        p6 = self.p6(p5)
        return {"p6": p6, "p7": self.p7(F.relu(p6))}


class FeaturePyramid(nn.Module):
    """A body with lateral 1x1 and output 3x3 convolutions for each level.

    Args:
        body: maps (B, 3, H, W) to named maps, finest first.
        body_channels: level number → channels of the body's map there, finest first.
    """

    def __init__(
        self,
        body: nn.Module,
        body_channels: dict[int, int],
        channels: int,
        top_block: PoolLevel6 | StridedLevels67,
    ) -> None:
        super().__init__()
        self.bottom_up = body
        self.levels = tuple(body_channels)
        for level, width in body_channels.items():
            self.add_module(f"fpn_lateral{level}", nn.Conv2d(width, channels, 1))
            self.add_module(f"fpn_output{level}", nn.Conv2d(channels, channels, 3, padding=1))
        self.top_block = top_block

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Map (B, 3, H, W) to {"p2": (B, C, H/4, W/4), ...}, finest first."""
        return self.fuse(list(self.bottom_up(pixels).values()))

    def fuse(self, stages: Sequence[Tensor]) -> dict[str, Tensor]:
        """Map the body's outputs, finest first, to the pyramid."""
        outputs: dict[str, Tensor] = {}
        coarser: Tensor | None = None
        for level, stage in zip(reversed(self.levels), reversed(stages), strict=True):
            fused = self.get_submodule(f"fpn_lateral{level}")(stage)
            if coarser is not None:
                fused = fused + F.interpolate(coarser, scale_factor=2.0, mode="nearest")
            outputs[f"p{level}"] = self.get_submodule(f"fpn_output{level}")(fused)
            coarser = fused
        pyramid = {f"p{level}": outputs[f"p{level}"] for level in self.levels}
        return pyramid | self.top_block(pyramid[f"p{self.levels[-1]}"])
