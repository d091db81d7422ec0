"""The first stage (SAM2CLIP): the neck learns to give the teacher's image embedding.

Frozen: image encoder; trained: the neck. Loss: MSE against the SAM teacher's embedding, which is
cached on disk. Images are resized to the input size and padded, without other augmentation, so that
a cached feature stays true. Source: paper section 3.2 and appendix A.

Letters: B images, C channels, G cells a side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovsam.model import OVSAM
from ovsam.preprocess import prepare_image, to_network_input
from ovsam.sam import SAM
from ovsam.training.feature_cache import FeatureCache
from ovsam.training.step_random import StepRandom
from ovsam.training.step_report import StepReport

LoadImage = Callable[[np.random.Generator], tuple[str, np.ndarray]]
"""Draws one image: a key that names it for ever, and (H, W, 3) uint8 RGB."""


class DistilStep:
    """One step of the first stage; call it with (step, progress, random)."""

    def __init__(
        self,
        student: OVSAM,
        teacher: SAM,
        cache: FeatureCache,
        load_image: LoadImage,
        images_per_step: int = 16,
    ) -> None:
        """Bind student and teacher to images.

        Args:
            student: All but its neck frozen (`freeze_all_but(student, ("neck",))`).
            teacher: In eval mode, with the student's input size and embedding width.
            cache: Of this teacher.
            load_image: Draws one image.
            images_per_step: B.
        """
        self.student = student
        self.teacher = teacher
        self.cache = cache
        self.load_image = load_image
        self.images_per_step = images_per_step
        self.report = StepReport()

    def __call__(self, step: int, progress: float, random: StepRandom) -> Mapping[str, Tensor]:
        """Return the mean squared error of a random batch."""
        del step, progress
        count = self.images_per_step
        with self.report.waiting():
            drawn = [self.load_image(random.of_sample(index, count)) for index in range(count)]
        return self.compute_losses([key for key, _ in drawn], [image for _, image in drawn])

    def compute_losses(self, keys: list[str], images: list[np.ndarray]) -> dict[str, Tensor]:
        """Return the loss of given images."""
        size = self.student.config.input_size
        prepared = [prepare_image(image, size) for image in images]
        pixels = to_network_input(prepared, self.student.device)
        self.report.keep(len(images), pixels=pixels)
        targets = self.cache.collect(keys, lambda rows: self._encode(pixels[rows]))
        with torch.no_grad():
            stages = self.student.image_encoder(pixels)
        embedding = self.student.neck(stages)
        return {"mse": F.mse_loss(embedding, targets.to(embedding.device))}

    @torch.no_grad()
    def _encode(self, pixels: Tensor) -> Tensor:
        """The teacher's embedding, (M, C, G, G)."""
        return self.teacher.image_encoder(pixels)
