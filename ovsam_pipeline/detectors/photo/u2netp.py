"""U²-Net's small variant: (B, 3, 320, 320) pixels → how salient each pixel is.

Qin et al., "U²-Net: Going deeper with nested U-structure for salient object detection", Pattern
Recognition 2020 (xuebinqin/U-2-Net, `U2NETP`): a U-Net of eleven small U-Nets, whose six side
outputs are fused. Batch norms are folded into the convolutions; for use only, not for training.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_INNER, _OUTER = 16, 64


class _ConvReLU(nn.Sequential):
    """A 3x3 convolution and a ReLU."""

    def __init__(self, in_channels: int, channels: int, dilation: int = 1) -> None:
        conv = nn.Conv2d(in_channels, channels, 3, 1, dilation, dilation)
        super().__init__(conv, nn.ReLU(inplace=True))


class _SmallUNet(nn.Module):
    """A U-Net as one block, added to its first convolution.

    `height` convolutions go down, the last one dilated by 2. Between the others maps are halved;
    with `is_dilated` they keep their size, and dilations double instead.
    """

    def __init__(self, height: int, in_channels: int = _OUTER, *, is_dilated: bool = False) -> None:
        super().__init__()
        self.is_dilated = is_dilated
        dilations = [2**level if is_dilated else 1 for level in range(height - 1)]
        self.entry = _ConvReLU(in_channels, _OUTER)
        self.down = nn.ModuleList(
            _ConvReLU(_INNER if level else _OUTER, _INNER, dilation)
            for level, dilation in enumerate(dilations)
        )
        self.bottom = _ConvReLU(_INNER, _INNER, 2 ** (height - 1) if is_dilated else 2)
        self.up = nn.ModuleList(
            _ConvReLU(2 * _INNER, _INNER if level else _OUTER, dilations[level])
            for level in reversed(range(height - 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, 64, H, W)."""
        entry = x = self.entry(x)
        maps: list[Tensor] = []
        for conv in self.down:
            x = conv(_halve(x) if maps and not self.is_dilated else x)
            maps.append(x)
        x = self.bottom(x)
        for conv in self.up:
            across = maps.pop()
            x = conv(torch.cat([_resize(x, across), across], dim=1))
        return x + entry


class U2NetP(nn.Module):
    """The network with random weights; its modules are in the order in which they run."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            [
                _SmallUNet(7, 3),
                _SmallUNet(6),
                _SmallUNet(5),
                _SmallUNet(4),
                _SmallUNet(4, is_dilated=True),
                _SmallUNet(4, is_dilated=True),
            ]
        )
        self.up = nn.ModuleList(
            [
                _SmallUNet(4, 2 * _OUTER, is_dilated=True),
                *(_SmallUNet(height, 2 * _OUTER) for height in (4, 5, 6, 7)),
            ]
        )
        self.side = nn.ModuleList(nn.Conv2d(_OUTER, 1, 3, 1, 1) for _ in range(6))
        self.fuse = nn.Conv2d(6, 1, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (B, 3, H, W) normalised pixels to (B, H, W) saliency in [0, 1]."""
        maps: list[Tensor] = []
        x = pixels
        for block in self.down:
            x = block(_halve(x) if maps else x)
            maps.append(x)
        outputs = [maps.pop()]
        for block in self.up:
            across = maps.pop()
            outputs.append(block(torch.cat([_resize(outputs[-1], across), across], dim=1)))
        outputs.reverse()  # the largest first, as the side convolutions are
        sides = [conv(output) for conv, output in zip(self.side, outputs, strict=True)]
        fused = self.fuse(torch.cat([_resize(side, sides[0]) for side in sides], dim=1))
        return fused.squeeze(1).sigmoid()


def _halve(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, ceil_mode=True)


def _resize(x: Tensor, like: Tensor) -> Tensor:
    if x.shape == like.shape:
        return x
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)
