"""The embedded class-agnostic detector: boxes around whatever looks like one of nano's drawings.

A Faster R-CNN of torchvision with two classes (object, background) on a small convolutional
backbone, at 320 pixels. Input: images of any size. Output: `Detections` without names; the model
names the objects. It was trained on nano's own scenes only (docs/nano.md).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from ovsam.errors import CheckpointError, describe_error
from ovsam.preprocess import prepare_image, to_network_input
from ovsam.training.loop.autocast import autocast_bfloat16
from ovsam.weights.tensor_files import read_tensors
from ovsam_pipeline.detectors.base import Detections, Detector, DetectorImage
from ovsam_pipeline.detectors.box_rules import to_detections
from ovsam_pipeline.detectors.identity import find_embedded, identify_nano
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.errors import DetectorError

INPUT_SIZE = 320
PYRAMID_CHANNELS = 64
# Two for each level: about four and six and a half times its stride of 8, 16 or 32 pixels.
_ANCHOR_SIDES = ((32, 48), (72, 104), (144, 208))
_LEVELS = ("0", "1", "2")
_FEATURES = 192


class _Block(nn.Module):
    """Two 3x3 convolutions with batch norm around a shortcut; the first one strides."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C, H / stride, W / stride)."""
        short = F.avg_pool2d(x, self.stride) if self.stride > 1 else x
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(short))


class NanoBackbone(nn.Module):
    """Five strided stages and a small feature pyramid at strides 8, 16, 32."""

    def __init__(self) -> None:
        super().__init__()
        self.out_channels = PYRAMID_CHANNELS
        self.stem = nn.Sequential(
            nn.Conv2d(3, 24, 5, 2, 2, bias=False), nn.BatchNorm2d(24), nn.ReLU()
        )
        widths = (24, 32, 64, 96, 128)
        self.stages = nn.ModuleList(_Block(a, b, 2) for a, b in pairwise(widths))
        self.lateral = nn.ModuleList(nn.Conv2d(c, PYRAMID_CHANNELS, 1) for c in widths[2:])
        self.output = nn.ModuleList(
            nn.Conv2d(PYRAMID_CHANNELS, PYRAMID_CHANNELS, 3, 1, 1) for _ in widths[2:]
        )

    def forward(self, pixels: Tensor) -> OrderedDict[str, Tensor]:
        """Encode (B, 3, S, S) to three float32 maps at strides 8, 16, 32."""
        # bfloat16 in training only: there it halves the time; in use it would loosen the boxes.
        with autocast_bfloat16(pixels.device, wanted=self.training):
            maps = []
            x = self.stem(pixels)
            for stage in self.stages:
                x = stage(x)
                maps.append(x)
            merged = [conv(y) for conv, y in zip(self.lateral, maps[1:], strict=True)]
            for index in (1, 0):
                merged[index] = merged[index] + F.interpolate(merged[index + 1], scale_factor=2.0)
            levels = [conv(y).float() for conv, y in zip(self.output, merged, strict=True)]
        return OrderedDict(zip(_LEVELS, levels, strict=True))


class _BoxHead(nn.Module):
    """Two layers from pooled regions to features; torchvision's own has other parameter names."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(PYRAMID_CHANNELS * cells, _FEATURES)
        self.fc2 = nn.Linear(_FEATURES, _FEATURES)

    def forward(self, pooled: Tensor) -> Tensor:
        """Map (N, C, R, R) to (N, 192)."""
        return F.relu(self.fc2(F.relu(self.fc1(pooled.flatten(1)))))


def build_nano_network() -> FasterRCNN:
    """Build the network with random weights; it takes normalised (3, 320, 320) images."""
    roi_size = 7
    return FasterRCNN(
        NanoBackbone(),
        min_size=INPUT_SIZE,
        max_size=INPUT_SIZE,
        image_mean=[0.0, 0.0, 0.0],  # `to_network_input` has normalised already
        image_std=[1.0, 1.0, 1.0],
        rpn_anchor_generator=AnchorGenerator(_ANCHOR_SIDES, ((0.5, 1.0, 2.0),) * 3),
        # Regions of 96 to 192 pixels are pooled from the middle level, not those of 224 to 448.
        box_roi_pool=MultiScaleRoIAlign(list(_LEVELS), roi_size, 2, canonical_scale=96),
        box_head=_BoxHead(roi_size**2),
        box_predictor=FastRCNNPredictor(_FEATURES, num_classes=2),
        rpn_pre_nms_top_n_train=600,
        rpn_post_nms_top_n_train=300,
        rpn_pre_nms_top_n_test=600,
        rpn_post_nms_top_n_test=200,
        rpn_batch_size_per_image=128,
        box_batch_size_per_image=64,
        box_score_thresh=0.01,
    )


class NanoDetector(Detector):
    """The embedded detector, with its own weights or those of another file.

    Raises a DetectorError where the file is missing or does not fit the network.
    """

    class_names = None

    def __init__(self, settings: DetectorSettings, weights: Path | None = None) -> None:
        path = weights or find_embedded("nano")
        self.device = settings.device
        self.network = build_nano_network()
        try:
            self.network.load_state_dict(read_tensors(path))
        except (CheckpointError, RuntimeError) as error:
            raise DetectorError(
                f"expected the weights of the nano detector in {path}, got a file that does not "
                f"load ({describe_error(error)[:160]}); reinstall ovsam"
            ) from error
        self.network.to(self.device).eval().requires_grad_(False)
        heads = self.network.roi_heads
        heads.score_thresh = min(settings.score_threshold, heads.score_thresh)
        heads.detections_per_img = settings.max_det
        identity = identify_nano(settings, path)
        self.name, self.fingerprint = identity.name, identity.fingerprint

    @torch.inference_mode()
    def detect(self, images: Sequence[DetectorImage]) -> list[Detections]:
        """Find the boxes of a batch; see `Detector.detect`."""
        if not images:
            return []
        prepared = [prepare_image(image.rgb, INPUT_SIZE) for image in images]
        pixels = to_network_input(prepared, self.device)
        # One image at a time: an image's boxes must not depend on its neighbours in the batch.
        found = [self.network([row])[0] for row in pixels]
        return [
            to_detections(
                boxes["boxes"].cpu().numpy() / np.array([*one.scale_xy, *one.scale_xy]),
                boxes["scores"].cpu().numpy(),
            )
            for boxes, one in zip(found, prepared, strict=True)
        ]
