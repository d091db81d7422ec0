"""Training of the nano detector: one step for `ovsam.training.loop.loop`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN

from ovsam.training.loop.step_random import StepRandom
from ovsam.training.loop.step_report import StepReport
from ovsam.training.samples import AugmentSettings, TrainingSample, draw_samples, stack_pixels
from ovsam_pipeline.detectors.nano import INPUT_SIZE


@dataclass(frozen=True, kw_only=True)
class DetectorStepSettings:
    """Images a step, and their random geometry."""

    images_per_step: int = 8
    augment: AugmentSettings = field(default_factory=AugmentSettings)


class DetectorStep:
    """Faster R-CNN's four losses on a random batch; call it with (step, progress, random)."""

    def __init__(
        self,
        network: FasterRCNN,
        load_sample: Callable[[np.random.Generator], TrainingSample],
        settings: DetectorStepSettings,
    ) -> None:
        self.network = network
        self.load_sample = load_sample
        self.settings = settings
        self.report = StepReport()

    def __call__(self, step: int, progress: float, random: StepRandom) -> Mapping[str, Tensor]:
        """Draw a batch and return its losses."""
        del step, progress
        settings = self.settings
        count = settings.images_per_step
        with self.report.waiting():
            samples = draw_samples(self.load_sample, count, INPUT_SIZE, settings.augment, random)
        device = next(self.network.parameters()).device
        pixels = stack_pixels(samples, INPUT_SIZE, device)
        self.report.keep(count, pixels=pixels)
        targets = [
            {
                "boxes": torch.from_numpy(sample.boxes_xyxy()).to(device),
                "labels": torch.ones(len(sample), dtype=torch.int64, device=device),
            }
            for sample in samples
        ]
        return self.network(list(pixels), targets)
