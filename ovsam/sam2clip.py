"""SAM2CLIP: CLIP's four stage maps → an embedding in the space of SAM's image encoder.

Source: paper section 3.2, equation 1, Table 5 (multi- and single-scale).
Letters: B images, C channels, H W cells at stride 16, S side of the network input.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ovsam.config import ModelConfig
from ovsam.vision_transformer import build_blocks, build_output_neck

# Kernel = stride of each stage's projection to stride 16; the last stage is up-sampled.
_STAGE_STRIDES = (4, 2, 1, 2)


class PatchEmbed(nn.Module):
    """Project one stage to the neck's width at stride 16."""

    def __init__(self, in_channels: int, width: int, stage: int) -> None:
        super().__init__()
        step = _STAGE_STRIDES[stage]
        make = nn.ConvTranspose2d if stage == 3 else nn.Conv2d
        self.projection = make(in_channels, width, kernel_size=step, stride=step)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return (B, H, W, C) cells at stride 16."""
        return self.projection(x_BCHW).permute(0, 2, 3, 1)


class SAM2CLIP(nn.Module):
    """The neck: patch projections, levels, positions, transformer blocks, 256 channels out."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        neck = config.neck
        grid = config.grid_size
        self.stages = (0, 1, 2, 3) if neck.kind == "multi-scale" else (2,)
        self.patch_embeds = nn.ModuleList(
            PatchEmbed(config.clip.channels[stage], neck.width, stage) for stage in self.stages
        )
        if neck.kind == "multi-scale":
            self.level_encoding = nn.Embedding(4, neck.width)
        positions = torch.zeros(1, grid, grid, neck.width)
        # SAM-H's positions, as released, are a buffer: not trained, and not among the parameters.
        if neck.learn_positions:
            self.pos_embed = nn.Parameter(positions)
        else:
            self.register_buffer("pos_embed", positions)
        self.blocks = build_blocks(neck, grid)
        self.neck = build_output_neck(neck.width, config.embed_channels)

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Map CLIP's stages (B, C_i, S/4 ... S/32) to a SAM-like embedding (B, C, S/16, S/16)."""
        x: Tensor = self.pos_embed
        for index, (stage, embed) in enumerate(zip(self.stages, self.patch_embeds, strict=True)):
            x = x + embed(stages[stage])
            if len(self.stages) > 1:
                x = x + self.level_encoding.weight[index]
        for block in self.blocks:
            x = block(x)
        return self.neck(x.permute(0, 3, 1, 2))
