"""SAM's two-way transformer: prompt tokens and image cells look at each other.

Exact savings over the textbook form (reference: where the time goes): the image is the same for
every prompt of an image until the first block has changed it, so the first block's image keys,
values and queries are projected once; the image's positional encoding is projected once a layer and
added after the projection, instead of being added to 4 MB of image cells a prompt.

Source: SAM, "mask decoder"; paper section 3.1.
Letters: N prompts, T tokens, HW image cells, C channels, M heads.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovsam.vision_transformer import MLP


class TwoWayAttention(nn.Module):
    """Multi-head attention whose inner width is C / downsample."""

    def __init__(self, channels: int, heads: int, downsample: int = 1) -> None:
        super().__init__()
        inner = channels // downsample
        self.heads = heads
        self.q_proj = nn.Linear(channels, inner)
        self.k_proj = nn.Linear(channels, inner)
        self.v_proj = nn.Linear(channels, inner)
        self.out_proj = nn.Linear(inner, channels)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend with projected inputs (N or 1, ..., C / downsample); return (N, ..., C)."""
        split = (self.heads, q.shape[-1] // self.heads)
        q, k, v = (x.unflatten(-1, split).transpose(1, 2) for x in (q, k, v))
        batch = len(k) if len(q) == 1 else len(q)
        q, k, v = (x.expand(batch, -1, -1, -1) for x in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(out.transpose(1, 2).flatten(2))


class TwoWayBlock(nn.Module):
    """Self-attention of tokens, tokens → image, MLP, image → tokens."""

    def __init__(self, channels: int, heads: int, mlp_width: int, is_first: bool) -> None:
        super().__init__()
        self.is_first = is_first
        self.self_attn = TwoWayAttention(channels, heads)
        self.norm1 = nn.LayerNorm(channels)
        self.cross_attn_token_to_image = TwoWayAttention(channels, heads, downsample=2)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = MLP(channels, mlp_width, F.relu)
        self.norm3 = nn.LayerNorm(channels)
        self.norm4 = nn.LayerNorm(channels)
        self.cross_attn_image_to_token = TwoWayAttention(channels, heads, downsample=2)

    def forward(
        self, tokens: Tensor, image: Tensor, token_positions: Tensor, image_positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Update both sides.

        Args:
            tokens: (N, T, C).
            image: (N, HW, C), or (1, HW, C) while all prompts still share it.
            token_positions: (N, T, C), the prompt tokens as they came.
            image_positions: (1, HW, C).

        Returns:
            tokens (N, T, C) and image (N, HW, C).
        """
        attention = self.self_attn
        if self.is_first:
            query = tokens
            residual = torch.zeros((), dtype=tokens.dtype, device=tokens.device)
        else:
            query, residual = tokens + token_positions, tokens
        tokens = residual + attention.attend(
            attention.q_proj(query), attention.k_proj(query), attention.v_proj(tokens)
        )
        tokens = self.norm1(tokens)
        attention = self.cross_attn_token_to_image
        tokens = self.norm2(
            tokens + attend_to_image(attention, tokens + token_positions, image, image_positions)
        )
        tokens = self.norm3(tokens + self.mlp(tokens))
        attention = self.cross_attn_image_to_token
        query = attention.q_proj(image) + F.linear(image_positions, attention.q_proj.weight)
        keys = attention.k_proj(tokens + token_positions)
        image = image + attention.attend(query, keys, attention.v_proj(tokens))
        return tokens, self.norm4(image)


def attend_to_image(
    attention: TwoWayAttention, query: Tensor, image: Tensor, image_positions: Tensor
) -> Tensor:
    """Let (N, T, C) tokens attend to (N or 1, HW, C) cells; positions join after projection."""
    keys = attention.k_proj(image) + F.linear(image_positions, attention.k_proj.weight)
    return attention.attend(attention.q_proj(query), keys, attention.v_proj(image))


class TwoWayTransformer(nn.Module):
    """A stack of two-way blocks and one last look of the tokens at the image."""

    def __init__(self, depth: int, channels: int, heads: int, mlp_width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayBlock(channels, heads, mlp_width, is_first=index == 0) for index in range(depth)
        )
        self.final_attn_token_to_image = TwoWayAttention(channels, heads, downsample=2)
        self.norm_final_attn = nn.LayerNorm(channels)

    def forward(
        self, tokens: Tensor, image: Tensor, image_positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run all blocks.

        Args:
            tokens: (N, T, C).
            image: (1, HW, C) shared by the prompts, or (N, HW, C).
            image_positions: (1, HW, C).

        Returns:
            tokens (N, T, C) and image (N, HW, C).
        """
        positions = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, positions, image_positions)
        last = attend_to_image(
            self.final_attn_token_to_image, tokens + positions, image, image_positions
        )
        return self.norm_final_attn(tokens + last), image
