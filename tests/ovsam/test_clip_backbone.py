import dataclasses

import pytest
import torch
from torchvision.ops import roi_align

from ovsam.build import get_config
from ovsam.clip_backbone import build_clip_backbone
from ovsam.region_pooling import mask_pool


@pytest.fixture
def tower(tiny_config):
    torch.manual_seed(0)
    tower = build_clip_backbone(tiny_config.clip).eval()
    for module in tower.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.normal_(1, 0.1)
    return tower


@torch.no_grad()
def test_stages_have_strides_4_to_32(tower, tiny_config) -> None:
    stages = tower(torch.randn(2, 3, 64, 64))
    shapes = [tuple(stage.shape) for stage in stages]
    channels = tiny_config.clip.channels
    assert shapes == [
        (2, c, 64 // s, 64 // s) for c, s in zip(channels, (4, 8, 16, 32), strict=True)
    ]


@torch.no_grad()
def test_region_embedding_equals_roi_align_and_attention_pool(tower) -> None:
    stage4 = torch.randn(1, 256, 5, 6)
    boxes = torch.tensor([[3.0, 8, 100, 130], [-20, 10, 180, 90], [50, 50, 60, 61]])
    rois = torch.cat([torch.zeros(3, 1), boxes], dim=1)
    expected = tower.visual.attnpool(roi_align(stage4, rois, 2, 1 / 32, -1, aligned=True))
    actual = tower.embed_regions(stage4, boxes, torch.zeros(3, 1, 1))
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_folding_batch_norms_keeps_the_function(tower) -> None:
    pixels = torch.randn(1, 3, 64, 64)
    before = tower(pixels)
    tower.fold_batch_norm()
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in tower.modules())
    for old, new in zip(before, tower(pixels), strict=True):
        torch.testing.assert_close(new, old, atol=1e-4, rtol=1e-3)


def test_mask_pool_averages_under_the_mask_and_is_zero_without_one() -> None:
    feature = torch.arange(16.0).view(1, 1, 4, 4)
    masks = torch.full((2, 4, 4), -1.0)
    masks[0, 1, 1:3] = 1
    pooled = mask_pool(feature, masks)
    assert pooled[0].item() == pytest.approx((5 + 6) / 2)
    assert pooled[1].item() == 0


def test_convnext_tower_has_the_released_structure() -> None:
    config = dataclasses.replace(
        get_config("convnext-b").clip, timm_name="convnext_atto", channels=(40, 80, 160, 320)
    )
    tower = build_clip_backbone(config).eval()
    with torch.no_grad():
        stages = tower(torch.randn(1, 3, 64, 64))
        embedding = tower.embed_regions(stages[3], torch.zeros(2, 4), torch.ones(2, 16, 16))
    assert [stage.shape[1] for stage in stages] == [40, 80, 160, 320]
    assert embedding.shape == (2, 640)
