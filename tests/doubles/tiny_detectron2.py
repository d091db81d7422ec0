"""Small configurations of detectron2 with random weights, as a user's own trained model lies."""

import pickle

import torch

from ovsam_pipeline.detectors.random_weights import make_tensor

YACS = """
MODEL:
  META_ARCHITECTURE: GeneralizedRCNN
  BACKBONE: {NAME: build_resnet_fpn_backbone}
  RESNETS: {DEPTH: 50, STEM_OUT_CHANNELS: 8, RES2_OUT_CHANNELS: 16, WIDTH_PER_GROUP: 8,
            OUT_FEATURES: [res2, res3, res4, res5]}
  FPN: {IN_FEATURES: [res2, res3, res4, res5], OUT_CHANNELS: 16}
  ANCHOR_GENERATOR: {SIZES: [[16], [32], [64], [128], [256]]}
  RPN: {IN_FEATURES: [p2, p3, p4, p5, p6], POST_NMS_TOPK_TEST: 50}
  ROI_HEADS: {NAME: StandardROIHeads, IN_FEATURES: [p2, p3, p4, p5], NUM_CLASSES: 3}
  ROI_BOX_HEAD: {NAME: FastRCNNConvFCHead, NUM_FC: 1, FC_DIM: 16, POOLER_RESOLUTION: 7}
  ROI_MASK_HEAD: {NAME: MaskRCNNConvUpsampleHead, NUM_CONV: 1, CONV_DIM: 8}
  MASK_ON: true
INPUT: {MIN_SIZE_TEST: 64, MAX_SIZE_TEST: 128}
DATASETS: {TEST: [DATA_SET]}
VERSION: 2
"""


def make_lazy(num_classes=3):
    """A LazyConfig file with a small RetinaNet."""
    return f"""
import detectron2.data.transforms as T
from detectron2 import model_zoo
from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import BasicStem, ResNet
from detectron2.modeling.backbone.resnet import BasicBlock

model = model_zoo.get_config("common/models/retinanet.py").model
model.num_classes = {num_classes}
model.backbone.bottom_up = L(ResNet)(
    stem=L(BasicStem)(in_channels=3, out_channels=8),
    stages=[
        L(ResNet.make_stage)(
            block_class=BasicBlock, num_blocks=1, stride_per_block=[2],
            in_channels=channels, out_channels=channels + 4,
        )
        for channels in (8, 12, 16)
    ],
    out_features=["res2", "res3", "res4"],
)
model.backbone.in_features = ["res2", "res3", "res4"]
model.backbone.out_channels = 16
model.backbone.top_block.in_channels = 20
model.backbone.top_block.out_channels = 16
model.backbone.top_block.in_feature = "res4"
model.head.input_shape = [ShapeSpec(channels=16)] * 5
model.head.conv_dims = [16]
dataloader = dict(
    test=dict(
        dataset=dict(names="nothing_known"),
        mapper=dict(
            augmentations=[L(T.ResizeShortestEdge)(short_edge_length=64, max_size=128)],
            image_format="BGR",
        ),
    )
)
"""


def save_weights(network, path, seed=0):
    """Save random weights, as detectron2's trainer (.pth) or its model zoo (.pkl) does."""
    state = {
        name: make_tensor(name, values.shape, seed) for name, values in network.state_dict().items()
    }
    if path.suffix == ".pkl":
        arrays = {name: values.numpy() for name, values in state.items()}
        path.write_bytes(pickle.dumps({"model": arrays, "__author__": "test"}))
    else:
        torch.save({"model": state, "optimizer": {"lr": 0.1}, "iteration": 3}, path)
    return path
