"""Image embedding + prompt tokens → low-resolution mask logits and the label token.

SAM's decoder with one mask token, no IoU token and no multi-mask output, and a label token in
front. Source: paper section 3.3, figure 3; the token order is the released one.
Letters: N prompts, T tokens, C channels, G cells a side of the image embedding.
"""

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

    def forward(
        self, image_embedding: Tensor, image_positions: Tensor, prompt_tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Decode N prompts of one image.

        Args:
            image_embedding: (1, C, G, G) shared by all prompts, or (N, C, G, G) with mask prompts.
            image_positions: (1, C, G, G).
            prompt_tokens: (N, T, C).

        Returns:
            mask logits (N, 4G, 4G) float32 and the label token's output (N, C).
        """
        own = torch.cat([self.label_token.weight, self.mask_tokens.weight])
        tokens, image = run_transformer(
            self.transformer, own, prompt_tokens, image_embedding, image_positions
        )
        hyper = self.output_hypernetworks_mlps[0](tokens[:, 1])[:, None]
        masks = read_masks(self.output_upscaling, image, hyper, image_embedding.shape[-1])
        return masks[:, 0], tokens[:, 0]


def run_transformer(
    transformer: TwoWayTransformer,
    own_tokens: Tensor,
    prompt_tokens: Tensor,
    image_embedding: Tensor,
    image_positions: Tensor,
) -> tuple[Tensor, Tensor]:
    """Put a decoder's own tokens before each prompt's and let both sides attend.

    Args:
        transformer: SAM's.
        own_tokens: (K, C); their type is that of the arithmetic.
        prompt_tokens: (N, T, C).
        image_embedding: (1, C, G, G) shared by all prompts, or (N, C, G, G).
        image_positions: (1, C, G, G).

    Returns:
        tokens (N, K + T, C) and image cells (N, G * G, C).
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


def read_masks(upscaling: nn.Sequential, image: Tensor, hyper: Tensor, grid: int) -> Tensor:
    """Up-scale image cells four-fold and dot them with each mask's vector.

    A 2 x 2 transposed convolution of stride 2 is one matrix product a cell; keeping channels last
    makes the layer norm a plain one and leaves a single permutation, of logits.

    Args:
        upscaling: SAM's transposed convolution, norm, GELU, transposed convolution, GELU.
        image: (N, G * G, C) cells from the transformer.
        hyper: (N, M, C / 8), one vector a mask.
        grid: G.

    Returns:
        (N, M, 4G, 4G) float32 logits.
    """
    first, second = cast(nn.ConvTranspose2d, upscaling[0]), cast(nn.ConvTranspose2d, upscaling[3])
    norm = cast(LayerNorm2d, upscaling[1])
    x = _upscale(image[:, :, None], first)
    x = F.gelu(F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, eps=1e-6))
    x = F.gelu(_upscale(x, second))
    logits = (x.flatten(1, 2) @ hyper.transpose(1, 2)).float()
    count, masks = hyper.shape[:2]
    logits = logits.view(count, grid, grid, 2, 2, 2, 2, masks)
    return logits.permute(0, 7, 1, 3, 5, 2, 4, 6).reshape(count, masks, 4 * grid, 4 * grid)


def _upscale(x: Tensor, conv: nn.ConvTranspose2d) -> Tensor:
    """Map (N, cells, parts, C) to (N, cells, parts x 4, C_out), parts in row-major 2 x 2 order."""
    weight = conv.weight.permute(2, 3, 1, 0).reshape(-1, conv.weight.shape[0])
    bias = conv.bias.repeat(4) if conv.bias is not None else None
    return F.linear(x, weight, bias).unflatten(-1, (4, conv.weight.shape[1])).flatten(2, 3)
