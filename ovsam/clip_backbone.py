"""The frozen CLIP image tower: pixels → four stage maps, and CLIP's own embedding of regions.

The towers are open_clip's (ResNet with attention pool; ConvNeXt), with open_clip's parameter names
below `visual.`. Only the pooling of regions is new: see `ResNetBackbone.embed_regions`.

Source: paper section 3.1 and 3.3; F-VLM for the frozen region score.
Letters: B images, N regions, C channels of stage 4, D embedding width, M heads, T tokens of the
attention pool (1 + R x R), HW cells of the stage-4 map, S side of the network input.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ovsam.config import ClipConfig
from ovsam.efficientnet import EfficientNetLite
from ovsam.region_pooling import mask_pool, region_weights


@contextmanager
def _without_warnings_of_timm() -> Iterator[None]:
    """Hide that timm warns about its own moved modules while open_clip imports it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class ResNetBackbone(nn.Module):
    """OpenAI's modified ResNet: average-pooled strides, attention pool at the end."""

    def __init__(self, config: ClipConfig) -> None:
        # Imported here and below: a second that the models without such a tower need not spend.
        with _without_warnings_of_timm():
            from open_clip.modified_resnet import ModifiedResNet

        super().__init__()
        self.pool_grid = config.pool_grid
        self.visual = ModifiedResNet(
            layers=list(config.layers),
            output_dim=config.embed_dim,
            heads=config.heads,
            image_size=config.image_size,
            width=config.width,
        )

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encode (B, 3, S, S) to four maps at strides 4, 8, 16, 32."""
        visual = self.visual
        stage1 = visual.layer1(visual.stem(pixels))
        stage2 = visual.layer2(stage1)
        stage3 = visual.layer3(stage2)
        return stage1, stage2, stage3, visual.layer4(stage3)

    def fold_batch_norm(self) -> None:
        """Fold every batch norm into the convolution before it; the tower can no longer train."""
        for module in self.visual.modules():
            for index in (1, 2, 3):
                norm = getattr(module, f"bn{index}", None)
                if isinstance(norm, nn.BatchNorm2d):
                    conv = cast(nn.Conv2d, getattr(module, f"conv{index}"))
                    setattr(module, f"conv{index}", fuse_conv_bn_eval(conv, norm))
                    setattr(module, f"bn{index}", nn.Identity())
            shortcut = getattr(module, "downsample", None)
            if isinstance(shortcut, nn.Sequential) and isinstance(shortcut[-1], nn.BatchNorm2d):
                conv = cast(nn.Conv2d, shortcut[1])
                shortcut[1] = fuse_conv_bn_eval(conv, shortcut[-1])
                shortcut[2] = nn.Identity()

    def embed_regions(self, stage4: Tensor, boxes_xyxy: Tensor, mask_logits: Tensor) -> Tensor:
        """Embed (N, 4) regions of a (1, C, H, W) stage 4 with the attention pool: (N, D) float32.

        Boxes are in pixels of the network input; this tower does not read masks. The result is that
        of RoIAlign to the pool's grid followed by the pool, in another order: the query is one
        vector per head, so keys and values need not be projected for every pooled cell. Each head's
        query goes through the key projection backwards, meets the map once, and only the resulting
        score map is RoI-aligned; values likewise. Exact, as RoIAlign is linear.
        """
        del mask_logits
        pool = self.visual.attnpool
        heads, channels = pool.num_heads, stage4.shape[1]
        cells = stage4[0].flatten(1).T
        pooling = region_weights(boxes_xyxy, 32, self.pool_grid, (stage4.shape[2], stage4.shape[3]))
        # Token 0 of the pool is the mean of the region's cells.
        pooling_NTHW = torch.cat([pooling.mean(dim=1, keepdim=True), pooling], dim=1)
        pooling_NTHW = pooling_NTHW.to(cells.dtype)
        positions_TC = pool.positional_embedding
        query = pool.q_proj(pooling_NTHW[:, 0] @ cells + positions_TC[0])
        query_MND = query.view(-1, heads, channels // heads).transpose(0, 1)
        # The keys' bias is left out: it adds the same to the scores of all tokens.
        key_weight_MDC = pool.k_proj.weight.view(heads, channels // heads, channels)
        query_NMC = (query_MND @ key_weight_MDC).transpose(0, 1) * (channels // heads) ** -0.5
        scores_NMT = (query_NMC @ cells.T) @ pooling_NTHW.transpose(1, 2)
        scores_NMT = scores_NMT + query_NMC @ positions_TC.T
        weights_NMT = scores_NMT.float().softmax(dim=-1).to(cells.dtype)
        values_NMC = (weights_NMT @ pooling_NTHW) @ cells + weights_NMT @ positions_TC
        value_weight_MDC = pool.v_proj.weight.view(heads, channels // heads, channels)
        values_MND = values_NMC.transpose(0, 1) @ value_weight_MDC.transpose(1, 2)
        values = values_MND.transpose(0, 1).reshape(-1, channels) + pool.v_proj.bias
        return pool.c_proj(values).float()

    def embed_maps(self, stage4: Tensor) -> Tensor:
        """Embed whole maps as CLIP does: (N, C, R, R) of the pool's own grid to (N, D) float32."""
        return self.visual.attnpool(stage4).float()


class ConvNeXtBackbone(nn.Module):
    """LAION's ConvNeXt: timm trunk, mask-pooled last stage, normalisation and projection."""

    def __init__(self, config: ClipConfig) -> None:
        with _without_warnings_of_timm():
            from open_clip.timm_model import TimmModel

        super().__init__()
        self.visual = TimmModel(
            config.timm_name,
            embed_dim=config.embed_dim,
            image_size=config.image_size,
            pool="",
            proj=config.projection,
            pretrained=False,
        )

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encode (B, 3, S, S) to four maps at strides 4, 8, 16, 32."""
        trunk = self.visual.trunk
        x = trunk.stem(pixels)
        stages = []
        for stage in trunk.stages:
            x = stage(x)
            stages.append(x)
        return stages[0], stages[1], stages[2], stages[3]

    def fold_batch_norm(self) -> None:
        """Do nothing: this tower has layer norms, whose statistics depend on the input."""

    def embed_regions(self, stage4: Tensor, boxes_xyxy: Tensor, mask_logits: Tensor) -> Tensor:
        """Embed the mean of a (1, C, H, W) stage 4 under each (N, S/4, S/4) mask: (N, D) float32.

        This tower does not read boxes. Where a mask is empty, zeros go into the head.
        """
        del boxes_xyxy
        trunk = self.visual.trunk
        features = trunk.norm_pre(stage4)
        pooled = mask_pool(features, mask_logits)
        return self.visual.head(trunk.head(pooled.to(features.dtype)[..., None, None])).float()

    def embed_maps(self, stage4: Tensor) -> Tensor:
        """Embed whole maps as CLIP does: (N, C, H, W) to (N, D) float32."""
        trunk = self.visual.trunk
        return self.visual.head(trunk.head(trunk.norm_pre(stage4))).float()


ClipBackbone = ResNetBackbone | ConvNeXtBackbone | EfficientNetLite


def build_clip_backbone(config: ClipConfig) -> ClipBackbone:
    """Return the image tower for a config, with random weights."""
    towers: dict[str, type[ClipBackbone]] = {
        "resnet": ResNetBackbone,
        "convnext": ConvNeXtBackbone,
        "efficientnet-lite": EfficientNetLite,
    }
    return towers[config.kind](config)
