"""Parameters and multiply-accumulates of a model, part by part, next to the paper's numbers.

Models are built on the "meta" device: seconds, and no memory, whatever their size. Only matrix
products and convolutions count, as in the paper's tables.

The paper does not say how it counted. All six of its numbers (Tables 1, 5, 7) are met within 1 % by
the reference computation of one image with 8 to 10 prompts: SAM's windows padded before the
projections, CLIP's attention pool run on each region's grid. That, with 8, is the convention here.
This implementation does less for the same result; `macs_saved` has what the windows save.

Letters: S input size, C channels, N prompts.
"""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import torch

from ovsam.baselines.adapters import RegionHead, build_adapter
from ovsam.baselines.config import BASELINE_NAMES, BaselineConfig, get_baseline_config
from ovsam.baselines.coop import build_baseline_namer
from ovsam.build import build_model, get_config
from ovsam.clip_backbone import build_clip_backbone
from ovsam.config import ModelConfig, SamConfig
from ovsam.cost.costs import PAPER_PROMPTS, ModelCost, PartCost
from ovsam.cost.count import (
    clip_region_macs,
    count_macs,
    count_parameters,
    sam_parts,
    window_padding_macs,
)
from ovsam.device import building_on
from ovsam.model import OVSAM
from ovsam.sam import SAM_NAMES, get_sam_config
from ovsam.structures import ImageFeatures
from ovsam.text.text_tower import build_text_tower

C = TypeVar("C", ModelConfig, SamConfig)


def profile_model(
    model: str | ModelConfig | BaselineConfig,
    *,
    num_prompts: int = PAPER_PROMPTS,
    input_size: int | None = None,
) -> ModelCost:
    """Count an OV-SAM ("rn50x16", a config), a SAM ("sam-h") or a baseline ("feature-crop").

    The image has `num_prompts` box prompts and `input_size` pixels a side; None: the model's own.
    """
    if isinstance(model, str) and model in SAM_NAMES:
        sam = _resize(get_sam_config(model), input_size)
        return ModelCost(model, sam.input_size, num_prompts, sam_parts(sam))
    if isinstance(model, str):
        model = get_baseline_config(model) if model in BASELINE_NAMES else get_config(model)
    parts: tuple[PartCost, ...]
    if isinstance(model, BaselineConfig):
        config = dataclasses.replace(model, sam=_resize(model.sam, input_size))
        with building_on("meta"):
            parts = (*sam_parts(config.sam), *_clip_parts(config))
            text = count_parameters(build_baseline_namer(config))
        return ModelCost(config.name, config.input_size, num_prompts, parts, text)
    whole = _resize(model, input_size)
    parts = _ovsam_parts(build_model(whole, "meta"))
    with building_on("meta"):
        text = count_parameters(build_text_tower(whole.clip))
    return ModelCost(whole.name, whole.input_size, num_prompts, parts, text)


def _resize(config: C, input_size: int | None) -> C:
    """Return a config for another input size; None keeps its own."""
    return config if input_size is None else dataclasses.replace(config, input_size=input_size)


def _ovsam_parts(model: OVSAM) -> tuple[PartCost, ...]:
    config = model.config
    pixels = torch.empty(1, 3, config.input_size, config.input_size, device="meta")
    box = torch.empty(1, 4, device="meta")
    stages, image_macs = count_macs(model.image_encoder, pixels)
    embedding, neck_macs = count_macs(model.neck, stages)
    _, fpn_macs = count_macs(model.clip2sam.build_levels, stages)
    details, detail_macs = count_macs(model.mask_decoder.build_details, stages)
    features = ImageFeatures(embedding, (), stages[3], details)
    _, decoder_macs = count_macs(model.decode, features, box)
    padding = window_padding_macs(model.neck)
    fpn = count_parameters(getattr(model.clip2sam, "fpn", None))
    fine = count_parameters(model.mask_decoder.fine_masks)
    fine_masks = (PartCost("fine masks", fine, detail_macs),) if fine else ()
    neck, decoder, head = map(count_parameters, (model.neck, model.mask_decoder, model.clip2sam))
    clip_macs = clip_region_macs(model.image_encoder, config.clip)
    return (
        PartCost("CLIP image encoder", count_parameters(model.image_encoder), image_macs),
        PartCost("SAM2CLIP neck", neck, neck_macs + padding, macs_saved=padding),
        PartCost("CLIP2SAM pyramid", fpn, fpn_macs),
        *fine_masks,
        PartCost("prompt encoder", count_parameters(model.prompt_encoder), 0),
        PartCost("mask decoder", decoder - fine, decoder_macs, is_per_prompt=True),
        PartCost("CLIP2SAM head", head - fpn, _head_macs(model), is_per_prompt=True),
        PartCost("frozen CLIP score", 0, clip_macs, is_per_prompt=True),
    )


def _head_macs(model: OVSAM) -> int:
    """The region embedding of one prompt: a 1 x 1 convolution over the RoI grid, or the MLP."""
    head, config = model.clip2sam, model.config
    if head.kind == "fpn":
        grid = torch.empty(1, config.fpn_channels, config.roi_size, config.roi_size, device="meta")
        return count_macs(head.roi_projection, grid)[1]
    macs = count_macs(head.label_mlp, torch.empty(1, config.embed_channels, device="meta"))[1]
    if head.kind == "label-token+clip":
        pooled = torch.empty(1, config.clip.channels[3], device="meta")
        macs += count_macs(head.clip_projection, pooled)[1]
    return macs


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
