"""The frame of every step that trains on prompted objects: samples are drawn, kept and prompted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ovsam.sam import SAM
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.loop.step_report import StepReport
from ovsam.training.samples import LoadSample, TrainingSample, stack_pixels
from ovsam.training.steps.proposals import PromptedSamples, PromptSettings, Proposals

_FAST_ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


class PromptedStep(ABC):
    """A step of training; call it with (step, progress, random).

    Attributes:
        report: What the loop asks of a step: its batch, its speed.
    """

    def __init__(self, load_sample: LoadSample, input_size: int, settings: PromptSettings) -> None:
        """Bind a step to its data."""
        self.samples = PromptedSamples(load_sample, input_size, settings)
        self.report = StepReport()

    def __call__(self, step: int, progress: float, random: StepRandom) -> Mapping[str, Tensor]:
        """Draw this process's part of a batch and return its losses."""
        del step, progress
        with self.report.waiting():
            samples, proposals = self.samples.read(random)
        return self.compute_losses(samples, proposals, random)

    @abstractmethod
    def compute_losses(
        self,
        samples: Sequence[TrainingSample],
        proposals: Sequence[Proposals],
        random: StepRandom,
    ) -> dict[str, Tensor]:
        """Return the weighted losses of a batch by name.

        Their means over the processes are the values of the whole batch.
        """

    def stack_and_keep(
        self,
        samples: Sequence[TrainingSample],
        proposals: Sequence[Proposals],
        device: torch.device,
    ) -> Tensor:
        """Return the images as (B, 3, S, S) pixels; a bad step's file gets them and the prompts."""
        pixels = stack_pixels(list(samples), self.samples.input_size, device)
        self.report.keep(len(samples), pixels=pixels, **_join_prompts(samples, proposals))
        return pixels


def decode_by_sam(sam: SAM, embeddings: Tensor, proposals: Sequence[Proposals]) -> list[Tensor]:
    """SAM's single-mask logits of each image's prompts, (N, S/4, S/4) float32.

    `embeddings`: (B, C, S/16, S/16) of its image encoder.
    """
    logits = []
    with sdpa_kernel(choose_attention(embeddings.device)):
        for row, chosen in enumerate(proposals):
            tokens = chosen.encode(sam.prompt_encoder)
            masks, _ = sam.decode_tokens(embeddings[row : row + 1], tokens)
            logits.append(masks[:, 0])
    return logits


def choose_attention(device: torch.device) -> list[SDPBackend]:
    """Return the forms of attention that a mask decoder shall train with on a device.

    On CPUs the plain form is 1.4 x as fast as the flash form for a few tokens; for a whole image's
    cells (encoders, neck) the flash form is the faster one.
    """
    return [SDPBackend.MATH] if device.type == "cpu" else _FAST_ATTENTION


def _join_prompts(
    samples: Sequence[TrainingSample], proposals: Sequence[Proposals]
) -> dict[str, Tensor]:
    """Return a batch's prompts and labels, to save with its pixels."""
    labels = [s.labels[c.object_index] for s, c in zip(samples, proposals, strict=True)]
    return {
        "boxes_xyxy": torch.from_numpy(np.concatenate([c.boxes_xyxy for c in proposals])),
        "points_xy": torch.from_numpy(np.concatenate([c.points_xy for c in proposals])),
        "labels": torch.from_numpy(np.concatenate(labels)),
        "num_boxes": torch.tensor([len(c.boxes_xyxy) for c in proposals]),
        "num_points": torch.tensor([len(c.points_xy) for c in proposals]),
    }
