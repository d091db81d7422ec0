"""Parameters and multiply-accumulates of a model, part by part, beside the paper's numbers.

Models are built on the "meta" device: seconds, and no memory, whatever their size. Only matrix
products and convolutions count, as in the paper's tables.

The paper does not say how it counted. All six of its numbers (Tables 1, 5, 7) are met within 1 % by
the reference computation of one image with 8 to 10 prompts: SAM's windows padded in front of the
projections, CLIP's attention pool run on each region's grid. That, with 8, is the convention here.
This implementation does less for the same result; `macs_saved` has what the windows save.

Letters: S input size, C channels, N prompts.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

from ovsam.baselines.config import BaselineConfig
from ovsam.baselines.full_size import PAPER_BASELINES, get_baseline_config
from ovsam.cost.count import (
    PAPER_PROMPTS,
    ModelCost,
    PartCost,
    clip_region_macs,
    count_macs,
    count_parameters,
    sam_parts,
    window_padding_macs,
)

if TYPE_CHECKING:
    from ovsam.config import ModelConfig
    from ovsam.model import OVSAM


def profile_model(
    model: str | ModelConfig | BaselineConfig,
    *,
    num_prompts: int = PAPER_PROMPTS,
    input_size: int | None = None,
) -> ModelCost:
    """Count an OV-SAM ("rn50x16", "convnext-l-single-scale", a config), a SAM or a baseline.

    Args:
        model: Name or config; "sam-h" and "feature-crop" are such names.
        num_prompts: N, box prompts of the image.
        input_size: S; None: the model's own.

    Raises:
        ConfigError: The name is unknown, or the size is no multiple of 32.
    """
    from ovsam.sam import SAM_NAMES

    if isinstance(model, str) and model in SAM_NAMES:
        return _profile_sam(model, num_prompts, input_size)
    if isinstance(model, str) and model in PAPER_BASELINES:
        model = get_baseline_config(model)
    if isinstance(model, BaselineConfig):
        from ovsam.cost.baselines import profile_baseline

        return profile_baseline(model, num_prompts=num_prompts, input_size=input_size)
    from ovsam.build import build_model, get_config

    config = get_config(model) if isinstance(model, str) else model
    if input_size is not None:
        config = dataclasses.replace(config, input_size=input_size)
    built = build_model(config, "meta")
    parts = _ovsam_parts(built)
    return ModelCost(
        config.name, config.input_size, num_prompts, parts, _count_text_parameters(config)
    )


def _ovsam_parts(model: OVSAM) -> tuple[PartCost, ...]:
    from ovsam.structures import ImageFeatures

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
    return (
        PartCost("CLIP image encoder", count_parameters(model.image_encoder), image_macs),
        PartCost(
            "SAM2CLIP neck", count_parameters(model.neck), neck_macs + padding, macs_saved=padding
        ),
        PartCost("CLIP2SAM pyramid", fpn, fpn_macs),
        *fine_masks,
        PartCost("prompt encoder", count_parameters(model.prompt_encoder), 0),
        PartCost(
            "mask decoder",
            count_parameters(model.mask_decoder) - fine,
            decoder_macs,
            is_per_prompt=True,
        ),
        PartCost(
            "CLIP2SAM head",
            count_parameters(model.clip2sam) - fpn,
            _head_macs(model),
            is_per_prompt=True,
        ),
        PartCost(
            "frozen CLIP score",
            0,
            clip_region_macs(model.image_encoder, config.clip),
            is_per_prompt=True,
        ),
    )


def _profile_sam(name: str, num_prompts: int, input_size: int | None) -> ModelCost:
    from ovsam.sam import get_sam_config

    config = get_sam_config(name)
    if input_size is not None:
        config = dataclasses.replace(config, input_size=input_size)
    return ModelCost(name, config.input_size, num_prompts, sam_parts(config))


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


def _count_text_parameters(config: ModelConfig) -> int:
    from ovsam.text.text_tower import build_text_tower

    with torch.device("meta"):
        return count_parameters(build_text_tower(config.clip))
