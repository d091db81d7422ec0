"""The losses of CLIP2SAM training: class cross-entropy, mask BCE and mask Dice at sampled points.

Input: logits of N prompts and their ground truth. Output: scalars with the paper's weights applied.
Source: paper appendix A; Mask2Former's importance sampling of points.
Where several processes share a batch, each divides by the mean count of all (`divisor`), so that
the mean of their losses, and of their gradients, is that of one process with the whole batch.

Letters: N prompts, P points, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovsam.classifier import Classifier
from ovsam.training.loop.distributed import Ranks, average_scalar
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.samples import TrainingSample, stack_masks
from ovsam.training.steps.proposals import Proposals

CLASS_WEIGHT = 2.0
BCE_WEIGHT = 5.0
DICE_WEIGHT = 5.0
BACKGROUND_WEIGHT = 0.1
IGNORED_LABEL = -1
NUM_POINTS = 12_544
OVERSAMPLE = 3
IMPORTANCE = 0.75


def compute_class_loss(logits: Tensor, labels: Tensor, divisor: Tensor | None = None) -> Tensor:
    """Cross-entropy over the classes and background, x 2.

    `logits`: (N, K + 1) float32; the last column is background. `labels`: (N,) int64 in [0, K]; -1
    is ignored. `divisor`: what the sum is divided by, above zero; None: N.
    """
    weight = logits.new_ones(logits.shape[1])
    weight[-1] = BACKGROUND_WEIGHT
    total = F.cross_entropy(
        logits, labels, weight=weight, ignore_index=IGNORED_LABEL, reduction="sum"
    )
    return CLASS_WEIGHT * total / (max(len(labels), 1) if divisor is None else divisor)


def sample_at_points(maps: Tensor, points_xy: Tensor) -> Tensor:
    """Read maps bilinearly at points.

    `maps`: (N, H, W) float32. `points_xy`: (N, P, 2) in [0, 1] of the map's width and height.
    Returns (N, P) float32; outside the map is zero.
    """
    grid = 2.0 * points_xy[:, :, None] - 1.0
    return F.grid_sample(maps[:, None], grid, mode="bilinear", align_corners=False)[:, 0, :, 0]


@torch.no_grad()
def sample_uncertain_points(
    mask_logits: Tensor, num_points: int = NUM_POINTS, generator: torch.Generator | None = None
) -> Tensor:
    """Choose points, three quarters of them where the predicted mask is least sure.

    `mask_logits`: (N, H, W) float32. `generator`: source of randomness on the logits' device; None
    uses torch's own. Returns (N, P, 2) float32 in [0, 1], x then y.
    """
    count, device = len(mask_logits), mask_logits.device
    tried = torch.rand(count, num_points * OVERSAMPLE, 2, device=device, generator=generator)
    uncertainty = -sample_at_points(mask_logits, tried).abs()
    num_important = int(num_points * IMPORTANCE)
    chosen = uncertainty.topk(num_important, dim=1, sorted=False).indices
    important = tried.gather(1, chosen[..., None].expand(-1, -1, 2))
    others = (count, num_points - num_important, 2)
    return torch.cat([important, torch.rand(others, device=device, generator=generator)], dim=1)


def compute_mask_losses(
    mask_logits: Tensor, masks: Tensor, points_xy: Tensor, divisor: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy and naive Dice (eps 1) at points, each x 5.

    Args:
        mask_logits: (N, h, w) float32.
        masks: (N, H, W) ground truth in {0, 1}, of the same area at any resolution.
        points_xy: (N, P, 2) in [0, 1].
        divisor: What the sums over the prompts are divided by, above zero; None: N.
    """
    if len(mask_logits) == 0:
        nothing = mask_logits.sum() * 0.0
        return nothing, nothing
    logits = sample_at_points(mask_logits.float(), points_xy)
    with torch.no_grad():
        targets = sample_at_points(masks.float(), points_xy)
    bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)
    inside = logits.sigmoid()
    overlap = 2 * (inside * targets).sum(dim=1) + 1
    dice = 1 - overlap / (inside.sum(dim=1) + targets.sum(dim=1) + 1)
    count = len(logits) if divisor is None else divisor
    return BCE_WEIGHT * bce.sum() / count, DICE_WEIGHT * dice.sum() / count


def mean_count(count: Tensor, ranks: Ranks) -> Tensor:
    """Return a count's mean over the processes as a float32 divisor; never zero."""
    return average_scalar(count.float(), ranks).clamp(min=1e-6)


def compute_batch_label_losses(
    embeddings: Tensor,
    classifier: Classifier,
    samples: Sequence[TrainingSample],
    proposals: Sequence[Proposals],
    random: StepRandom,
) -> dict[str, Tensor]:
    """Class cross-entropy over all prompts of a batch, and the accuracy among labelled ones.

    `embeddings`: (N of all images, D) float32. `classifier`: of the classes that labels index.
    `random`: of the step; it knows the other processes.
    """
    device, ranks = embeddings.device, random.ranks
    pairs = zip(samples, proposals, strict=True)
    labels = np.concatenate([sample.labels[chosen.object_index] for sample, chosen in pairs])
    targets = torch.from_numpy(labels).to(device)
    with torch.autocast(device.type, enabled=False):
        logits = classifier.cosine_logits(embeddings)
        divisor = mean_count(torch.tensor(len(targets), device=device), ranks)
        loss = compute_class_loss(logits, targets, divisor)
    known = targets >= 0
    correct = ((logits.argmax(dim=1) == targets) & known).sum()
    return {"label": loss, "label_accuracy": correct / mean_count(known.sum(), ranks)}


def compute_batch_mask_losses(
    logits: Sequence[Tensor],
    samples: Sequence[TrainingSample],
    proposals: Sequence[Proposals],
    input_size: int,
    num_points: int,
    random: StepRandom,
) -> dict[str, Tensor]:
    """BCE and Dice over all prompts of a batch, at `num_points` points, in float32.

    `logits`: for each image (N, S/4, S/4); not looked at where the image has no masks. `random`: of
    the step; each image's points are drawn by its own generator.
    """
    masks = [
        stack_masks(sample, chosen.object_index, input_size)
        for sample, chosen in zip(samples, proposals, strict=True)
    ]
    kept = [row[: len(truth)] for row, truth in zip(logits, masks, strict=True)]
    predicted = torch.cat(kept)
    device = predicted.device
    with torch.autocast(device.type, enabled=False):
        predicted = predicted.float()
        points = [
            sample_uncertain_points(
                row.float(), num_points, random.torch_of_sample(index, len(samples), device)
            )
            for index, row in enumerate(kept)
        ]
        targets = torch.cat(masks).to(device)
        divisor = mean_count(torch.tensor(len(predicted), device=device), random.ranks)
        bce, dice = compute_mask_losses(predicted, targets, torch.cat(points), divisor)
    return {"bce": bce, "dice": dice}
