"""A SAM teacher from nothing, for worlds that have none: masks of prompted objects → losses."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.attention import sdpa_kernel

from ovsam.sam import SAM
from ovsam.training.batch_losses import compute_batch_mask_losses
from ovsam.training.label_step import LabelStepSettings
from ovsam.training.prompted_step import PromptedStep, choose_attention
from ovsam.training.proposals import Proposals
from ovsam.training.samples import LoadSample, TrainingSample
from ovsam.training.step_random import StepRandom


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
        logits = self._decode(pixels, proposals)
        return compute_batch_mask_losses(
            logits, samples, proposals, size, self.settings.mask_points, random
        )

    def _decode(self, pixels: Tensor, proposals: Sequence[Proposals]) -> list[Tensor]:
        """Mask logits of each image's prompts, (N, S/4, S/4)."""
        embeddings = self.sam.image_encoder(pixels)
        logits = []
        with sdpa_kernel(choose_attention(pixels.device)):
            for row, chosen in enumerate(proposals):
                tokens = chosen.encode(self.sam.prompt_encoder)
                masks, _ = self.sam.decode_tokens(embeddings[row : row + 1], tokens)
                logits.append(masks[:, 0])
        return logits
