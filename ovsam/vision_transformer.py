"""The vision transformer of SAM and ViTDet: window or global attention with relative positions.

Its blocks serve the SAM2CLIP neck too. Layout inside is (B, H, W, C).

Letters: B images or windows, H W cells, T = H x W, M heads, D channels a head.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovsam.config import NeckConfig, VitConfig

PATCH_SIZE = 16
_BIAS_ELEMENTS = 1 << 23  # of the position bias at once: 32 MB in float32


class MLP(nn.Module):
    """Two linear layers with an activation between them (exact GELU by default)."""

    def __init__(
        self, width: int, hidden: int, activation: Callable[[Tensor], Tensor] = F.gelu
    ) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C)."""
        return self.lin2(self.activation(self.lin1(x)))


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of a (B, C, H, W) map, each cell by itself; eps 1e-6."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalise; shape is kept."""
        x = x_BCHW.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.weight.shape, self.weight, self.bias, eps=1e-6)
        return x.permute(0, 3, 1, 2)


def relative_position_table(table: Tensor, size: int) -> Tensor:
    """Spread a (2L - 1, D) table of relative offsets to (size, size, D): query x key.

    A table made for another size is resized linearly, as SAM does.
    """
    if table.shape[0] != 2 * size - 1:
        resized = F.interpolate(table.float().T[None], size=2 * size - 1, mode="linear")
        table = resized[0].T.to(table.dtype)
    index = torch.arange(size, device=table.device)
    return table[index[:, None] - index[None, :] + size - 1]


