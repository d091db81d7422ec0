"""nano's text tower, fitted to the class prototypes that its image tower learned.

This is supervised fitting, not CLIP's contrastive loss: for a few hundred words it reaches the same
end in two minutes (docs/nano.md). Input: prototypes (C, D). Output: a fitted `TextTower`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ovsam.text.text_tower import TEMPLATES, TextTower
from ovsam.text.vocabulary import Vocabulary
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.loop.step_report import StepReport

COSINE_SCALE = 20.0
COSINE_LOSS_WEIGHT = 2.0


class TextFittingStep:
    """Random sentences with class names → closeness to their prototypes."""

    def __init__(
        self, tower: TextTower, vocabulary: Vocabulary, prototypes: Tensor, texts_per_step: int = 96
    ) -> None:
        """Bind a tower to the words and vectors it must connect.

        `prototypes`: (C, D) unit vectors, one per class.
        """
        self.tower = tower
        self.prototypes = prototypes
        self.texts_per_step = texts_per_step
        self.report = StepReport()
        self.words = [
            (text, index) for index, texts in enumerate(vocabulary.aliases) for text in texts
        ]

    def __call__(self, step: int, progress: float, random: StepRandom) -> Mapping[str, Tensor]:
        """Return cross-entropy, cosine distance and accuracy on random sentences."""
        del step, progress
        count = self.texts_per_step
        drawn = [
            random.of_sample(index, count).integers([len(self.words), len(TEMPLATES)])
            for index in range(count)
        ]
        sentences = [TEMPLATES[form].format(self.words[row][0]) for row, form in drawn]
        targets = torch.tensor([self.words[row][1] for row, _ in drawn])
        self.report.keep(0, targets=targets)
        cosines = self.tower.encode(sentences) @ self.prototypes.T
        own = cosines.gather(1, targets[:, None])[:, 0]
        return {
            "class": F.cross_entropy(COSINE_SCALE * cosines, targets),
            "distance": COSINE_LOSS_WEIGHT * (1 - own).mean(),
            "accuracy": (cosines.argmax(dim=1) == targets).float().mean(),
        }
