"""CLIP2SAM: CLIP's four stage maps and a region → the region's embedding in CLIP's text space.

Three heads, the rows of Table 6: "fpn" (the released one: a light FPN and RoIAlign), "label-token"
(the decoder's label token through an MLP), "label-token+clip" (that, plus the mask-pooled CLIP
feature). Source: paper section 3.3. The released model multiplies the label token's MLP by
zero beside the FPN; here it is simply not computed, and its weights are kept for the files' sake.

Letters: B images, N regions, C channels, D embedding width, R bins of the RoI grid.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from ovsam.clip_backbone import mask_pool
from ovsam.config import ModelConfig
from ovsam.mask_decoder import PerceptronStack

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
        """Embed N regions of one image.

        Args:
            levels: the image's FPN levels, (1, C, S/4 ... S/32) each.
            boxes_xyxy: (N, 4) float32 regions in pixels of the network input.
            label_tokens: (N, C), the decoder's label token outputs.
            clip_feature: (1, C4, S/32, S/32), CLIP's last stage.
            mask_logits: (N, S/4, S/4) float32 low-resolution logits.

        Returns:
            (N, D) float32, not normalised.
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
        """Embed regions of a batch of images from their FPN levels: (N, D) float32.

        Args:
            levels: (B, C, S/4 ... S/32) each.
            boxes_xyxy: (N, 4) float32 in pixels of the network input.
            image_index: (N,) row of the batch that each region belongs to.
        """
        pooled = pool_from_levels(
            levels, boxes_xyxy, image_index, self.roi_size, self.roi_base_size
        )
        features = F.relu(self.roi_projection(pooled.to(self.roi_projection.weight.dtype)))
        return features.float().mean(dim=(2, 3))

    def roi_levels(self, boxes_xyxy: Tensor) -> Tensor:
        """Return the FPN level (0 finest ... 3) of each (N, 4) region, by its area."""
        return choose_levels(boxes_xyxy, self.roi_base_size)


def choose_levels(boxes_xyxy: Tensor, roi_base_size: float) -> Tensor:
    """Return the level (0 finest ... 3) of each (N, 4) region, by its area."""
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
    """RoIAlign each region from the level of its size: (N, C, R, R) float32.

    Args:
        levels: (B, C, S/4 ... S/32) each.
        boxes_xyxy: (N, 4) float32 in pixels of the network input.
        image_index: (N,) row of the batch that each region belongs to.
        roi_size: R.
        roi_base_size: side of a region, in input pixels, from which on the second level is its.
    """
    rois = torch.cat([image_index[:, None].to(boxes_xyxy.dtype), boxes_xyxy], dim=1).float()
    chosen = choose_levels(boxes_xyxy, roi_base_size)
    pooled = rois.new_zeros(len(rois), levels[0].shape[1], roi_size, roi_size)
    for index, (level, stride) in enumerate(zip(levels, _STRIDES, strict=True)):
        rows = torch.nonzero(chosen == index)[:, 0]
        if len(rows):
            part = roi_align(level.float(), rois[rows], roi_size, 1 / stride, -1, aligned=True)
            pooled = pooled.index_copy(0, rows, part)
    return pooled
