"""ViTDet: a plain vision transformer, a simple pyramid, a cascade of three heads.

Source: ViTDet (Li et al. 2022), detectron2 `projects/ViTDet` cascade models; box AP by their table:
COCO B 54.0, L 57.6, H 58.7.
"""

from __future__ import annotations

from ovsam.config import VitConfig
from ovsam.errors import ConfigError
from ovsam_pipeline.detectors.official.rcnn.anchors_rpn import RegionProposals
from ovsam_pipeline.detectors.official.rcnn.box_heads import (
    CascadeHeads,
    ConvBoxHead,
    LinearPredictor,
)
from ovsam_pipeline.detectors.official.rcnn.network import RCNN
from ovsam_pipeline.detectors.official.rcnn.recipes import build_vitdet_recipe
from ovsam_pipeline.detectors.official.rcnn.vit_pyramid import SimplePyramid, build_vit

LVIS_CLASSES = 1203

VITDET_SIZES = {
    "b": VitConfig(width=768, depth=12, heads=12, global_blocks=(2, 5, 8, 11)),
    "l": VitConfig(width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)),
    "h": VitConfig(width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)),
}


def build_vitdet(
    size: str | VitConfig,
    num_classes: int = 80,
    *,
    is_sigmoid: bool | None = None,
) -> RCNN:
    """Build the network with random weights, in eval mode.

    `size`: "b", "l" or "h", or the numbers of another transformer. `is_sigmoid`: independent
    classes (the LVIS form) or softmax; None: sigmoid for 1203 classes.
    """
    if not isinstance(size, VitConfig) and size not in VITDET_SIZES:
        raise ConfigError(f"expected ViTDet size b, l or h, got '{size}'")
    config = size if isinstance(size, VitConfig) else VITDET_SIZES[size]
    if is_sigmoid is None:
        is_sigmoid = num_classes == LVIS_CLASSES
    network = RCNN(
        backbone=SimplePyramid(build_vit(config), width=config.width, channels=256),
        proposal_generator=RegionProposals(channels=256, num_convs=2),
        roi_heads=CascadeHeads(
            [ConvBoxHead(channels=256, width=1024) for _ in range(3)],
            [LinearPredictor(1024, num_classes, is_per_class=False) for _ in range(3)],
            levels=(2, 3, 4, 5),
            is_sigmoid=is_sigmoid,
        ),
        recipe=build_vitdet_recipe(is_sigmoid=is_sigmoid, input_size=config.input_size),
    )
    return network.eval()
