"""EfficientNet-Lite2: an ImageNet classifier, whose features name crops where there is no CLIP.

For inference: every batch norm is folded into its convolution. A region's embedding is its mean
feature; its cosines with the classifier's rows (`text/name_table.py`) tell classes apart.

Source: EfficientNet (arXiv 1905.11946) in TensorFlow's "lite" form: no squeeze-and-excite, ReLU6,
and TensorFlow's padding.
Letters: B images, N regions, C channels, D = 1,280 features, S side of the input.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ovsam.config import ClipConfig
from ovsam.preprocess import PIXEL_MEAN, PIXEL_STD
from ovsam.region_pooling import mask_pool
from ovsam.vision_transformer import mix_channels

# Expansion, kernel, stride, width and depth of a stage.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 3),
    (6, 5, 2, 48, 3),
    (6, 3, 2, 88, 4),
    (6, 5, 1, 120, 4),
    (6, 5, 2, 208, 5),
    (6, 3, 1, 352, 1),
)
_STEM_WIDTH = 32
# Blocks after which the maps are those of strides 4, 8, 16 and 32.
_ENDS = (4, 7, 15, 21)
# The classifier's own input is (pixel - 127) / 128.
_SCALES = tuple(std / 128 for std in PIXEL_STD)
_OFFSETS = tuple((mean - 127) / 128 for mean in PIXEL_MEAN)


class EfficientNetLite(nn.Module):
    """An image tower with the interface of CLIP's (`clip_backbone.py`)."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _STEM_WIDTH, 3, 2)
        blocks: list[nn.Module] = []
        width = _STEM_WIDTH
        for expansion, kernel, stride, out_width, depth in _STAGES:
            for index in range(depth):
                block_stride = stride if index == 0 else 1
                blocks.append(_Block(width, out_width, expansion, kernel, block_stride))
                width = out_width
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Conv2d(width, config.embed_dim, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encode (B, 3, S, S) network inputs to four maps at strides 4, 8, 16, 32."""
        # From SAM's statistics, which the network input has, to the classifier's.
        scale, offset = (pixels.new_tensor(row)[:, None, None] for row in (_SCALES, _OFFSETS))
        x = pixels * scale + offset
        x = _relu6(self.stem(pad_like_tensorflow(x, 3, 2)))
        stages = []
        for index, block in enumerate(self.blocks, start=1):
            x = block(x)
            if index in _ENDS:
                stages.append(x)
        return stages[0], stages[1], stages[2], stages[3]

    def embed_maps(self, stage4: Tensor) -> Tensor:
        """Embed whole maps: (N, C, H, W) to (N, D) float32."""
        return _relu6(mix_channels(self.head, stage4)).float().mean(dim=(2, 3))

    def embed_regions(self, stage4: Tensor, boxes_xyxy: Tensor, mask_logits: Tensor) -> Tensor:
        """Embed the mean of a (1, C, H, W) stage 4 under each (N, S/4, S/4) mask: (N, D) float32.

        This tower does not read boxes.
        """
        del boxes_xyxy
        return mask_pool(_relu6(mix_channels(self.head, stage4)), mask_logits)

    def fold_batch_norm(self) -> None:
        """Do nothing: they are folded already."""


class _Block(nn.Module):
    """Inverted bottleneck, with a shortcut where input and output have one shape."""

    def __init__(
        self, width: int, out_width: int, expansion: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        hidden = width * expansion
        self.kernel, self.stride = kernel, stride
        self.has_shortcut = stride == 1 and width == out_width
        self.expand = nn.Conv2d(width, hidden, 1) if expansion > 1 else None
        # At stride 1 TensorFlow's padding is the same on all sides.
        padding = kernel // 2 if stride == 1 else 0
        self.depthwise = nn.Conv2d(hidden, hidden, kernel, stride, padding, groups=hidden)
        self.project = nn.Conv2d(hidden, out_width, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = x if self.expand is None else _relu6(mix_channels(self.expand, x))
        if self.stride > 1:
            wide = pad_like_tensorflow(wide, self.kernel, self.stride)
        inner = mix_channels(self.project, _relu6(self.depthwise(wide)))
        return inner.add_(x) if self.has_shortcut else inner


def _relu6(x: Tensor) -> Tensor:
    """Apply ReLU6 in place: the network only predicts."""
    return F.relu6(x, inplace=True)


def pad_like_tensorflow(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Zero-pad (B, C, H, W) as TensorFlow's "SAME" does: the odd row and column come last."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        needed = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [needed // 2, needed - needed // 2]
    return F.pad(x, pads)
