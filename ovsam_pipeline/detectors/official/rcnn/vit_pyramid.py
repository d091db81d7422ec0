"""ViTDet's body and neck: SAM's vision transformer, and a pyramid from its last map alone.

Source: ViTDet (Li et al. 2022), detectron2's `SimpleFeaturePyramid`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovsam.config import VitConfig
from ovsam.vision_transformer import LayerNorm2d, VisionTransformer
from ovsam_pipeline.detectors.official.rcnn.fpn import PoolLevel6

# The position table of the pre-trained files: 14 x 14 cells (224 pixels) and a class token.
_PRETRAINED_POSITIONS = 1 + 14 * 14


class PretrainedMLP(nn.Module):
    """The MLP of a block under the names of ImageNet's files, `fc1` and `fc2`; exact GELU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C)."""
        return self.fc2(F.gelu(self.fc1(x)))


def build_vit(config: VitConfig) -> VisionTransformer:
    """Return the transformer with ViTDet's names and its pre-trained form of positions."""
    positions = torch.zeros(1, _PRETRAINED_POSITIONS, config.width)
    return VisionTransformer(config, positions, PretrainedMLP)


class NormedConv(nn.Conv2d):
    """Convolution without bias, and a norm over the channels of each cell; no activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.norm = LayerNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, outputs, H, W)."""
        return self.norm(super().forward(x))


class SimplePyramid(nn.Module):
    """A transformer and four branches from its map (stride 16): up by 4 and 2, as is, halved."""

    def __init__(self, body: VisionTransformer, width: int, channels: int) -> None:
        super().__init__()
        half, quarter = width // 2, width // 4
        self.simfp_2 = nn.Sequential(
            nn.ConvTranspose2d(width, half, 2, stride=2),
            LayerNorm2d(half),
            nn.GELU(),
            nn.ConvTranspose2d(half, quarter, 2, stride=2),
            *_output_convs(quarter, channels),
        )
        self.simfp_3 = nn.Sequential(
            nn.ConvTranspose2d(width, half, 2, stride=2), *_output_convs(half, channels)
        )
        self.simfp_4 = nn.Sequential(*_output_convs(width, channels))
        self.simfp_5 = nn.Sequential(nn.MaxPool2d(2), *_output_convs(width, channels))
        self.net = body
        self.top_block = PoolLevel6()

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Map (B, 3, S, S) to {"p2": (B, C, S/4, S/4), ..., "p6"}, finest first."""
        return self.fuse(self.net(pixels))

    def fuse(self, last: Tensor) -> dict[str, Tensor]:
        """Map the transformer's output (B, width, S/16, S/16) to the pyramid."""
        pyramid = {
            f"p{level}": self.get_submodule(f"simfp_{level}")(last) for level in (2, 3, 4, 5)
        }
        return pyramid | self.top_block(pyramid["p5"])


def _output_convs(inputs: int, channels: int) -> tuple[nn.Module, nn.Module]:
    return NormedConv(inputs, channels, 1), NormedConv(channels, channels, 3)
