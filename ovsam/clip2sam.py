"""CLIP2SAM: CLIP's four stage maps and a region → the region's embedding in CLIP's text space.

Three heads, the rows of Table 6: "fpn" (the released one: a light FPN and RoIAlign), "label-token"
(the decoder's label token through an MLP), "label-token+clip" (that, plus the mask-pooled CLIP
feature). Source: paper section 3.3.

Letters: B images, N regions, C channels, D embedding width, R bins of the RoI grid, S side of the
network input.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovsam.config import ModelConfig
from ovsam.mask_decoder import PerceptronStack
from ovsam.region_operators import roi_align
from ovsam.region_pooling import mask_pool

_STRIDES = (4, 8, 16, 32)


class FeaturePyramid(nn.Module):
    """Lateral 1x1 convolutions, nearest top-down sums, 3x3 outputs; four levels."""

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.fpn_convs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in in_channels
        )

    def forward(self, stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Map four stages to four (B, C, S/4 ... S/32) levels."""
        merged = [conv(x) for conv, x in zip(self.lateral_convs, stages, strict=True)]
        for index in range(len(merged) - 1, 0, -1):
            size = merged[index - 1].shape[2:]
            top = F.interpolate(merged[index], size=size, mode="nearest")
            merged[index - 1] = merged[index - 1] + top
        return tuple(conv(x) for conv, x in zip(self.fpn_convs, merged, strict=True))


class CLIP2SAM(nn.Module):
    """The recognition head; see the module's text for its three forms."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.kind = config.label_head
        self.roi_size = config.roi_size
        self.roi_base_size = config.roi_base_size
        channels, dim = config.embed_channels, config.clip.embed_dim
        # With the FPN the released model multiplies this MLP's output by zero. Here it is not
        # computed then, but its weights are kept: the released files have them.
        self.label_mlp = PerceptronStack((channels, channels, channels, dim))
        if self.kind == "fpn":
            self.fpn = FeaturePyramid(config.clip.channels, config.fpn_channels)
            self.roi_projection = nn.Conv2d(config.fpn_channels, dim, 1, bias=False)
        if self.kind == "label-token+clip":
            self.clip_projection = nn.Linear(config.clip.channels[3], dim)

    def build_levels(self, stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the FPN's levels of an image batch, or nothing where the head has no FPN."""
        return self.fpn(stages) if self.kind == "fpn" else ()

    def embed_regions(
        self,
        levels: Sequence[Tensor],
        boxes_xyxy: Tensor,
        label_tokens: Tensor,
        clip_feature: Tensor,
        mask_logits: Tensor,
    ) -> Tensor:
        """Embed N regions of one image: (N, D) float32, not normalised.

        `levels` are (1, C, S/4 ... S/32), `boxes_xyxy` (N, 4) float32 in pixels of the network
        input, `label_tokens` (N, C), `clip_feature` CLIP's last stage (1, C4, S/32, S/32) and
        `mask_logits` (N, S/4, S/4) float32. Each head reads its part of them.
        """
        if self.kind == "fpn":
            batch_index = boxes_xyxy.new_zeros(len(boxes_xyxy))
            return self.embed_rois(levels, boxes_xyxy, batch_index)
        embedding = self.label_mlp(label_tokens)
        if self.kind == "label-token+clip":
            pooled = mask_pool(clip_feature, mask_logits).to(embedding.dtype)
            embedding = embedding + self.clip_projection(pooled)
        return embedding.float()

    def embed_rois(
        self, levels: Sequence[Tensor], boxes_xyxy: Tensor, image_index: Tensor
    ) -> Tensor:
        """Embed regions of a batch of images from their levels: (N, D) float32.

        `image_index` (N,) is the row of the batch that each of the (N, 4) regions belongs to.
        """
        pooled = pool_from_levels(
            levels, boxes_xyxy, image_index, self.roi_size, self.roi_base_size
        )
        return project_rois(pooled, self.roi_projection)


def project_rois(pooled: Tensor, projection: nn.Conv2d) -> Tensor:
    """Embed pooled regions: (N, C, R, R) to (N, D) float32."""
    features = F.relu(projection(pooled.to(projection.weight.dtype)))
    # The mean of R x R bins in bfloat16 would keep three digits.
    return features.float().mean(dim=(2, 3))


def choose_levels(boxes_xyxy: Tensor, roi_base_size: float) -> Tensor:
    """Return the level (0 finest ... 3) of each (N, 4) region, by its area.

    Regions of up to twice `roi_base_size` are pooled from the finest level, and each doubling is
    one level up (mmdetection's rule, which the release uses).
    """
    sides = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    side = (sides[:, 0] * sides[:, 1]).clamp(min=0).sqrt()
    return torch.floor(torch.log2(side / roi_base_size + 1e-6)).clamp(0, 3).long()


def pool_from_levels(
    levels: Sequence[Tensor],
    boxes_xyxy: Tensor,
    image_index: Tensor,
    roi_size: int,
    roi_base_size: float,
) -> Tensor:
    """RoIAlign each region from the level of its size: (N, C, R, R) float32, R = `roi_size`.

    `levels` are (B, C, S/4 ... S/32), `boxes_xyxy` (N, 4) float32 in pixels of the network input,
    `image_index` (N,) the row of the batch that each region belongs to.
    """
    rois = torch.cat([image_index[:, None].to(boxes_xyxy.dtype), boxes_xyxy], dim=1).float()
    chosen = choose_levels(boxes_xyxy, roi_base_size)
    pooled = rois.new_zeros(len(rois), levels[0].shape[1], roi_size, roi_size)
    for index, (level, stride) in enumerate(zip(levels, _STRIDES, strict=True)):
        rows = torch.nonzero(chosen == index)[:, 0]
        if len(rows):
            part = roi_align(level.float(), rois[rows], roi_size, 1 / stride)
            pooled = pooled.index_copy(0, rows, part)
    return pooled
