"""Swin Transformer: attention in windows that shift every second block, patches merging by four.

Source: Swin (Liu et al. 2021), its detection form: any image size, windows padded with zeros.
Layout inside is (B, H, W, C). Letters: W windows of one image, M heads, T cells of a window.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovsam.vision_transformer import from_windows, to_windows
from ovsam_pipeline.detectors.official.rcnn.vit_pyramid import PretrainedMLP

_PATCH = 4
# What upstream adds to the score of two cells that were no neighbours before the shift.
_FORBIDDEN = -100.0


def _relative_index(window: int) -> Tensor:
    """(T, T) int64: row of the bias table for each pair of cells of a window."""
    # On the CPU also where the parameters are being made on the meta device: it is not loaded.
    side = torch.arange(window, device="cpu")
    cells = torch.cartesian_prod(side, side)
    offsets = cells[:, None] - cells[None, :] + window - 1
    return offsets[..., 0] * (2 * window - 1) + offsets[..., 1]


class _WindowAttention(nn.Module):
    """Multi-head attention within windows, with a learned bias for each relative position."""

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", _relative_index(window))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """Attend.

        `windows`: (B x W, T, C). `mask`: (W, T, T), added to the scores, or None. Returns (B x W,
        T, C).
        """
        count, cells, width = windows.shape
        qkv = self.qkv(windows).view(count, cells, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index.view(-1)]
        bias = bias.view(cells, cells, self.heads).permute(2, 0, 1)[None]
        if mask is not None:
            # Windows count as heads, so that one mask serves every image of the batch.
            qkv = qkv.reshape(3, -1, mask.shape[0] * self.heads, cells, qkv.shape[-1])
            bias = (bias + mask[:, None].to(bias.dtype)).flatten(0, 1)[None]
        q, k, v = qkv.unbind(0)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        out = out.reshape(count, self.heads, cells, -1)
        return self.proj(out.transpose(1, 2).reshape(count, cells, width))


def _region_numbers(side: int, window: int, shift: int) -> Tensor:
    """(side,) int64: along one axis, which of three regions a cell is from after the shift."""
    numbers = torch.zeros(side, dtype=torch.int64)
    numbers[side - window :] = 1
    numbers[side - shift :] = 2
    return numbers


def _shift_mask(height: int, width: int, window: int, shift: int) -> Tensor:
    """(W, T, T): forbids attention between cells that the shift brought together."""
    rows, columns = (_region_numbers(side, window, shift) for side in (height, width))
    regions = (3 * rows[:, None] + columns[None, :])[None, :, :, None]
    cells = to_windows(regions, window).flatten(1)
    differ = cells[:, :, None] != cells[:, None, :]
    return differ.to(torch.float32) * _FORBIDDEN


class _Block(nn.Module):
    """Pre-norm block: attention over windows, shifted or not, then an MLP."""

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(width)
        self.attn = _WindowAttention(width, heads, window)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = PretrainedMLP(width, 4 * width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self._attend(self.norm1(x), mask if self.shift else None)
        return x + self.mlp(self.norm2(x))

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        height, width = x.shape[1:3]
        x = F.pad(x, (0, 0, 0, -width % self.window, 0, -height % self.window))
        padded = (x.shape[1], x.shape[2])
        if self.shift:
            x = x.roll((-self.shift, -self.shift), dims=(1, 2))
        attended = self.attn(to_windows(x, self.window).flatten(1, 2), mask)
        x = from_windows(attended, self.window, len(x), padded)
        if self.shift:
            x = x.roll((self.shift, self.shift), dims=(1, 2))
        return x[:, :height, :width]


class _PatchMerging(nn.Module):
    """Four neighbours → one cell of twice the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        # The order of the official weights: down the column first.
        four = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(four, dim=-1)))


class _Stage(nn.Module):
    """Blocks at one resolution; holds the merging to the next, which comes after the output."""

    downsample: _PatchMerging | None

    def __init__(self, width: int, depth: int, heads: int, window: int, *, is_last: bool) -> None:
        super().__init__()
        self.window = window
        self.blocks = nn.ModuleList(
            _Block(width, heads, window, shift=window // 2 if index % 2 else 0)
            for index in range(depth)
        )
        self.downsample = None if is_last else _PatchMerging(width)

    def forward(self, x: Tensor) -> Tensor:
        height, width = (side + -side % self.window for side in x.shape[1:3])
        mask = _shift_mask(height, width, self.window, self.window // 2).to(x.device)
        for block in self.blocks:
            x = block(x, mask)
        return x


class _PatchEmbed(nn.Module):
    """4 x 4 patches to the first width, and a norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, _PATCH, stride=_PATCH)
        self.norm = nn.LayerNorm(width)

    def forward(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[2:]
        pixels = F.pad(pixels, (0, -width % _PATCH, 0, -height % _PATCH))
        return self.norm(self.proj(pixels).permute(0, 2, 3, 1))


class Swin(nn.Module):
    """Four stages, of which the last three are returned, each through its own norm."""

    def __init__(
        self, width: int, depths: Sequence[int], heads: Sequence[int], window: int
    ) -> None:
        """Make a Swin whose stage i has width x 2**i channels."""
        super().__init__()
        self.patch_embed = _PatchEmbed(width)
        last = len(depths) - 1
        self.layers = nn.ModuleList(
            _Stage(width * 2**i, depth, heads[i], window, is_last=i == last)
            for i, depth in enumerate(depths)
        )
        for index in range(1, len(depths)):
            self.add_module(f"norm{index}", nn.LayerNorm(width * 2**index))

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Map (B, 3, H, W) to {"swin1": (B, 2C, H/8, W/8), "swin2": ..., "swin3": ...}."""
        x = self.patch_embed(pixels)
        outputs = {}
        for index, stage in enumerate(self.layers):
            assert isinstance(stage, _Stage)
            x = stage(x)
            if index:
                normed = self.get_submodule(f"norm{index}")(x)
                outputs[f"swin{index}"] = normed.permute(0, 3, 1, 2)
            if stage.downsample is not None:
                x = stage.downsample(x)
        return outputs
