import pytest
import torch
from tiny import make_tiny_config

from ovsam.clip2sam import CLIP2SAM, FeaturePyramid, choose_levels


def random_stages(batch: int = 1) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [
        torch.randn(batch, c, 64 // s, 64 // s) for c, s in ((32, 4), (64, 8), (128, 16), (256, 32))
    ]


@pytest.mark.parametrize(
    ("side", "level"),
    [(7, 0), (15.9, 0), (16.1, 1), (31, 1), (33, 2), (63, 2), (64.1, 3), (500, 3), (0, 0)],
)
def test_regions_are_pooled_from_the_level_of_their_size(side, level) -> None:
    box = torch.tensor([[1.0, 1, 1 + side, 1 + side]])
    assert choose_levels(box, 8).tolist() == [level]  # a side of 8 to 16 is level 0


@torch.no_grad()
@pytest.mark.parametrize("kind", ["fpn", "label-token", "label-token+clip"])
def test_each_head_embeds_regions(kind) -> None:
    head = CLIP2SAM(make_tiny_config(label_head=kind))
    stages = random_stages()
    levels = head.build_levels(stages)
    arguments = (
        torch.tensor([[0.0, 0, 20, 20]] * 3),
        torch.randn(3, 16),
        stages[3],
        torch.ones(3, 16, 16),
    )
    assert head.embed_regions(levels, *arguments).shape == (3, 16)
    none = tuple(x[:0] if index != 2 else x for index, x in enumerate(arguments))
    assert head.embed_regions(levels, *none).shape == (0, 16)


@torch.no_grad()
def test_mask_pooled_clip_feature_changes_the_embedding() -> None:
    head = CLIP2SAM(make_tiny_config(label_head="label-token+clip"))
    boxes, tokens, stage4 = torch.zeros(1, 4), torch.randn(1, 16), random_stages()[3]
    empty = head.embed_regions((), boxes, tokens, stage4, torch.full((1, 16, 16), -1.0))
    full = head.embed_regions((), boxes, tokens, stage4, torch.full((1, 16, 16), 1.0))
    token_alone = head.label_mlp(tokens) + head.clip_projection.bias
    torch.testing.assert_close(empty, token_alone)
    assert (full - empty).abs().max() > 1e-3


@torch.no_grad()
def test_a_batch_equals_its_images_one_by_one() -> None:
    head = CLIP2SAM(make_tiny_config())
    stages = random_stages(2)
    boxes = torch.tensor([[0.0, 0, 20, 20], [5, 5, 60, 60]])
    both = head.embed_rois(head.build_levels(stages), boxes, torch.tensor([0, 1]))
    second = head.build_levels([stage[1:] for stage in stages])
    alone = head.embed_rois(second, boxes[1:], torch.tensor([0]))
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=1e-4)


def test_pyramid_sums_from_the_top_down() -> None:
    pyramid = FeaturePyramid((1, 1), 1)
    for conv in pyramid.lateral_convs:
        torch.nn.init.ones_(conv.weight)
        torch.nn.init.zeros_(conv.bias)
    for conv in pyramid.fpn_convs:
        torch.nn.init.zeros_(conv.weight)
        conv.weight.data[0, 0, 1, 1] = 1
        torch.nn.init.zeros_(conv.bias)
    fine, coarse = torch.ones(1, 1, 4, 4), torch.full((1, 1, 2, 2), 10.0)
    levels = pyramid([fine, coarse])
    assert levels[0].unique().tolist() == [11]
    assert levels[1].unique().tolist() == [10]


def test_gradients_reach_every_level_and_the_projection() -> None:
    head = CLIP2SAM(make_tiny_config())
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 20, 20], [0, 0, 40, 40], [0, 0, 64, 64]])
    levels = head.build_levels(random_stages())
    head.embed_rois(levels, boxes, torch.zeros(4)).sum().backward()
    used = [*head.fpn.parameters(), *head.roi_projection.parameters()]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in used)
