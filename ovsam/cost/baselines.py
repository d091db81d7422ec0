"""Parameters and multiply-accumulates of a baseline; how they are counted is in ovsam/profile.py.

Letters: S input size, C channels, N prompts.
"""

import dataclasses

import torch

from ovsam.baselines.adapters import RegionHead, build_adapter
from ovsam.baselines.config import BaselineConfig
from ovsam.baselines.coop import build_baseline_text_tower
from ovsam.clip_backbone import build_clip_backbone
from ovsam.cost.count import (
    ModelCost,
    PartCost,
    clip_region_macs,
    count_macs,
    count_parameters,
    sam_parts,
)


def profile_baseline(
    config: BaselineConfig, *, num_prompts: int, input_size: int | None = None
) -> ModelCost:
    """Count a baseline.

    Args:
        config: of the baseline.
        num_prompts: N, box prompts of the image.
        input_size: S; None: the model's own.

    Raises:
        ConfigError: the size is no multiple of 32.
    """
    if input_size is not None:
        sam = dataclasses.replace(config.sam, input_size=input_size)
        config = dataclasses.replace(config, sam=sam)
    with torch.device("meta"):
        text = count_parameters(build_baseline_text_tower(config))
        parts = (*sam_parts(config.sam), *_clip_parts(config))
    return ModelCost(config.name, config.input_size, num_prompts, parts, text)


def _clip_parts(config: BaselineConfig) -> tuple[PartCost, ...]:
    """Count CLIP's tower and what reads it; on the "meta" device."""
    tower, size = build_clip_backbone(config.clip).eval(), config.input_size
    parameters = count_parameters(tower)
    if config.crop == "image":
        side = config.clip.image_size
        crop = torch.empty(1, 3, side, side)
        _, macs = count_macs(lambda x: tower.embed_maps(tower(x)[3]), crop)
        return (PartCost("CLIP of a crop", parameters, macs, is_per_prompt=True),)
    pixels = torch.empty(1, 3, size, size)
    stages, macs = count_macs(tower, pixels)
    whole = PartCost("CLIP image encoder", parameters, macs)
    if config.adapter == "none":
        region_macs = clip_region_macs(tower, config.clip)
        return (whole, PartCost("CLIP pool of a region", 0, region_macs, is_per_prompt=True))
    adapter, head = build_adapter(config), RegionHead(config)
    _, adapter_macs = count_macs(adapter, pixels, stages)
    grid = torch.empty(1, config.fpn_channels, config.roi_size, config.roi_size)
    _, head_macs = count_macs(head.projection, grid)
    return (
        whole,
        PartCost(f"{config.adapter} adapter", count_parameters(adapter), adapter_macs),
        PartCost("region head", count_parameters(head), head_macs, is_per_prompt=True),
    )
