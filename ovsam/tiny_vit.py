"""TinyViT: MobileSAM's image encoder, for inference.

Convolutions at stride 4, then three stages of attention within windows at strides 8, 16 and 16.
Every batch norm is folded into its convolution, so the network cannot be trained; parameter names
are the official checkpoint's, without the level that a batch norm adds (`.c.`).

Source: TinyViT (arXiv 2207.10666), the 5M variant; MobileSAM (arXiv 2306.14289), whose last merge
keeps the stride.
Letters: B images, H W cells, C channels, M heads, D channels a head, L cells of a window's side.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovsam.vision_transformer import (
    build_output_neck,
    from_windows,
    mix_channels,
    to_windows,
)

_STEM_WIDTH = 64
_EXPANSION = 4
_HEAD_WIDTH = 32
_BAND_ROWS = 32
# Width, depth, side of the windows in cells, and stride of the merge before: one row a stage.
_STAGES = ((128, 2, 7, 2), (160, 6, 14, 2), (320, 2, 7, 1))


class TinyVit(nn.Module):
    """(B, 3, S, S) network inputs → (B, `embed_channels`, S/16, S/16) image embeddings."""

    def __init__(self, embed_channels: int = 256) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict({"seq": _PatchEmbed()})
        widths = [_STEM_WIDTH, *(width for width, *_ in _STAGES)]
        strides = [stride for *_, stride in _STAGES]
        first = _Stage([_ConvBlock(_STEM_WIDTH) for _ in range(2)])
        stages = [
            _Stage([_AttentionBlock(width, window) for _ in range(depth)])
            for width, depth, window, _ in _STAGES
        ]
        self.layers = nn.ModuleList([first, *stages])
        for index, stride in enumerate(strides):
            self.layers[index].downsample = _Merge(widths[index], widths[index + 1], stride)
        self.neck = build_output_neck(widths[-1], embed_channels)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode a batch; the side of the input is a multiple of 16."""
        x = self.patch_embed["seq"](pixels)
        for stage in self.layers:
            x = stage(x)
        return self.neck(x)


class _PatchEmbed(nn.Sequential):
    """Two strided convolutions: (B, 3, S, S) → (B, 64, S/4, S/4)."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, _STEM_WIDTH // 2, 3, 2, 1),
            _Gelu(),
            nn.Conv2d(_STEM_WIDTH // 2, _STEM_WIDTH, 3, 2, 1),
        )


class _Stage(nn.Module):
    """Blocks of one width, then the merge to the next stage's, if there is one."""

    downsample: nn.Module | None

    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the next stage's input."""
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class _ConvBlock(nn.Module):
    """Inverted bottleneck (MBConv) with a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = width * _EXPANSION
        self.conv1 = nn.Conv2d(width, hidden, 1)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, 1, 1, groups=hidden)
        self.conv3 = nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        # In bands of rows: the wide maps between would take 64 MB each, and pages that the system
        # must clear for every image.
        bands = [self._run_band(x, top) for top in range(0, x.shape[2], _BAND_ROWS)]
        return _gelu(torch.cat(bands, dim=2).add_(x))

    def _run_band(self, x: Tensor, top: int) -> Tensor:
        """Return the rows of the inner path from `top` on, at most `_BAND_ROWS`."""
        height, bottom = x.shape[2], min(top + _BAND_ROWS, x.shape[2])
        first, last = max(top - 1, 0), min(bottom + 1, height)
        wide = _gelu(mix_channels(self.conv1, x[:, :, first:last]))
        # The depthwise convolution sees a row of its neighbours, or of zeros at the map's edge.
        wide = F.pad(wide, (0, 0, int(top == 0), int(bottom == height)))
        conv = self.conv2
        wide = F.conv2d(wide, conv.weight, conv.bias, padding=(0, 1), groups=conv.groups)
        return mix_channels(self.conv3, _gelu(wide))


class _Merge(nn.Module):
    """Convolutions to another width, at half the resolution with stride 2."""

    def __init__(self, in_width: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_width, width, 1)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=width)
        self.conv3 = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = _gelu(self.conv2(_gelu(mix_channels(self.conv1, x))))
        return mix_channels(self.conv3, x)


class _AttentionBlock(nn.Module):
    """Attention within windows, a depthwise convolution across their borders, and an MLP."""

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.attn = _WindowAttention(width, window)
        self.local_conv = nn.Conv2d(width, width, 3, 1, 1, groups=width)
        self.mlp = _Perceptron(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        # The same memory seen as (B, H, W, C): maps are channels last.
        cells = x.permute(0, 2, 3, 1)
        cells = cells + self.attn(cells)
        cells = self.local_conv(cells.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return (cells + self.mlp(cells)).permute(0, 3, 1, 2)


class _WindowAttention(nn.Module):
    """Multi-head attention within windows, biased by the distance of rows and columns."""

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.heads = width // _HEAD_WIDTH
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(self.heads, window**2))

    def forward(self, x_BHWC: Tensor) -> Tensor:
        batch, height, width, _ = x_BHWC.shape
        pad_h, pad_w = -height % self.window, -width % self.window
        # Padded cells take part in the attention as the norm's bias: zeros come before the norm.
        padded = F.pad(x_BHWC, (0, 0, 0, pad_w, 0, pad_h))
        windows = to_windows(padded, self.window).flatten(1, 2)
        qkv = self.qkv(self.norm(windows)).unflatten(-1, (self.heads, 3, _HEAD_WIDTH))
        q, k, v = qkv.permute(3, 0, 2, 1, 4).unbind(0)
        # Two products: on a CPU the fused kernel is slower, as it looks for rows without any key.
        scores = (q * _HEAD_WIDTH**-0.5) @ k.transpose(-1, -2)
        scores += self._bias().to(q.dtype)
        attended = scores.softmax(-1) @ v
        out = self.proj(attended.transpose(1, 2).flatten(2))
        out = from_windows(out, self.window, batch, (height + pad_h, width + pad_w))
        return out[:, :height, :width]

    def _bias(self) -> Tensor:
        """Return (M, L x L, L x L): the entry of |row difference| and |column difference|."""
        side = torch.arange(self.window, device=self.attention_biases.device)
        distance = (side[:, None] - side[None]).abs()
        index = distance[:, None, :, None] * self.window + distance[None, :, None, :]
        return self.attention_biases[:, index.flatten(2).flatten(0, 1)]


class _Perceptron(nn.Module):
    """Norm and two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, width * _EXPANSION)
        self.fc2 = nn.Linear(width * _EXPANSION, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(_gelu(self.fc1(self.norm(x))))


class _Gelu(nn.Module):
    """GELU in place."""

    def forward(self, x: Tensor) -> Tensor:
        return _gelu(x)


def _gelu(x: Tensor) -> Tensor:
    """Apply GELU in place: a new map of 64 MB costs more than the arithmetic."""
    return torch.ops.aten.gelu_(x)