class Attention(nn.Module):
    """Multi-head self-attention over a grid with decomposed relative positions (SAM, ViTDet)."""

    def __init__(self, width: int, heads: int, size: int) -> None:
        """Make an attention for grids of `size` x `size` cells; other sizes work by resizing."""
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * size - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * size - 1, width // heads))

    def attend(self, qkv_BHWC: Tensor) -> Tensor:
        """Attend over one grid, or over many windows at once.

        Maps projected queries, keys and values (B, H, W, 3C) to (B, H, W, C), before the output
        projection.
        """
        batch, height, width, _ = qkv_BHWC.shape
        # Contiguous once: a strided key or value would be copied again for every chunk of queries.
        q, k, v = (
            qkv_BHWC.reshape(batch, height * width, 3, self.heads, -1)
            .permute(2, 0, 3, 1, 4)
            .contiguous()
            .unbind(0)
        )
        q_grid = q.reshape(batch, self.heads, height, width, -1)
        table_h = relative_position_table(self.rel_pos_h, height).to(q.dtype)
        table_w = relative_position_table(self.rel_pos_w, width).to(q.dtype)
        bias_h = torch.einsum("bmhwd,hkd->bmhwk", q_grid, table_h)
        bias_w = torch.einsum("bmhwd,wkd->bmhwk", q_grid, table_w)
        # Some query rows at a time: a bias for the whole 64 x 64 grid of SAM-H takes 1 GB.
        step = max(1, _BIAS_ELEMENTS // (batch * self.heads * height * width**2))
        outputs = []
        for start in range(0, height, step):
            rows = slice(start, start + step)
            bias = bias_h[:, :, rows, :, :, None] + bias_w[:, :, rows, :, None, :]
            queries = q_grid[:, :, rows].flatten(2, 3)
            outputs.append(_attend_with_bias(queries, k, v, bias.flatten(4).flatten(2, 3)))
        out = torch.cat(outputs, dim=2)
        return out.transpose(1, 2).reshape(batch, height, width, -1)


def _attend_with_bias(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Return softmax(q k^T / sqrt(D) + bias) v for (B, M, T, D) inputs."""
    # In half precision on a CPU two batched products are twice as fast as the fused kernel
    # (benchmarks/speed/attention.py): only they reach the bfloat16 instructions.
    if q.device.type != "cpu" or q.dtype == torch.float32:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    flat_q, flat_k, flat_v, flat_bias = (x.flatten(0, 1) for x in (q, k, v, bias))
    scores = torch.baddbmm(flat_bias, flat_q, flat_k.transpose(1, 2), alpha=q.shape[-1] ** -0.5)
    return torch.bmm(scores.softmax(dim=-1), flat_v).unflatten(0, q.shape[:2])


def to_windows(x_BHWC: Tensor, window: int) -> Tensor:
    """Cut (B, H, W, C), H and W multiples of `window`, into (B x windows, window, window, C)."""
    batch, height, width, channels = x_BHWC.shape
    x = x_BHWC.view(batch, height // window, window, width // window, window, channels)
    return x.transpose(2, 3).reshape(-1, window, window, channels)


def from_windows(windows: Tensor, window: int, batch: int, padded_hw: tuple[int, int]) -> Tensor:
    """Undo `to_windows`."""
    height, width = padded_hw
    x = windows.view(batch, height // window, width // window, window, window, -1)
    return x.transpose(2, 3).reshape(batch, height, width, -1)


class TransformerBlock(nn.Module):
    """Pre-norm block: attention over windows (or the whole grid), then an MLP."""

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_ratio: float,
        window: int,
        grid: int,
        make_mlp: Callable[[int, int], nn.Module] = MLP,
    ) -> None:
        """Make a block; `window` 0 means global attention over a `grid` x `grid` map."""
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, window or grid)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = make_mlp(width, int(width * mlp_ratio))

    def forward(self, x_BHWC: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        attended = self._attend(self.attn.qkv(self.norm1(x_BHWC)))
        x = x_BHWC + self.attn.proj(attended)
        return x + self.mlp(self.norm2(x))

    def _attend(self, qkv_BHWC: Tensor) -> Tensor:
        """Attend in windows; padding comes after the projection, so padded cells cost no GEMM."""
        if not self.window:
            return self.attn.attend(qkv_BHWC)
        batch, height, width, channels = qkv_BHWC.shape
        pad_h, pad_w = -height % self.window, -width % self.window
        if pad_h or pad_w:
            # SAM pads zeros in front of the projection: a padded cell's qkv is the bias.
            padded = self.attn.qkv.bias.expand(
                batch, height + pad_h, width + pad_w, channels
            ).clone()
            padded[:, :height, :width] = qkv_BHWC
            qkv_BHWC = padded
        windows = self.attn.attend(to_windows(qkv_BHWC, self.window))
        out = from_windows(windows, self.window, batch, (height + pad_h, width + pad_w))
        return out[:, :height, :width]


def build_blocks(
    numbers: NeckConfig | VitConfig, grid: int, make_mlp: Callable[[int, int], nn.Module] = MLP
) -> nn.ModuleList:
    """Return the blocks of a transformer over a `grid` x `grid` map."""
    return nn.ModuleList(
        TransformerBlock(
            numbers.width,
            numbers.heads,
            numbers.mlp_ratio,
            window=0 if index in numbers.global_blocks else numbers.window,
            grid=grid,
            make_mlp=make_mlp,
        )
        for index in range(numbers.depth)
    )


class PatchEmbed(nn.Module):
    """16 x 16 patches to the transformer's width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH_SIZE, stride=PATCH_SIZE)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, H/16, W/16, C)."""
        return self.proj(pixels).permute(0, 2, 3, 1)


class VisionTransformer(nn.Module):
    """Patches, positions, and blocks: the body of SAM's image encoder and of ViTDet.

    `positions` are (1, G, G, C) with one for each cell (SAM), or (1, 1 + L x L, C) as pre-trained:
    a class token, dropped, and a table that is resized to the grid (ViTDet). `make_mlp` builds the
    part of a block after attention, whose parameter names differ between the official files.
    """

    def __init__(
        self,
        config: VitConfig,
        positions: Tensor,
        make_mlp: Callable[[int, int], nn.Module] = MLP,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(config.width)
        self.pos_embed = nn.Parameter(positions)
        self.blocks = build_blocks(config, config.input_size // PATCH_SIZE, make_mlp)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (B, 3, H, W), multiples of 16, to (B, C, H/16, W/16)."""
        x = self.patch_embed(pixels)
        x = x + resize_positions(self.pos_embed, x.shape[1], x.shape[2])
        for block in self.blocks:
            x = block(x)
        return x.permute(0, 3, 1, 2)


def resize_positions(positions: Tensor, height: int, width: int) -> Tensor:
    """Return positions (1, G, G, C), or (1, 1 + L x L, C) after a class token, for a grid's cells.

    (1, height, width, C) in the type of `positions`; another size is resized bicubically.
    """
    if positions.dim() == 3:
        side = math.isqrt(positions.shape[1] - 1)
        positions = positions[:, 1:].unflatten(1, (side, side))
    if positions.shape[1:3] == (height, width):
        return positions
    # float32: bfloat16 would round the weights of the interpolation.
    table = positions.float().permute(0, 3, 1, 2)
    resized = F.interpolate(table, (height, width), mode="bicubic", align_corners=False)
    return resized.permute(0, 2, 3, 1).to(positions.dtype)


def build_output_neck(width: int, channels: int) -> nn.Sequential:
    """Return SAM's last layers: 1x1 and 3x3 convolutions with norms, to the embedding."""
    return nn.Sequential(
        nn.Conv2d(width, channels, 1, bias=False),
        LayerNorm2d(channels),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        LayerNorm2d(channels),
    )


def mix_channels(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Apply a 1x1 convolution to a channels-last map: as a product of matrices it is faster."""
    cells = F.linear(x.permute(0, 2, 3, 1), conv.weight.flatten(1), conv.bias)
    return cells.permute(0, 3, 1, 2)
