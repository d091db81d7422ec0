"""Name → OVSAM: every number of every variant is visible here.

Source: paper appendix A and Table 7; channel counts measured on open_clip's towers.
"""

import dataclasses
import math

import torch

from ovsam.config import ClipConfig, ModelConfig, NeckConfig, TextConfig
from ovsam.device import building_on
from ovsam.errors import ConfigError
from ovsam.model import OVSAM

# OpenAI's CLIP: open_clip's name, layers per stage, width, image size, embedding, text width.
_RESNETS = {
    "rn50":    ("RN50",    (3, 4, 6, 3),     64, 224, 1024,  512),
    "rn50x4":  ("RN50x4",  (4, 6, 10, 6),    80, 288,  640,  640),
    "rn50x16": ("RN50x16", (6, 8, 18, 8),    96, 384,  768,  768),
    "rn50x64": ("RN50x64", (3, 15, 36, 10), 128, 448, 1024, 1024),
}  # fmt: skip
# LAION's CLIP: open_clip's name, timm's, width, image size, embedding = text width, text layers,
# and the training run.
_CONVNEXTS = {
    "convnext-b": (
        "convnext_base_w_320", "convnext_base", 128, 320, 640, 12, "laion_aesthetic_s13b_b82k"
    ),
    "convnext-l": (
        "convnext_large_d_320", "convnext_large", 192, 320, 768, 16, "laion2b_s29b_b131k_ft_soup"
    ),
    "convnext-xxl": (
        "convnext_xxlarge", "convnext_xxlarge", 384, 256, 1024, 24, "laion2b_s34b_b82k_augreg_soup"
    ),
}  # fmt: skip
_HEAD_WIDTH = 64  # of every text tower of CLIP

MODEL_NAMES = (*_RESNETS, *_CONVNEXTS, "nano")
_SINGLE_SCALE = "-single-scale"


def _resnet(name: str) -> ModelConfig:
    open_clip_name, layers, width, image_size, embed_dim, text_width = _RESNETS[name]
    text = TextConfig(width=text_width, heads=text_width // _HEAD_WIDTH, layers=12)
    clip = ClipConfig(
        kind="resnet",
        open_clip_name=open_clip_name,
        pretrained="openai",
        layers=layers,
        width=width,
        channels=(width * 4, width * 8, width * 16, width * 32),
        image_size=image_size,
        embed_dim=embed_dim,
        text=text,
    )
    return ModelConfig(name=name, clip=clip)


def _convnext(name: str) -> ModelConfig:
    open_clip_name, timm_name, width, image_size, dim, text_layers, pretrained = _CONVNEXTS[name]
    clip = ClipConfig(
        kind="convnext",
        open_clip_name=open_clip_name,
        pretrained=pretrained,
        timm_name=timm_name,
        # open_clip's large tower alone projects by an MLP.
        projection="mlp" if timm_name == "convnext_large" else "linear",
        channels=(width, width * 2, width * 4, width * 8),
        image_size=image_size,
        embed_dim=dim,
        text=TextConfig(width=dim, heads=dim // _HEAD_WIDTH, layers=text_layers),
    )
    return ModelConfig(name=name, clip=clip)


def _nano() -> ModelConfig:
    """Return the embedded model: the same structure, small enough to be trained on CPUs."""
    clip = ClipConfig(
        kind="resnet",
        layers=(1, 2, 2, 1),
        width=24,
        channels=(96, 192, 384, 768),
        image_size=96,
        embed_dim=256,
        text=TextConfig(width=128, heads=4, layers=2, context_length=16, compact=True),
    )
    # 320 pixels are a 20 x 20 grid: small enough for global attention everywhere.
    neck = NeckConfig(
        width=128, depth=2, heads=4, window=0, global_blocks=(0, 1), learn_positions=True
    )
    return ModelConfig(
        name="nano",
        clip=clip,
        neck=neck,
        input_size=320,
        embed_channels=128,
        decoder_mlp=512,
        fpn_channels=128,
        roi_size=7,
        roi_base_size=56 * 320 / 1024,
        logit_scale=math.log(20),
        trained_on="nano",
    )


def get_config(name: str) -> ModelConfig:
    """Return the numbers of a variant.

    Args:
        name: one of `MODEL_NAMES`. With "-single-scale" after it the neck reads CLIP's stage 3
            alone, the ablation of the paper's Table 5.

    Raises:
        ConfigError: the name is unknown; the message lists those that exist.
    """
    base = name.removesuffix(_SINGLE_SCALE)
    if base not in MODEL_NAMES:
        raise ConfigError(f"unknown model '{name}'; known models: {', '.join(MODEL_NAMES)}")
    if base in _RESNETS:
        config = _resnet(base)
    elif base in _CONVNEXTS:
        config = _convnext(base)
    else:
        config = _nano()
    if name == base:
        return config
    neck = dataclasses.replace(config.neck, kind="single-scale")
    return dataclasses.replace(config, name=name, neck=neck)


def build_model(model: str | ModelConfig, device: str | torch.device = "cpu") -> OVSAM:
    """Build an OV-SAM with random weights, in eval mode.

    Args:
        model: a name, as for `get_config`, or a `ModelConfig`.
        device: where the parameters are created; "meta" allocates nothing (to count, or to be
            filled by `load_released_checkpoint`).

    Raises:
        ConfigError: the name is unknown.
    """
    config = get_config(model) if isinstance(model, str) else model
    with building_on(device):
        return OVSAM(config).eval()
