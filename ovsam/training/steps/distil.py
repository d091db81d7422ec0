"""The first stage (SAM2CLIP): the neck learns to give the teacher's image embedding.

Frozen: image encoder; trained: the neck. Loss: MSE against the SAM teacher's embedding, encoded now
or stored before (`ovsam train cache-teacher`). Images are resized to the input size and padded,
without other augmentation, so that a stored embedding stays true. Source: paper section 3.2 and
appendix A.

Letters: B images, C channels, G cells a side.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovsam.errors import ImageError, TrainingError
from ovsam.model import OVSAM
from ovsam.preprocess import prepare_image, to_network_input
from ovsam.sam import SAM
from ovsam.structures import PreparedImage
from ovsam.training.data.image_set import ImageSet
from ovsam.training.data.sample_reader import SampleReader
from ovsam.training.loop.autocast import autocast_bfloat16
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.loop.step_report import StepReport
from ovsam.training.steps.teacher_features import Targets
from ovsam.weights.checkpoint import hash_tensors

logger = logging.getLogger(__name__)

_MOST_TRIES = 100


class TeacherTargets:
    """The teacher itself, asked for every batch: for worlds that are small enough."""

    def __init__(self, teacher: SAM) -> None:
        """Bind a teacher in eval mode, with the student's input size and embedding width."""
        self.teacher = teacher
        self.identity = hash_tensors(teacher.state_dict())

    @torch.no_grad()
    def collect(self, keys: Sequence[str], pixels: Tensor) -> Tensor:
        """Return the embeddings of a batch, (B, C, G, G)."""
        del keys
        return self.teacher.image_encoder(pixels)


class DistilStep:
    """One step of the first stage; call it with (step, progress, random)."""

    def __init__(
        self,
        student: OVSAM,
        targets: Targets,
        images: ImageSet,
        images_per_step: int = 16,
        *,
        with_bfloat16: bool = False,
        threads: int = 0,
    ) -> None:
        """Bind a student to images and what the teacher says of them.

        `with_bfloat16`: run both networks under bfloat16 autocast where the device computes with
        it; the loss stays float32.
        """
        self.student = student
        self.targets = targets
        self.images = images
        self.with_bfloat16 = with_bfloat16
        self.reader = SampleReader(self._prepare, images_per_step, threads)
        self.report = StepReport()

    def __call__(self, step: int, progress: float, random: StepRandom) -> Mapping[str, Tensor]:
        """Return the mean squared error of a random batch."""
        del step, progress
        with self.report.waiting():
            drawn = self.reader.read(random)
        return self.compute_losses([key for key, _ in drawn], [image for _, image in drawn])

    def compute_losses(
        self, keys: Sequence[str], images: Sequence[PreparedImage]
    ) -> dict[str, Tensor]:
        """Return the loss of given images."""
        device = self.student.device
        pixels = to_network_input(list(images), device)
        self.report.keep(len(images), pixels=pixels)
        with autocast_bfloat16(device, self.with_bfloat16):
            targets = self.targets.collect(keys, pixels).to(device)
            with torch.no_grad():
                stages = self.student.image_encoder(pixels)
            embedding = self.student.neck(stages)
        return {"mse": F.mse_loss(embedding.float(), targets.float())}

    def _prepare(self, random: np.random.Generator) -> tuple[str, PreparedImage]:
        size = self.student.config.input_size
        for _ in range(_MOST_TRIES):
            index = int(random.integers(len(self.images)))
            try:
                return self.images.key(index), prepare_image(self.images.load(index), size)
            except ImageError as error:
                logger.warning("skipped an image: %s", error)
        raise TrainingError(f"none of {_MOST_TRIES} images drawn one after the other can be read")
