"""A SAM teacher from nothing, for worlds that have none: masks of prompted objects → losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ovsam.sam import SAM
from ovsam.training.label_step import LabelStepSettings, compute_batch_mask_losses
from ovsam.training.prompted_samples import PromptedSamples
from ovsam.training.proposals import Proposals
from ovsam.training.samples import LoadSample, stack_pixels
from ovsam.training.step_random import StepRandom
from ovsam.training.step_report import StepReport


class TeacherStep:
    """The mask losses of CLIP2SAM on SAM's single-mask output."""

    def __init__(self, sam: SAM, load_sample: LoadSample, settings: LabelStepSettings) -> None:
        self.sam = sam
        self.samples = PromptedSamples(load_sample, sam.config.input_size, settings)
        self.settings = settings
        self.report = StepReport()

    def __call__(self, step: int, progress: float, random: StepRandom) -> Mapping[str, Tensor]:
        """Draw this process's part of a batch and return BCE and Dice."""
        del step, progress
        size = self.sam.config.input_size
        with self.report.waiting():
            samples, proposals = self.samples.read(random)
        pixels = stack_pixels(samples, size, next(self.sam.parameters()).device)
        self.report.keep(len(samples), pixels=pixels)
        logits = self._decode(pixels, proposals)
        return compute_batch_mask_losses(
            logits, samples, proposals, size, self.settings.mask_points, random
        )

    def _decode(self, pixels: Tensor, proposals: Sequence[Proposals]) -> list[Tensor]:
        """Mask logits of each image's prompts, (N, S/4, S/4)."""
        device = pixels.device
        embeddings = self.sam.image_encoder(pixels)
        logits = []
        for row, chosen in enumerate(proposals):
            boxes = torch.from_numpy(chosen.boxes_xyxy).to(device)
            points = torch.from_numpy(chosen.points_xy).to(device)
            labels = torch.ones(points.shape[:2], dtype=torch.int64, device=device)
            by_box, _ = self.sam.decode(embeddings[row : row + 1], boxes)
            by_point, _ = self.sam.decode(embeddings[row : row + 1], None, points, labels)
            logits.append(torch.cat([by_box[:, 0], by_point[:, 0]]))
        return logits
