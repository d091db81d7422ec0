"""What the paper trains gets gradients, nothing else does, and it has the paper's size."""

import pytest
import torch

from ovsam.build import build_model
from ovsam.sam import build_sam, teacher_config
from ovsam.training.data.image_set import PoolImages
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.steps.distil import DistilStep, TeacherTargets
from ovsam.training.steps.label import PAPER_PARTS, LabelStep, LabelStepSettings, freeze_all_but


def find_moved(model) -> set[str]:
    """Parts with a gradient that is not zero everywhere."""
    return {
        name.split(".")[0]
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and parameter.grad.any()
    }


def test_first_stage_sends_gradients_into_the_neck_alone(tiny_model, pool):
    parts = freeze_all_but(tiny_model, ("neck",))
    teacher = build_sam(teacher_config(tiny_model.config, width=16, depth=1, heads=2))
    step = DistilStep(tiny_model, TeacherTargets(teacher), PoolImages(pool), 2)
    step(0, 0.0, StepRandom(0, 0))["mse"].backward()
    assert find_moved(tiny_model) == {"neck"}
    assert not find_moved(teacher)
    assert all(p.grad is not None for p in parts["neck"].parameters())


def test_second_stage_sends_gradients_into_decoder_and_head_alone(tiny_model, pool):
    freeze_all_but(tiny_model, PAPER_PARTS)
    width = tiny_model.config.clip.embed_dim
    classes = torch.nn.functional.normalize(torch.randn(4, 1, width), dim=2)
    settings = LabelStepSettings(images_per_step=2, proposals=4, mask_points=64)
    labels = torch.zeros(1 << 10, dtype=torch.int64).numpy()
    step = LabelStep(tiny_model, classes, pool.sampler(labels), settings)
    losses = step(0, 0.0, StepRandom(0, 0))
    torch.stack([loss for loss in losses.values() if loss.requires_grad]).sum().backward()
    assert find_moved(tiny_model) == {"mask_decoder", "clip2sam"}


def count_millions(parameters) -> float:
    return sum(p.numel() for p in parameters if p.requires_grad) / 1e6


def test_trained_parts_have_the_sizes_of_the_paper():
    model = build_model("rn50x16", "meta")
    freeze_all_but(model, ("neck",))
    assert count_millions(model.parameters()) == pytest.approx(128.845, abs=5e-4)
    freeze_all_but(model, PAPER_PARTS)
    pyramid = count_millions(model.clip2sam.fpn.parameters())
    assert pyramid == pytest.approx(3.836, abs=5e-4)
    # "mask decoder + head" of the released model has the projection of the regions in it.
    assert count_millions(model.parameters()) - pyramid == pytest.approx(4.031, abs=5e-4)
