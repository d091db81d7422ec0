"""Prompts in pixels of the network input → tokens and a dense embedding, as SAM encodes them.

Source: SAM's prompt encoder; paper section 3.1. Frozen in both training stages.
Letters: N prompts, P points, T tokens, C channels, G cells per side of the image embedding.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovsam.vision_transformer import LayerNorm2d


class PositionEmbedding(nn.Module):
    """Random Fourier features of positions in [0, 1]."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        frequencies = torch.empty(2, channels // 2).normal_()
        self.register_buffer("positional_encoding_gaussian_matrix", frequencies)

    def encode(self, positions_xy: Tensor) -> Tensor:
        """Map (..., 2) positions in [0, 1] to (..., C) float32."""
        matrix = self.positional_encoding_gaussian_matrix
        # float32 even in a bfloat16 model: an 8-bit mantissa would move a corner by pixels.
        angles = 2 * math.pi * ((2 * positions_xy.float() - 1) @ matrix.float())
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    def grid(self, size: int) -> Tensor:
        """Encode the cell centres of a size x size grid: (1, C, size, size) float32."""
        centres = (
            torch.arange(size, device=self.positional_encoding_gaussian_matrix.device) + 0.5
        ) / size
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        return self.encode(torch.stack([x, y], dim=-1)).permute(2, 0, 1)[None]


class PromptEncoder(nn.Module):
    """Points, boxes and coarse masks → sparse tokens (N, T, C) and a dense embedding."""

    def __init__(self, channels: int, input_size: int, mask_channels: int = 16) -> None:
        super().__init__()
        self.input_size = input_size
        self.pe_layer = PositionEmbedding(channels)
        # 0 background point, 1 object point, 2 and 3 the corners of a box.
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, channels) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, channels)
        self.no_mask_embed = nn.Embedding(1, channels)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_channels // 4, 2, stride=2),
            LayerNorm2d(mask_channels // 4),
            nn.GELU(),
            nn.Conv2d(mask_channels // 4, mask_channels, 2, stride=2),
            LayerNorm2d(mask_channels),
            nn.GELU(),
            nn.Conv2d(mask_channels, channels, 1),
        )

    def image_positions(self) -> Tensor:
        """Return the positional encoding of the image embedding's cells: (1, C, G, G) float32."""
        return self.pe_layer.grid(self.input_size // 16)

    def forward(
        self, boxes_xyxy: Tensor | None, points_xy: Tensor | None, point_labels: Tensor | None
    ) -> Tensor:
        """Encode (N, 4) boxes and (N, P, 2) points in pixels of the network input as tokens.

        `point_labels` (N, P) are 1 object, 0 background, -1 padding. The tokens (N, T, C) float32
        are the points, one padding token where there is no box, and the two corners.
        """
        tokens = []
        if points_xy is not None:
            assert point_labels is not None
            if boxes_xyxy is None:
                # SAM was trained with a padding point in place of the box.
                points_xy = F.pad(points_xy, (0, 0, 0, 1))
                point_labels = F.pad(point_labels, (0, 1), value=-1)
            tokens.append(self._encode_points(points_xy, point_labels))
        if boxes_xyxy is not None:
            corners = self._encode_positions(boxes_xyxy.view(-1, 2, 2))
            kinds = torch.cat([self._kind(2), self._kind(3)])
            tokens.append(corners + kinds)
        return torch.cat(tokens, dim=1)

    def _encode_positions(self, positions_xy: Tensor) -> Tensor:
        # A position is the index of a pixel; its centre is half a pixel further.
        return self.pe_layer.encode((positions_xy.float() + 0.5) / self.input_size)

    def _kind(self, index: int) -> Tensor:
        return cast(nn.Embedding, self.point_embeddings[index]).weight.float()

    def _encode_points(self, points_xy: Tensor, labels: Tensor) -> Tensor:
        # Labels -1, 0, 1 are rows 0, 1, 2; a padding point has no position.
        kinds = torch.cat([self.not_a_point_embed.weight.float(), self._kind(0), self._kind(1)])
        positions = self._encode_positions(points_xy) * (labels >= 0)[..., None]
        return positions + kinds[labels + 1]

    def encode_masks(self, mask_logits: Tensor | None) -> Tensor:
        """Encode (N, 4G, 4G) coarse masks as (N, C, G, G), to be added to the image embedding.

        Logits are in the frame of the padded network input. Without masks: (1, C, 1, 1).
        """
        if mask_logits is None:
            return self.no_mask_embed.weight[..., None, None]
        weight = self.no_mask_embed.weight
        return self.mask_downscaling(mask_logits[:, None].to(weight.dtype))
