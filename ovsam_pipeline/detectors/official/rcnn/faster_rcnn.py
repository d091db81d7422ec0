"""Faster R-CNN R50-FPN, detectron2's model of the 3x schedule.

Source: detectron2 `COCO-Detection/faster_rcnn_R_50_FPN_3x`; box AP 40.2 on COCO by its table.
"""

from __future__ import annotations

from ovsam_pipeline.detectors.official.rcnn.anchors_rpn import RegionProposals
from ovsam_pipeline.detectors.official.rcnn.box_heads import (
    LinearBoxHead,
    LinearPredictor,
    SingleHead,
)
from ovsam_pipeline.detectors.official.rcnn.fpn import FeaturePyramid, PoolLevel6
from ovsam_pipeline.detectors.official.rcnn.network import RCNN
from ovsam_pipeline.detectors.official.rcnn.recipes import FASTER_RCNN_RECIPE
from ovsam_pipeline.detectors.official.rcnn.resnet import ResNet50


def build_faster_rcnn(num_classes: int = 80) -> RCNN:
    """Build the network with random weights, in eval mode; `num_classes` without background."""
    network = RCNN(
        backbone=FeaturePyramid(
            ResNet50(),
            body_channels={2: 256, 3: 512, 4: 1024, 5: 2048},
            channels=256,
            top_block=PoolLevel6(),
        ),
        proposal_generator=RegionProposals(channels=256, num_convs=1),
        roi_heads=SingleHead(
            LinearBoxHead(channels=256, width=1024),
            LinearPredictor(width=1024, num_classes=num_classes, is_per_class=True),
            levels=(2, 3, 4, 5),
        ),
        recipe=FASTER_RCNN_RECIPE,
    )
    return network.eval()
