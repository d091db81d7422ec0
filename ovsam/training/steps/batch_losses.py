"""Losses of a batch of prompted objects: masks and labels, divided alike over all processes.

Source: paper section 3.4 and appendix A.
Letters: N prompts of an image, S input size, D embedding width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ovsam.classifier import Classifier
from ovsam.training.loop.distributed import Ranks, average_scalar
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.samples import TrainingSample, stack_masks
from ovsam.training.steps.losses import (
    compute_class_loss,
    compute_mask_losses,
    sample_uncertain_points,
)
from ovsam.training.steps.proposals import Proposals


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

    Args:
        embeddings: (N of all images, D) float32.
        classifier: Of the classes that labels index.
        random: Of the step; it knows the other processes.
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

    Args:
        logits: For each image (N, S/4, S/4); not looked at where the image has no masks.
        random: Of the step; each image's points are drawn by its own generator.
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
