"""Name → OVSAM: every number of every variant is visible here.

Source: paper appendix A and Table 7; measured channel counts of open_clip's towers.
"""

import dataclasses
import math

import torch

from ovsam.config import ClipConfig, ModelConfig, NeckConfig, TextConfig
from ovsam.errors import ConfigError
from ovsam.model import OVSAM


def _resnet(name: str, layers: tuple[int, int, int, int], width: int, **numbers: int) -> ClipConfig:
    """OpenAI CLIP ResNet: `numbers` are image_size, embed_dim, text_width, text_heads."""
    return ClipConfig(
        kind="resnet",
        open_clip_name=name,
        pretrained="openai",
        layers=layers,
        width=width,
        channels=(width * 4, width * 8, width * 16, width * 32),
        image_size=numbers["image_size"],
        embed_dim=numbers["embed_dim"],
        text=TextConfig(width=numbers["text_width"], heads=numbers["text_heads"], layers=12),
    )


def _convnext(name: str, timm_name: str, pretrained: str, width: int, **numbers: int) -> ClipConfig:
    """LAION CLIP ConvNeXt: `numbers` as for `_resnet`, and text_layers."""
    # open_clip's large tower alone projects by an MLP.
    return ClipConfig(
        kind="convnext",
        projection="mlp" if timm_name == "convnext_large" else "linear",
        open_clip_name=name,
        pretrained=pretrained,
        timm_name=timm_name,
        channels=(width, width * 2, width * 4, width * 8),
        image_size=numbers["image_size"],
        embed_dim=numbers["embed_dim"],
        text=TextConfig(
            width=numbers["text_width"],
            heads=numbers["text_heads"],
            layers=numbers["text_layers"],
        ),
    )


def _rn50() -> ModelConfig:
    clip = _resnet(
        "RN50", (3, 4, 6, 3), 64, image_size=224, embed_dim=1024, text_width=512, text_heads=8
    )
    return ModelConfig(name="rn50", clip=clip)


def _rn50x4() -> ModelConfig:
    clip = _resnet(
        "RN50x4", (4, 6, 10, 6), 80, image_size=288, embed_dim=640, text_width=640, text_heads=10
    )
    return ModelConfig(name="rn50x4", clip=clip)


def _rn50x16() -> ModelConfig:
    clip = _resnet(
        "RN50x16", (6, 8, 18, 8), 96, image_size=384, embed_dim=768, text_width=768, text_heads=12
    )
    return ModelConfig(name="rn50x16", clip=clip)


def _rn50x64() -> ModelConfig:
    clip = _resnet(
        "RN50x64",
        (3, 15, 36, 10),
        128,
        image_size=448,
        embed_dim=1024,
        text_width=1024,
        text_heads=16,
    )
    return ModelConfig(name="rn50x64", clip=clip)


def _convnext_b() -> ModelConfig:
    clip = _convnext(
        "convnext_base_w_320",
        "convnext_base",
        "laion_aesthetic_s13b_b82k",
        128,
        image_size=320,
        embed_dim=640,
        text_width=640,
        text_heads=10,
        text_layers=12,
    )
    return ModelConfig(name="convnext-b", clip=clip)


def _convnext_l() -> ModelConfig:
    clip = _convnext(
        "convnext_large_d_320",
        "convnext_large",
        "laion2b_s29b_b131k_ft_soup",
        192,
        image_size=320,
        embed_dim=768,
        text_width=768,
        text_heads=12,
        text_layers=16,
    )
    return ModelConfig(name="convnext-l", clip=clip)


def _convnext_xxl() -> ModelConfig:
    clip = _convnext(
        "convnext_xxlarge",
        "convnext_xxlarge",
        "laion2b_s34b_b82k_augreg_soup",
        384,
        image_size=256,
        embed_dim=1024,
        text_width=1024,
        text_heads=16,
        text_layers=24,
    )
    return ModelConfig(name="convnext-xxl", clip=clip)


def _nano() -> ModelConfig:
    clip = ClipConfig(
        kind="resnet",
        layers=(1, 2, 2, 1),
        width=24,
        channels=(96, 192, 384, 768),
        image_size=96,
        embed_dim=256,
        text=TextConfig(width=128, heads=4, layers=2, context_length=16, compact=True),
    )
    return ModelConfig(
        name="nano",
        clip=clip,
        neck=NeckConfig(
            width=128, depth=2, heads=4, window=0, global_blocks=(0, 1), learn_positions=True
        ),
        input_size=320,
        embed_channels=128,
        decoder_mlp=512,
        fpn_channels=128,
        roi_size=7,
        roi_base_size=56 * 320 / 1024,
        logit_scale=math.log(20),
        trained_on="nano",
    )


def _single_scale(config: ModelConfig) -> ModelConfig:
    """Table 5's ablation: the neck reads stage 3 alone."""
    neck = dataclasses.replace(config.neck, kind="single-scale")
    return dataclasses.replace(config, name=f"{config.name}-single-scale", neck=neck)


_VARIANTS = {
    "rn50": _rn50,
    "rn50x4": _rn50x4,
    "rn50x16": _rn50x16,
    "rn50x64": _rn50x64,
    "convnext-b": _convnext_b,
    "convnext-l": _convnext_l,
    "convnext-xxl": _convnext_xxl,
    "nano": _nano,
}
SINGLE_SCALE_SUFFIX = "-single-scale"
MODEL_NAMES = tuple(_VARIANTS)


def get_config(name: str) -> ModelConfig:
    """Return the numbers of a variant; `<name>-single-scale` gives Table 5's ablation.

    Raises:
        ConfigError: no variant has this name; the message lists those that exist.
    """
    base = name.removesuffix(SINGLE_SCALE_SUFFIX)
    if base not in _VARIANTS:
        raise ConfigError(f"unknown model '{name}'; known models: {', '.join(MODEL_NAMES)}")
    config = _VARIANTS[base]()
    return _single_scale(config) if name.endswith(SINGLE_SCALE_SUFFIX) else config


def build_model(model: str | ModelConfig, device: str | torch.device = "cpu") -> OVSAM:
    """Build an OV-SAM with random weights, in eval mode.

    Args:
        model: a variant's name, or a config of your own.
        device: where the parameters live; "meta" allocates nothing (for counting).

    Raises:
        ConfigError: the name is unknown.
    """
    config = get_config(model) if isinstance(model, str) else model
    with torch.device(device):
        return OVSAM(config).eval()
