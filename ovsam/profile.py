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
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ovsam.baselines.config import BaselineConfig
from ovsam.baselines.full_size import PAPER_BASELINES, get_baseline_config

if TYPE_CHECKING:
    from ovsam.clip_backbone import ClipBackbone
    from ovsam.config import ClipConfig, ModelConfig, SamConfig
    from ovsam.model import OVSAM

PAPER_PROMPTS = 8
PAPER = {
    "rn50": (165.0, 728.0),
    "rn50x16": (304.0, 1180.0),
    "rn50x64": (568.0, 2098.0),
    "convnext-l": (321.0, 1313.0),
    "convnext-l-single-scale": (307.0, 1280.0),
    "sam-h": (641.0, 3001.0),
}
"""Model -> (parameters in millions, GMACs at 1024 x 1024), as the paper's tables state them."""


@dataclass(frozen=True)
class PartCost:
    """One part of a model.

    `macs` is for one image, or for one prompt where `is_per_prompt`; `macs_saved` of them are
    not spent by this implementation.
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
        from ovsam.baselines.profile import profile_baseline

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


@functools.cache
def sam_parts(config: SamConfig) -> tuple[PartCost, ...]:
    """Count the parts of a SAM, once a process: every baseline has one."""
    from ovsam.sam import build_sam

    sam = build_sam(config, "meta")
    size = config.input_size
    pixels = torch.empty(1, 3, size, size, device="meta")
    embedding, image_macs = count_macs(sam.image_encoder, pixels)
    _, decoder_macs = count_macs(sam.decode, embedding, torch.empty(1, 4, device="meta"))
    padding = window_padding_macs(sam.image_encoder)
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
    return result, counter.get_total_flops() // 2


def count_parameters(module: nn.Module | None) -> int:
    """Count a module's parameters; none where there is no module."""
    return 0 if module is None else sum(parameter.numel() for parameter in module.parameters())


def window_padding_macs(module: nn.Module) -> int:
    """Count what SAM spends on projecting the padded cells of windows, which we pad afterwards."""
    from ovsam.vision_transformer import TransformerBlock

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


def clip_region_macs(tower: ClipBackbone, clip: ClipConfig) -> int:
    """Count CLIP's own pooling of one region: its attention pool's grid, or ConvNeXt's head."""
    visual = tower.visual
    if clip.kind == "resnet":
        region = torch.empty(1, clip.channels[3], clip.pool_grid, clip.pool_grid, device="meta")
        return count_macs(visual.attnpool, region)[1]
    pooled = torch.empty(1, clip.channels[3], 1, 1, device="meta")
    return count_macs(lambda x: visual.head(visual.trunk.head(x)), pooled)[1]


def _count_text_parameters(config: ModelConfig) -> int:
    from ovsam.text_tower import build_text_tower

    with torch.device("meta"):
        return count_parameters(build_text_tower(config.clip))
