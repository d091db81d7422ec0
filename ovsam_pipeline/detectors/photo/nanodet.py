"""NanoDet-g: (B, 3, H, W) pixels → COCO classes and boxes, in plain convolutions.

A one-stage detector without anchors (RangiLyu/nanodet, `nanodet-g.yml`): a backbone of cross stage
partial blocks, a path aggregation neck of 128 channels, and one head per stride. At each cell the
head gives 80 class scores and, for each side of a box, a distribution over distances of 0 to 10
strides. Batch norms are folded into the convolutions; for use only, not for training.

Letters: B images, H W pixels (multiples of 32), N cells of all strides, K = 80 classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDES = (8, 16, 32)
NUM_CLASSES = 80
_NUM_BINS = 11  # distances of 0 to 10 strides
_CHANNELS = 128
# `nanodet-g.yml`'s "normalize", for pixels in the order blue, green, red.
PIXEL_MEAN_BGR = (103.53, 116.28, 123.675)
PIXEL_STD_BGR = (57.375, 57.12, 58.395)


class _ConvLeaky(nn.Sequential):
    """A 3x3 convolution and a leaky ReLU."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, channels, 3, stride, 1), nn.LeakyReLU(0.1, inplace=True)
        )


class _PartialPair(nn.Module):
    """Two convolutions of half the channels, their outputs side by side."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.first = _ConvLeaky(in_channels, channels // 2)
        self.second = _ConvLeaky(channels // 2, channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C, H, W)."""
        first = self.first(x)
        return torch.cat([self.second(first), first], dim=1)


class _PartialBlock(nn.Module):
    """A cross stage partial block: the input goes around `num_pairs` pairs; channels double."""

    def __init__(self, channels: int, num_pairs: int, stride: int) -> None:
        super().__init__()
        self.entry = _ConvLeaky(channels, channels, stride)
        self.pairs = nn.Sequential(*(_PartialPair(channels, channels) for _ in range(num_pairs)))
        self.exit = _ConvLeaky(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, 2 C, H / stride, W / stride)."""
        x = self.entry(x)
        return torch.cat([self.exit(self.pairs(x)), x], dim=1)


class NanoDet(nn.Module):
    """The network with random weights; its modules are in the order in which they run."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_ConvLeaky(3, 32, stride=2), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.ModuleList(
            [
                _PartialBlock(32, num_pairs=1, stride=1),
                _PartialBlock(64, num_pairs=2, stride=2),
                _PartialBlock(128, num_pairs=2, stride=2),
                _PartialBlock(256, num_pairs=3, stride=2),
            ]
        )
        self.lateral = nn.ModuleList(nn.Conv2d(c, _CHANNELS, 1) for c in (128, 256, 512))
        num_outputs = NUM_CLASSES + 4 * _NUM_BINS
        self.heads = nn.ModuleList(
            nn.Sequential(_ConvLeaky(_CHANNELS, _CHANNELS), nn.Conv2d(_CHANNELS, num_outputs, 1))
            for _ in STRIDES
        )

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Detect in normalised pixels.

        Args:
            pixels: (B, 3, H, W) float32, blue, green, red, normalised as `PIXEL_MEAN_BGR` says.

        Returns:
            Scores (B, N, K) in [0, 1], and boxes (B, N, 4), left, top, right, bottom in pixels.
        """
        x = self.blocks[0](self.stem(pixels))
        levels = []
        for block, lateral in zip(list(self.blocks)[1:], self.lateral, strict=True):
            x = block(x)
            levels.append(lateral(x))
        for index in (1, 0):
            levels[index] = levels[index] + _resize(levels[index + 1], levels[index])
        for index in (1, 2):
            levels[index] = levels[index] + _resize(levels[index - 1], levels[index])
        outputs = [head(level) for head, level in zip(self.heads, levels, strict=True)]
        rows = torch.cat([output.flatten(2) for output in outputs], dim=2).transpose(1, 2)
        scores, sides = rows.split([NUM_CLASSES, 4 * _NUM_BINS], dim=2)
        return scores.sigmoid(), _decode_boxes(sides, [output.shape[2:] for output in outputs])


def _resize(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def _decode_boxes(sides: Tensor, sizes_hw: list[torch.Size]) -> Tensor:
    """Turn (B, N, 44) logits of the distances from a cell's centre to the sides into boxes."""
    bins = torch.arange(_NUM_BINS, dtype=sides.dtype, device=sides.device)
    distances = sides.unflatten(2, (4, _NUM_BINS)).softmax(dim=3) @ bins
    centres, strides = [], []
    for stride, (height, width) in zip(STRIDES, sizes_hw, strict=True):
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        centres.append((torch.stack([x, y], dim=2).flatten(0, 1) + 0.5) * stride)
        strides.append(torch.full((height * width, 1), float(stride)))
    centre = torch.cat(centres).to(sides)
    distances = distances * torch.cat(strides).to(sides)
    return torch.cat([centre - distances[..., :2], centre + distances[..., 2:]], dim=2)
