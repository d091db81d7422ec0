"""Our Faster R-CNN and ViTDet beside detectron2's own, on the same weights and images.

Run by `-m detectron2` where detectron2 is installed. The records of `golden_detectors/` were made
by such a run; here other weights and sizes can be tried. Weights are those of the records.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("detectron2", reason="detectron2 is not installed")

import torch
from deterministic_detector_weights import make_detector_image, make_state_dict
from safetensors.torch import save_file

from ovsam.config import VitConfig
from ovsam_pipeline.detectors.base import DetectorImage
from ovsam_pipeline.detectors.build import build_detector
from ovsam_pipeline.detectors.detectron2_zoo.config import import_detectron2
from ovsam_pipeline.detectors.official.rcnn.faster_rcnn import build_faster_rcnn
from ovsam_pipeline.detectors.official.rcnn.official_names import load_official_state
from ovsam_pipeline.detectors.official.rcnn.resize import build_batch, prepare
from ovsam_pipeline.detectors.official.rcnn.vitdet import build_vitdet
from ovsam_pipeline.records import ImageRecord

pytestmark = [
    pytest.mark.detectron2,
    # detectron2 of 2026-06 with torch 2.14: torch.jit.script, and setuptools' pkg_resources.
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

TINY_VIT = VitConfig(width=192, depth=4, heads=3, global_blocks=(1, 3), input_size=256)
FASTER_RCNN = """
_BASE_: {zoo}/COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml
MODEL: {{RPN: {{POST_NMS_TOPK_TEST: 300}}}}
INPUT: {{MIN_SIZE_TEST: 256, MAX_SIZE_TEST: 427}}
"""
VITDET = """
import detectron2.data.transforms as T
from detectron2 import model_zoo
from detectron2.config import LazyCall as L
from detectron2.modeling.roi_heads import CascadeROIHeads

model = model_zoo.get_config("common/models/mask_rcnn_vitdet.py").model
cascade = model_zoo.get_config("common/models/cascade_rcnn.py").model
net = model.backbone.net
net.img_size, net.embed_dim, net.depth, net.num_heads, net.drop_path_rate = 256, 192, 4, 3, 0.0
net.window_block_indexes = [0, 2]
model.backbone.square_pad = 256
for name in ("box_head", "box_predictor", "proposal_matcher"):
    model.roi_heads.pop(name)
    model.roi_heads[f"{{name}}s"] = cascade.roi_heads[f"{{name}}s"]
model.roi_heads._target_ = CascadeROIHeads
model.roi_heads.num_classes = {num_classes}
for head in model.roi_heads.box_heads:
    head.conv_dims, head.fc_dims, head.conv_norm = [256] * 4, [1024], "LN"
for predictor in model.roi_heads.box_predictors:
    predictor.use_sigmoid_ce = {is_sigmoid}
    predictor.num_classes = {num_classes}
for name in ("mask_in_features", "mask_pooler", "mask_head"):
    model.roi_heads.pop(name)
model.proposal_generator.post_nms_topk = (100, 100)
dataloader = dict(test=dict(mapper=dict(
    augmentations=[L(T.ResizeShortestEdge)(short_edge_length=256, max_size=256)],
    image_format="RGB",
)))
"""


def write_faster_rcnn(folder):
    """Return our network and detectron2's configuration of it."""
    path = folder / "faster_rcnn.yaml"
    zoo = import_detectron2() / "model_zoo/configs"
    path.write_text(FASTER_RCNN.format(zoo=zoo))
    ours = build_faster_rcnn()
    ours.recipe = dataclasses.replace(ours.recipe, short_side=256, max_side=427, proposals=300)
    return ours, path


def write_vitdet(folder, num_classes, is_sigmoid):
    path = folder / "vitdet.py"
    path.write_text(VITDET.format(num_classes=num_classes, is_sigmoid=is_sigmoid))
    ours = build_vitdet(TINY_VIT, num_classes, is_sigmoid=is_sigmoid)
    ours.recipe = dataclasses.replace(ours.recipe, proposals=100)
    return ours, path


CASES = {
    "faster-rcnn": (write_faster_rcnn, 0.433),
    "vitdet": (lambda folder: write_vitdet(folder, 80, False), 0.246),
    "vitdet-sigmoid": (lambda folder: write_vitdet(folder, 50, True), 0.974),
}


def build_pair(case, folder, salt):
    """Return our network and detectron2's behind the detector protocol, weights loaded."""
    write, threshold = CASES[case]
    ours, path = write(folder)
    shapes = {name: tuple(values.shape) for name, values in ours.state_dict().items()}
    state = make_state_dict(shapes, salt)
    load_official_state(ours, state)
    ours.recipe = dataclasses.replace(ours.recipe, score_threshold=threshold, top_k=100)
    save_file(state, folder / "weights.safetensors")
    theirs = build_detector(
        f"detectron2:{path},{folder / 'weights.safetensors'}", conf=threshold, max_det=100
    )
    return ours, theirs


def make_image(height, width, salt):
    record = ImageRecord(1, "a.png", Path("a.png"))
    return DetectorImage(record, make_detector_image(height, width, salt))


def detect(network, rgb):
    prepared = prepare(rgb, network.recipe)
    batch = build_batch([prepared.pixels], network.recipe)
    return network.detect(batch, [prepared.resized_hw], [prepared.original_hw])[0]


@pytest.mark.parametrize("size", [(240, 320), (300, 220)])
@pytest.mark.parametrize("case", CASES)
def test_detections_equal_those_of_detectron2(tmp_path, case, size):
    """As sets: each box of one has a box of the same class within 0.05 px in the other."""
    ours, theirs = build_pair(case, tmp_path, salt=0)
    image = make_image(*size, salt=0)
    (expected,) = theirs.detect([image])
    found = detect(ours, image.rgb)
    assert len(found.scores) == len(expected) > 10
    for box, score, label in zip(
        expected.boxes_xyxy, expected.scores, expected.category_ids, strict=True
    ):
        same = (found.classes.numpy() == label).nonzero()[0]
        distances = np.abs(found.boxes_xyxy.numpy()[same] - box).max(axis=1)
        assert distances.min() <= 0.05
        assert abs(found.scores.numpy()[same[distances.argmin()]] - score) <= 2e-4


@pytest.mark.parametrize("case", CASES)
def test_features_and_proposals_equal_those_of_detectron2_with_other_weights(tmp_path, case):
    ours, theirs = build_pair(case, tmp_path, salt=5)
    network = theirs.model.network
    image = make_image(170, 260, salt=5)
    prepared = prepare(image.rgb, ours.recipe)
    with torch.inference_mode():
        padded = network.preprocess_image([theirs._prepare(image.rgb)])
        expected = network.backbone(padded.tensor)
        proposals, _ = network.proposal_generator(padded, expected, None)
        features = ours.encode(build_batch([prepared.pixels], ours.recipe))
        found = ours.propose(features, [prepared.resized_hw])[0]
    assert list(features) == list(expected)
    for name, level in expected.items():
        assert (features[name] - level).abs().max() <= 1e-4 * level.std(), name
    boxes = proposals[0].proposal_boxes.tensor
    distances = torch.cdist(boxes, found.boxes, p=torch.inf).min(dim=1).values
    # A tie at the cut may choose another one.
    assert (distances > 0.05).sum() <= 2
    assert len(found.boxes) == len(boxes)
