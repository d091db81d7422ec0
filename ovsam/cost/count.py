"""Count parameters and multiply-accumulates (MACs) of the parts of a model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ovsam.cost.costs import PartCost
from ovsam.efficientnet import EfficientNetLite
from ovsam.sam import build_sam
from ovsam.vision_transformer import TransformerBlock

if TYPE_CHECKING:
    from ovsam.clip_backbone import ClipBackbone
    from ovsam.config import ClipConfig, SamConfig


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
