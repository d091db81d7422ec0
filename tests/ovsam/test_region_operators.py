"""Our calls of torchvision's operators equal its own, and do not import its package."""

import subprocess
import sys

import pytest
import torch
from torchvision import ops

from ovsam.region_operators import batched_nms, box_iou, nms, roi_align


@pytest.fixture
def boxes():
    corners = torch.rand(300, 4, generator=torch.Generator().manual_seed(0)) * 60
    corners[:, 2:] += corners[:, :2]
    return corners


def test_roi_align_and_its_gradient_equal_torchvisions(boxes):
    maps = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    rois = torch.cat([torch.arange(300)[:, None] % 2, boxes[:, :]], dim=1)
    ours, theirs = (maps.clone().requires_grad_() for _ in range(2))
    pooled = roi_align(ours, rois, 7, 0.25)
    expected = ops.roi_align(theirs, rois, 7, 0.25, -1, aligned=True)
    assert torch.equal(pooled, expected)
    for result in (pooled, expected):
        result.square().sum().backward()
    assert torch.equal(ours.grad, theirs.grad)
    assert ours.grad.abs().sum() > 0


def test_suppression_and_overlaps_equal_torchvisions(boxes):
    generator = torch.Generator().manual_seed(2)
    scores = torch.rand(300, generator=generator)
    classes = torch.randint(0, 8, (300,), generator=generator)
    assert torch.equal(nms(boxes, scores, 0.5), ops.nms(boxes, scores, 0.5))
    kept = batched_nms(boxes, scores, classes, 0.5)
    assert torch.equal(kept, ops.batched_nms(boxes, scores, classes, 0.5))
    assert len(nms(boxes, scores, 0.5)) < len(kept) < 300
    assert torch.equal(box_iou(boxes, boxes[:9]), ops.box_iou(boxes, boxes[:9]))
    assert batched_nms(boxes[:0], scores[:0], classes[:0], 0.5).shape == (0,)


def test_the_embedded_model_and_detector_load_neither_torchs_compiler_nor_packages_of_models():
    code = """
import sys
from ovsam.load import load_model
from ovsam.region_operators import roi_align
from ovsam_pipeline.detectors.build import build_detector
import torch
load_model("photo")
build_detector("photo", device="cpu")
with torch.inference_mode():
    roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), 2, 1.0)
print(*sorted({"torchvision", "torch._dynamo", "sympy", "open_clip", "timm"} & set(sys.modules)))
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (found.stdout.strip(), found.returncode) == ("", 0), found.stderr
