"""A Detic of a hundredth of its size, for tests: the same parts, few channels."""

from dataclasses import replace

from ovsam_pipeline.detectors.official.rcnn.box_heads import (
    CascadeHeads,
    LinearBoxHead,
    ZeroShotPredictor,
)
from ovsam_pipeline.detectors.official.rcnn.centernet import CenterProposals
from ovsam_pipeline.detectors.official.rcnn.fpn import FeaturePyramid, StridedLevels67
from ovsam_pipeline.detectors.official.rcnn.network import RCNN
from ovsam_pipeline.detectors.official.rcnn.structures import Recipe
from ovsam_pipeline.detectors.official.rcnn.swin import Swin

RECIPE = Recipe(
    channel_order="rgb",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    short_side=32,
    max_side=64,
    score_threshold=0.05,
    top_k=100,
    proposals=20,
)


def build_small_detic():
    """Detic's parts, a hundredth of its size."""
    swin = Swin(width=24, depths=(1, 1, 1, 1), heads=(1, 2, 4, 8), window=7)
    levels = {3: 48, 4: 96, 5: 192}
    heads = CascadeHeads(
        [LinearBoxHead(channels=64, width=64) for _ in range(3)],
        [ZeroShotPredictor(width=64, num_classes=1) for _ in range(3)],
        levels=(3, 4, 5),
        is_sigmoid=True,
        multiplies_proposal_score=True,
    )
    recipe = replace(RECIPE, short_side=64, max_side=96, score_threshold=0.02)
    neck = FeaturePyramid(swin, levels, 64, StridedLevels67(64))
    return RCNN(neck, CenterProposals(channels=64), heads, recipe).eval()
