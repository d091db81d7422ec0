"""A SAM teacher from nothing, for worlds that have none: masks of prompted objects → losses."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ovsam.sam import SAM
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.samples import LoadSample, TrainingSample
from ovsam.training.steps.label import LabelStepSettings
from ovsam.training.steps.losses import compute_batch_mask_losses
from ovsam.training.steps.prompted import PromptedStep, decode_by_sam
from ovsam.training.steps.proposals import Proposals


class TeacherStep(PromptedStep):
    """The mask losses of CLIP2SAM on SAM's single-mask output."""

    def __init__(self, sam: SAM, load_sample: LoadSample, settings: LabelStepSettings) -> None:
        super().__init__(load_sample, sam.config.input_size, settings)
        self.sam = sam
        self.settings = settings

    def compute_losses(
        self,
        samples: Sequence[TrainingSample],
        proposals: Sequence[Proposals],
        random: StepRandom,
    ) -> dict[str, Tensor]:
        """Return BCE and Dice of a batch."""
        size, device = self.sam.config.input_size, next(self.sam.parameters()).device
        pixels = self.stack_and_keep(samples, proposals, device)
        logits = decode_by_sam(self.sam, self.sam.image_encoder(pixels), proposals)
        return compute_batch_mask_losses(
            logits, samples, proposals, size, self.settings.mask_points, random
        )
