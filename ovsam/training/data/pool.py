"""A pool of drawn scenes as a training set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ovsam.errors import ConfigError
from ovsam.training.samples import TrainingSample
from ovsam.training.scenes.pool import ScenePool


class PoolTrainingSet:
    """The scenes of a pool as a `SampleSource`."""

    has_masks = True

    def __init__(self, folder: Path, categories: Sequence[str]) -> None:
        """Map a pool into memory.

        `categories`: (C) names of its class ids.
        """
        self.title = str(folder)
        self.pool = ScenePool(folder)
        self.categories = tuple(categories)
        most = int(self.pool.objects[:, :, 0].max(initial=-1))
        if most >= len(categories):
            raise ConfigError(
                f"expected class ids below {len(categories)} in the pool {folder}, got {most}; "
                "give the vocabulary that it was drawn with"
            )

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self.pool)

    def name(self, index: int) -> str:
        """Return what a scene is called."""
        return f"scene-{index:06d}"

    def category_counts(self) -> np.ndarray:
        """Count the objects of each category, (C,) int64."""
        classes = self.pool.objects[:, :, 0]
        return np.bincount(classes[classes >= 0].astype(np.int64), minlength=len(self.categories))

    def read_image(self, index: int) -> np.ndarray:
        """Return one scene, (S, S, 3) uint8 RGB."""
        return np.array(self.pool.images[index])

    def load(self, index: int, labels: np.ndarray) -> TrainingSample:
        """Return one scene with all its objects; see `SampleSource.load`."""
        return self.pool.sample(index, labels)
