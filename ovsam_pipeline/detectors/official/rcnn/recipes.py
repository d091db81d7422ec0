"""How the official detectors prepare images and which boxes stay, as published. Without torch."""

from __future__ import annotations

from ovsam_pipeline.detectors.official.rcnn.structures import Recipe

_MEAN, _STD = (123.675, 116.280, 103.530), (58.395, 57.120, 57.375)
VITDET_INPUT_SIZE = 1024

DETIC_RECIPE = Recipe(
    channel_order="rgb",
    mean=_MEAN,
    std=_STD,
    short_side=800,
    max_side=1333,
    score_threshold=0.02,
    top_k=300,
    proposals=256,
)
FASTER_RCNN_RECIPE = Recipe(
    channel_order="bgr",
    mean=(103.530, 116.280, 123.675),
    std=(1.0, 1.0, 1.0),
    short_side=800,
    max_side=1333,
    score_threshold=0.05,
    top_k=100,
    proposals=1000,
)


def build_vitdet_recipe(*, is_sigmoid: bool, input_size: int = VITDET_INPUT_SIZE) -> Recipe:
    """Return ViTDet's: `is_sigmoid` as on LVIS, whose classes do not exclude each other."""
    return Recipe(
        channel_order="rgb",
        mean=_MEAN,
        std=_STD,
        short_side=input_size,
        max_side=input_size,
        square_side=input_size,
        score_threshold=0.02 if is_sigmoid else 0.05,
        top_k=300 if is_sigmoid else 100,
        proposals=1000,
    )
