"""A SAM teacher from nothing, for worlds that have none: masks of prompted objects → losses."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ovsam.sam import SAM
from ovsam.training.label_step import LabelStepSettings, LoadSample, compute_batch_mask_losses
from ovsam.training.proposals import sample_proposals
from ovsam.training.samples import draw_samples, stack_pixels


class TeacherStep:
    """The mask losses of CLIP2SAM on SAM's single-mask output."""

    def __init__(self, sam: SAM, load_sample: LoadSample, settings: LabelStepSettings) -> None:
        self.sam = sam
        self.load_sample = load_sample
        self.settings = settings

    def __call__(
        self, step: int, progress: float, random: np.random.Generator
    ) -> Mapping[str, Tensor]:
        """Draw a batch and return BCE and Dice."""
        del step, progress
        size, settings = self.sam.config.input_size, self.settings
        samples = draw_samples(
            self.load_sample, settings.images_per_step, size, settings.augment, random
        )
        proposals = [sample_proposals(sample, random, settings.proposals) for sample in samples]
        embeddings = self.sam.image_encoder(stack_pixels(samples, size, torch.device("cpu")))
        logits = []
        for row, chosen in enumerate(proposals):
            boxes = torch.from_numpy(chosen.boxes_xyxy)
            points = torch.from_numpy(chosen.points_xy)
            labels = torch.ones(points.shape[:2], dtype=torch.int64)
            by_box, _ = self.sam.decode(embeddings[row : row + 1], boxes)
            by_point, _ = self.sam.decode(embeddings[row : row + 1], None, points, labels)
            logits.append(torch.cat([by_box[:, 0], by_point[:, 0]]))
        return compute_batch_mask_losses(logits, samples, proposals, size, settings.mask_points)
