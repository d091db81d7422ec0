"""The losses equal the released code's on recorded inputs (assets/losses.npz, from golden/)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ovsam.training.steps.losses import (
    compute_class_loss,
    compute_mask_losses,
    sample_at_points,
    sample_uncertain_points,
)


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    return dict(np.load(Path(__file__).parents[1] / "assets" / "losses.npz"))


def test_class_loss_equals_the_released_codes(recorded):
    logits, labels = (torch.from_numpy(recorded[key]) for key in ("cls_logits", "labels"))
    assert float(compute_class_loss(logits, labels)) == pytest.approx(
        float(recorded["loss_cls"]), abs=1e-5
    )


def test_mask_losses_equal_the_released_codes(recorded):
    logits, masks = (torch.from_numpy(recorded[key])[:, 0] for key in ("pred", "gt"))
    bce, dice = compute_mask_losses(logits, masks, torch.from_numpy(recorded["points"]))
    assert float(bce) == pytest.approx(float(recorded["loss_mask"]), abs=1e-5)
    assert float(dice) == pytest.approx(float(recorded["loss_dice"]), abs=1e-5)


def test_ignored_labels_alone_give_zero_loss_and_a_graph():
    logits = torch.randn(3, 5, requires_grad=True)
    loss = compute_class_loss(logits, torch.full((3,), -1))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not logits.grad.any()


def test_background_counts_a_tenth():
    logits = torch.zeros(1, 4)
    as_class = compute_class_loss(logits, torch.tensor([0]))
    as_background = compute_class_loss(logits, torch.tensor([3]))
    assert float(as_background) == pytest.approx(0.1 * float(as_class))


def test_no_prompts_give_zero_losses():
    bce, dice = compute_mask_losses(
        torch.zeros(0, 8, 8), torch.zeros(0, 8, 8), torch.zeros(0, 5, 2)
    )
    assert float(bce) == float(dice) == 0


def test_points_read_pixel_centres():
    maps = torch.arange(4.0).view(1, 2, 2)
    points = torch.tensor([[[0.25, 0.25], [0.75, 0.75], [0.5, 0.25]]])
    assert sample_at_points(maps, points)[0].tolist() == [0.0, 3.0, 0.5]


def test_points_gather_where_the_mask_is_unsure():
    logits = torch.linspace(-10, 10, 64).expand(1, 64, 64)
    points = sample_uncertain_points(logits, 400, torch.Generator().manual_seed(0))
    near_edge = ((points[0, :, 0] - 0.5).abs() < 0.13).float().mean()
    assert points.shape == (1, 400, 2)
    assert near_edge > 0.7
