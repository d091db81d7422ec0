"""Image embedding + prompt tokens → low-resolution mask logits and the label token.

SAM's decoder with one mask token, no IoU token and no multi-mask output, and a label token before
the others. Source: paper section 3.3, figure 3; the token order is the released one.

Letters: B images, N prompts, T tokens, C channels, G cells per side of the image embedding, M masks
per prompt, S side of the network input.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovsam.config import ModelConfig
from ovsam.two_way_transformer import TwoWayTransformer
from ovsam.vision_transformer import LayerNorm2d


class PerceptronStack(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., first width) to (..., last width)."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class FineMasks(nn.Module):
    """CLIP's stages 1 and 2 → details that the up-scaling adds at strides 4 and 8.

    Not in the paper: after HQ-SAM (arXiv 2306.01567) and SAM 2 (arXiv 2408.00714, section 4).
    """

    def __init__(self, clip_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.stride4 = nn.Conv2d(clip_channels[0], channels // 8, 3, padding=1)
        self.stride8 = nn.Conv2d(clip_channels[1], channels // 4, 3, padding=1)
        # Zero at first: a trained decoder that gets them still draws the same masks.
        for conv in (self.stride4, self.stride8):
            for parameter in conv.parameters():
                nn.init.zeros_(parameter)

    def forward(self, stages: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Map CLIP's stages (B, C_i, S/4 ... S/32) to details per cell of the image embedding.

        (B, G * G, 4, C / 4) and (B, G * G, 16, C / 8), parts in `read_masks`'s order.
        """
        halves = _split_cells(self.stride8(stages[1]), 1)
        return halves, _split_cells(self.stride4(stages[0]), 2)


class MaskDecoder(nn.Module):
    """Two-way transformer, four-fold up-scaling, and a hyper-network that reads the mask off."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.embed_channels
        self.transformer = TwoWayTransformer(
            config.decoder_depth, channels, config.decoder_heads, config.decoder_mlp
        )
        self.label_token = nn.Embedding(1, channels)
        self.mask_tokens = nn.Embedding(1, channels)
        self.output_upscaling = build_upscaling(channels)
        self.output_hypernetworks_mlps = nn.ModuleList(
            [PerceptronStack((channels, channels, channels, channels // 8))]
        )
        self.fine_masks = FineMasks(config.clip.channels, channels) if config.fine_masks else None

    def build_details(self, stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return what `forward` adds from CLIP's stages; nothing without fine masks."""
        return self.fine_masks(stages) if self.fine_masks is not None else ()

    def forward(
        self,
        image_embedding: Tensor,
        image_positions: Tensor,
        prompt_tokens: Tensor,
        details: tuple[Tensor, ...] = (),
    ) -> tuple[Tensor, Tensor]:
        """Decode N prompts: mask logits (N, 4G, 4G) float32 and the label token's output (N, C).

        The embedding is (1, C, G, G) shared by all prompts, or (N, C, G, G) with mask prompts;
        positions are (1, C, G, G), prompt tokens (N, T, C), `details` one image's `build_details`.
        """
        own = torch.cat([self.label_token.weight, self.mask_tokens.weight])
        tokens, image = run_transformer(
            self.transformer, own, prompt_tokens, image_embedding, image_positions
        )
        hyper = self.output_hypernetworks_mlps[0](tokens[:, 1])[:, None]
        grid = image_embedding.shape[-1]
        masks = read_masks(self.output_upscaling, image, hyper, grid, details)
        return masks[:, 0], tokens[:, 0]


def run_transformer(
    transformer: TwoWayTransformer,
    own_tokens: Tensor,
    prompt_tokens: Tensor,
    image_embedding: Tensor,
    image_positions: Tensor,
) -> tuple[Tensor, Tensor]:
    """Put a decoder's K own tokens before each prompt's and let tokens and image attend.

    Returns (N, K + T, C) tokens and (N, G * G, C) image cells, in the type of `own_tokens` (K, C).
    """
    dtype = own_tokens.dtype
    own = own_tokens.expand(len(prompt_tokens), -1, -1)
    tokens = torch.cat([own, prompt_tokens.to(dtype)], dim=1)
    image = image_embedding.to(dtype).flatten(2).transpose(1, 2)
    positions = image_positions.to(dtype).flatten(2).transpose(1, 2)
    return transformer(tokens, image, positions)


def build_upscaling(channels: int) -> nn.Sequential:
    """Return the layers that up-scale an image embedding four-fold, to C / 8 channels."""
    return nn.Sequential(
        nn.ConvTranspose2d(channels, channels // 4, 2, stride=2),
        LayerNorm2d(channels // 4),
        nn.GELU(),
        nn.ConvTranspose2d(channels // 4, channels // 8, 2, stride=2),
        nn.GELU(),
    )


def read_masks(
    upscaling: nn.Sequential,
    image: Tensor,
    hyper: Tensor,
    grid: int,
    details: tuple[Tensor, ...] = (),
) -> Tensor:
    """Up-scale (N, G * G, C) image cells four-fold and dot them with each mask's vector.

    `upscaling` are the layers of `build_upscaling`, `hyper` is (N, M, C / 8), and `details` (from
    `FineMasks`) are added after each transposed convolution. Returns (N, M, 4G, 4G) float32 logits.

    A 2 x 2 transposed convolution of stride 2 is one matrix product per cell. Channels stay last,
    so that the layer norm is a plain one and the logits alone are permuted.
    """
    first, second = cast(nn.ConvTranspose2d, upscaling[0]), cast(nn.ConvTranspose2d, upscaling[3])
    norm = cast(LayerNorm2d, upscaling[1])
    x = _upscale(image[:, :, None], first)
    if details:
        x = x + details[0]
    x = F.gelu(F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, eps=1e-6))
    x = _upscale(x, second)
    if details:
        x = x + details[1]
    x = F.gelu(x)
    logits = (x.flatten(1, 2) @ hyper.transpose(1, 2)).float()
    count, masks = hyper.shape[:2]
    # Cells by row and column, then the halves y1 x1 y2 x2 of `_upscale`.
    logits = logits.view(count, grid, grid, 2, 2, 2, 2, masks)
    return logits.permute(0, 7, 1, 3, 5, 2, 4, 6).reshape(count, masks, 4 * grid, 4 * grid)


def _upscale(x: Tensor, conv: nn.ConvTranspose2d) -> Tensor:
    """Map (N, cells, parts, C) to (N, cells, parts x 4, C_out), parts in row-major 2 x 2 order."""
    weight = conv.weight.permute(2, 3, 1, 0).reshape(-1, conv.weight.shape[0])
    bias = conv.bias.repeat(4) if conv.bias is not None else None
    return F.linear(x, weight, bias).unflatten(-1, (4, conv.weight.shape[1])).flatten(2, 3)


def _split_cells(fine: Tensor, halvings: int) -> Tensor:
    """Map (B, C, rG, rG), r = 2 ** halvings, to (B, G * G, r * r, C), parts as `_upscale` has them.

    That order halves again and again: (y1, x1, y2, x2), not row by row.
    """
    batch, channels, side, _ = fine.shape
    grid, halves = side >> halvings, (2,) * halvings
    x = fine.reshape(batch, channels, grid, *halves, grid, *halves)
    rows = range(2, 3 + halvings)
    order = [axis for row in rows for axis in (row, row + 1 + halvings)]
    return x.permute(0, *order, 1).reshape(batch, grid * grid, 4**halvings, channels)
