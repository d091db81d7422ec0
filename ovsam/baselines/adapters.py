"""Trained layers between CLIP's frozen maps and a region's embedding (feature-crop + adapter).

Both end in four levels, from which `RegionHead` pools and embeds regions exactly as OV-SAM's head
does, so that the rows of Table 1 differ in where the levels come from and in nothing else.

    simfpn   CLIP's last map, enlarged (ViTDet's simple pyramid); about 4 M parameters at full size
    conv     a convolutional branch over the image joins CLIP's four maps, stage by stage
             (after ViT-Adapter's spatial prior); about 20 M; CLIP's own maps do not change

Source: paper Table 1 names the two and their sizes (812 and 828 M with 808 M of frozen parts); the
layers are this project's choice.
Letters: B images, N regions, S input size, C channels, D embedding width.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from ovsam.baselines.config import BaselineConfig
from ovsam.clip2sam import pool_from_levels, project_rois
from ovsam.vision_transformer import LayerNorm2d


class SimplePyramid(nn.Module):
    """One map at stride 32 → four levels: transposed convolutions enlarge it step by step."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.reduction = nn.Conv2d(in_channels, channels, 1)
        self.norm = LayerNorm2d(channels)
        self.enlargements = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose2d(channels, channels, 2, 2), LayerNorm2d(channels), nn.GELU()
            )
            for _ in range(3)
        )
        self.outputs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), LayerNorm2d(channels))
            for _ in range(4)
        )

    def forward(self, pixels: Tensor, stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Map CLIP's stages to (B, C, S/4 ... S/32) levels; the pixels are not used."""
        del pixels
        maps = [self.norm(self.reduction(stages[3]))]
        for enlarge in self.enlargements:
            maps.insert(0, enlarge(maps[0]))
        return tuple(output(x) for output, x in zip(self.outputs, maps, strict=True))


class _ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            LayerNorm2d(channels),
            nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            LayerNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x + self.layers(x))


class ConvAdapter(nn.Module):
    """An image branch of convolutions that takes in CLIP's map at each of its four scales."""

    def __init__(self, clip_channels: Sequence[int], width: int, channels: int) -> None:
        super().__init__()
        widths = [width * 2**scale for scale in range(4)]
        self.stem = nn.Sequential(
            nn.Conv2d(3, width // 2, 3, 2, 1),
            LayerNorm2d(width // 2),
            nn.GELU(),
            nn.Conv2d(width // 2, width, 3, 2, 1),
            LayerNorm2d(width),
        )
        self.reductions = nn.ModuleList(
            nn.Sequential(nn.Conv2d(fine, coarse, 3, 2, 1), LayerNorm2d(coarse))
            for fine, coarse in pairwise(widths)
        )
        self.injections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(ours, own, 1), LayerNorm2d(own))
            for ours, own in zip(clip_channels, widths, strict=True)
        )
        # Depth goes where a block costs least: the coarsest map has the fewest cells.
        self.blocks = nn.ModuleList(
            nn.Sequential(*(_ResidualBlock(own) for _ in range(count)))
            for own, count in zip(widths, (1, 1, 1, 3), strict=True)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(own, channels, 1) for own in widths)

    def forward(self, pixels: Tensor, stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Map (B, 3, S, S) pixels and CLIP's stages to (B, C, S/4 ... S/32) levels."""
        maps: list[Tensor] = []
        for scale, (inject, block) in enumerate(zip(self.injections, self.blocks, strict=True)):
            own = self.reductions[scale - 1](maps[-1]) if scale else self.stem(pixels)
            maps.append(block(own + inject(stages[scale])))
        levels = [lateral(x) for lateral, x in zip(self.laterals, maps, strict=True)]
        for scale in (2, 1, 0):
            size = levels[scale].shape[2:]
            top = F.interpolate(levels[scale + 1], size=size, mode="nearest")
            levels[scale] = levels[scale] + top
        return tuple(levels)


class RegionHead(nn.Module):
    """Levels and a region → its embedding, as in CLIP2SAM."""

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__()
        self.roi_size = config.roi_size
        self.roi_base_size = config.roi_base_size
        self.projection = nn.Conv2d(config.fpn_channels, config.clip.embed_dim, 1, bias=False)

    def forward(self, levels: Sequence[Tensor], boxes_xyxy: Tensor, image_index: Tensor) -> Tensor:
        """Embed (N, 4) regions of a batch: (N, D) float32; see `CLIP2SAM.embed_rois`."""
        pooled = pool_from_levels(
            levels, boxes_xyxy, image_index, self.roi_size, self.roi_base_size
        )
        return project_rois(pooled, self.projection)


def build_adapter(config: BaselineConfig) -> SimplePyramid | ConvAdapter:
    """Return a baseline's adapter with random weights."""
    channels = config.clip.channels
    if config.adapter == "simfpn":
        return SimplePyramid(channels[3], config.fpn_channels)
    return ConvAdapter(channels, config.adapter_width, config.fpn_channels)
