"""SAM's two-way transformer: prompt tokens and image cells attend to each other.

Two exact savings over the textbook form. The image is the same for all prompts of an image until
the first block has changed it, so that block projects the image's keys, values and queries once.
The image's positional encoding is projected once per layer and added after the projection, instead
of being added to 4 MB of image cells per prompt.

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
        """Update tokens (N, T, C) and image (N, HW, C), which is (1, HW, C) while prompts share it.

        `token_positions` (N, T, C) are the prompt tokens before the first block.
        """
        attention = self.self_attn
        # Before the first block tokens and their positions are the same thing: SAM neither adds
        # positions there nor keeps a residual.
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
        # W (x + p) + b = (W x + b) + W p: positions are projected once, without the bias.
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
    """A stack of two-way blocks and a last attention of the tokens to the image."""

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
        """Return tokens (N, T, C) and image (N, HW, C); the image may come shared, (1, HW, C)."""
        positions = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, positions, image_positions)
        last = attend_to_image(
            self.final_attn_token_to_image, tokens + positions, image, image_positions
        )
        return self.norm_final_attn(tokens + last), image
