"""Count parameters and multiply-accumulates (MACs) of the parts of a model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ovsam.efficientnet import EfficientNetLite
from ovsam.sam import build_sam
from ovsam.vision_transformer import TransformerBlock

if TYPE_CHECKING:
    from ovsam.clip_backbone import ClipBackbone
    from ovsam.config import ClipConfig, SamConfig


PAPER_PROMPTS = 8
"""Prompts of an image, with which the counts meet the paper's; see profile.py."""

PAPER = {
    "rn50": (165.0, 728.0),
    "rn50x16": (304.0, 1180.0),
    "rn50x64": (568.0, 2098.0),
    "convnext-l": (321.0, 1313.0),
    "convnext-l-single-scale": (307.0, 1280.0),
    "sam-h": (641.0, 3001.0),
}
PAPER_BASELINES = {
    "image-crop": (808.0, 3748.0),
    "feature-crop": (808.0, 3545.0),
    "feature-crop-conv": (828.0, 3590.0),
    "feature-crop-simfpn": (812.0, 3580.0),
}
"""Model → (parameters in millions, GMACs at 1024 x 1024) in the paper's Tables 1, 5 and 7."""


@dataclass(frozen=True)
class PartCost:
    """One part of a model.

    `macs` counts one image, or one prompt where `is_per_prompt`. This implementation does not spend
    `macs_saved` of them.
    """

    name: str
    parameters: int
    macs: int
    is_per_prompt: bool = False
    macs_saved: int = 0


@dataclass(frozen=True)
class ModelCost:
    """What a model is made of and what an image with `num_prompts` prompts costs."""

    name: str
    input_size: int
    num_prompts: int
    parts: tuple[PartCost, ...]
    text_parameters: int | None = None

    @property
    def parameters(self) -> int:
        """Parameters of all parts; the text tower is not one of them."""
        return sum(part.parameters for part in self.parts)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image with its prompts."""
        return sum(
            part.macs * (self.num_prompts if part.is_per_prompt else 1) for part in self.parts
        )

    @property
    def paper(self) -> tuple[float, float] | None:
        """The paper's (million parameters, GMACs) for this model at this size, if it has them."""
        comparable = self.input_size == 1024 and self.num_prompts == PAPER_PROMPTS
        return (PAPER | PAPER_BASELINES).get(self.name) if comparable else None


@functools.cache
def sam_parts(config: SamConfig) -> tuple[PartCost, ...]:
    """Count the parts of a SAM, once per process: every baseline has one."""
    sam = build_sam(config, "meta")
    size = config.input_size
    pixels = torch.empty(1, 3, size, size, device="meta")
    embedding, image_macs = count_macs(sam.image_encoder, pixels)
    _, decoder_macs = count_macs(sam.decode, embedding, torch.empty(1, 4, device="meta"))
    # MobileSAM's encoder projects padded cells here too: nothing is saved.
    is_vit = config.encoder == "vit"
    padding = window_padding_macs(sam.image_encoder) if is_vit else 0
    encoder = count_parameters(sam.image_encoder)
    rest = count_parameters(sam) - encoder - count_parameters(sam.prompt_encoder)
    return (
        PartCost("SAM image encoder", encoder, image_macs + padding, macs_saved=padding),
        PartCost("prompt encoder", count_parameters(sam.prompt_encoder), 0),
        PartCost("mask decoder", rest, decoder_macs, is_per_prompt=True),
    )


def count_macs(compute: Callable[..., Any], *inputs: Any) -> tuple[Any, int]:
    """Run on meta tensors; return the result and the multiply-accumulates."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        result = compute(*inputs)
    # torch counts a multiplication and an addition as two.
    return result, counter.get_total_flops() // 2


def count_parameters(module: nn.Module | None) -> int:
    """Count a module's parameters; none where there is no module."""
    return 0 if module is None else sum(parameter.numel() for parameter in module.parameters())


def window_padding_macs(module: nn.Module) -> int:
    """Count what SAM spends on projecting padded cells of windows; here they are padded after."""
    pos_embed = module.pos_embed
    assert isinstance(pos_embed, Tensor)
    grid = pos_embed.shape[1]
    total = 0
    for block in module.modules():
        if isinstance(block, TransformerBlock) and block.window:
            padded = grid + -grid % block.window
            projections = block.attn.qkv.weight.numel() + block.attn.proj.weight.numel()
            total += (padded**2 - grid**2) * projections
    return total


def clip_region_macs(tower: ClipBackbone, clip: ClipConfig) -> int:
    """Count CLIP's own pooling of one region: its attention pool's grid, or ConvNeXt's head."""
    if isinstance(tower, EfficientNetLite):
        pooled = torch.empty(1, clip.channels[3], 1, 1, device="meta")
        return count_macs(tower.embed_maps, pooled)[1]
    visual = tower.visual
    if clip.kind == "resnet":
        region = torch.empty(1, clip.channels[3], clip.pool_grid, clip.pool_grid, device="meta")
        return count_macs(visual.attnpool, region)[1]
    pooled = torch.empty(1, clip.channels[3], 1, 1, device="meta")
    return count_macs(lambda x: visual.head(visual.trunk.head(x)), pooled)[1]
