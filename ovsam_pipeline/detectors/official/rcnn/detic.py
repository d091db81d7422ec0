"""Detic: CenterNet2 proposals, a cascade of three heads, classes by the texts of their names.

Source: Detic (Zhou et al. 2022), `Detic_LCOCOI21k_CLIP_*_4x_ft4x_max-size`; LVIS box AP 44.4 for
Swin-B by its table. The R50 file's own evaluation preset is short side 640.
"""

from __future__ import annotations

from dataclasses import dataclass

from ovsam.errors import ConfigError
from ovsam_pipeline.detectors.official.rcnn.box_heads import (
    CascadeHeads,
    LinearBoxHead,
    ZeroShotPredictor,
)
from ovsam_pipeline.detectors.official.rcnn.centernet import CenterProposals
from ovsam_pipeline.detectors.official.rcnn.fpn import FeaturePyramid, StridedLevels67
from ovsam_pipeline.detectors.official.rcnn.network import RCNN
from ovsam_pipeline.detectors.official.rcnn.recipes import DETIC_RECIPE
from ovsam_pipeline.detectors.official.rcnn.resnet import StrideInThreeResNet50
from ovsam_pipeline.detectors.official.rcnn.swin import Swin


@dataclass(frozen=True, kw_only=True)
class SwinNumbers:
    """Numbers of a Swin: the first width, blocks and heads of each stage, cells of a window."""

    width: int
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    window: int = 7


DETIC_SWINB = SwinNumbers(width=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32))


def build_detic(body: str | SwinNumbers, num_classes: int = 1) -> RCNN:
    """Build the network with random weights, in eval mode.

    `body`: "swinb" or "r50", or the numbers of another Swin.
    """
    network = RCNN(
        backbone=_build_pyramid(body),
        proposal_generator=CenterProposals(channels=256),
        roi_heads=CascadeHeads(
            [LinearBoxHead(channels=256, width=1024) for _ in range(3)],
            [ZeroShotPredictor(width=1024, num_classes=num_classes) for _ in range(3)],
            levels=(3, 4, 5),
            is_sigmoid=True,
            multiplies_proposal_score=True,
        ),
        recipe=DETIC_RECIPE,
    )
    return network.eval()


def _build_pyramid(body: str | SwinNumbers) -> FeaturePyramid:
    """Return body and neck, p3 to p7."""
    if body == "r50":
        channels = {3: 512, 4: 1024, 5: 2048}
        return FeaturePyramid(StrideInThreeResNet50(), channels, 256, StridedLevels67(256))
    if body == "swinb":
        body = DETIC_SWINB
    if not isinstance(body, SwinNumbers):
        raise ConfigError(f"expected Detic body swinb or r50, got '{body}'")
    swin = Swin(body.width, body.depths, body.heads, body.window)
    channels = {level: body.width * 2 ** (level - 2) for level in (3, 4, 5)}
    return FeaturePyramid(swin, channels, 256, StridedLevels67(256))
