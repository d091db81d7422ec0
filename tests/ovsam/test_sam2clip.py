import pytest
import torch
from tiny import make_tiny_config

from ovsam.config import NeckConfig
from ovsam.sam2clip import SAM2CLIP


def random_stages(batch: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [
        torch.randn(batch, c, 64 // s, 64 // s) for c, s in ((32, 4), (64, 8), (128, 16), (256, 32))
    ]


@pytest.mark.parametrize("kind", ["multi-scale", "single-scale"])
def test_neck_gives_an_embedding_at_stride_16(kind) -> None:
    neck = SAM2CLIP(
        make_tiny_config(neck=NeckConfig(kind=kind, width=16, depth=1, heads=2, global_blocks=(0,)))
    )
    assert neck(random_stages(2)).shape == (2, 16, 4, 4)


@torch.no_grad()
def test_single_scale_reads_stage_3_alone() -> None:
    neck = SAM2CLIP(
        make_tiny_config(neck=NeckConfig(kind="single-scale", width=16, depth=1, heads=2))
    )
    stages = random_stages(1)
    before = neck(stages)
    for other in (0, 1, 3):
        stages[other] = torch.zeros_like(stages[other])
    assert torch.equal(neck(stages), before)
    assert not hasattr(neck, "level_encoding")


@torch.no_grad()
def test_a_batch_equals_its_images_one_by_one() -> None:
    neck = SAM2CLIP(make_tiny_config())
    stages = random_stages(2)
    both = neck(stages)
    second = neck([stage[1:] for stage in stages])
    torch.testing.assert_close(both[1:], second)
