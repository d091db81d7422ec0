"""What every kind of training data offers: images by number, with objects of named categories.

The kinds are coco.py (instances, boxes), folder.py, webdataset.py, sa1b.py and pool.py; mixed.py
draws from several.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from ovsam.training.samples import TrainingSample


class SampleSource(Protocol):
    """A set of training images."""

    title: str
    """What it is called in messages."""
    categories: tuple[str, ...]
    """(C) names, indexed by its objects' categories."""
    has_masks: bool
    """Whether its samples have masks, or boxes alone."""

    def __len__(self) -> int:
        """Number of images."""

    def name(self, index: int) -> str:
        """Return what names an image for ever: its path in the set."""

    def category_counts(self) -> np.ndarray:
        """Count the objects of each category, (C,) int64."""

    def read_image(self, index: int) -> np.ndarray:
        """Decode one image, (H, W, 3) uint8 RGB."""

    def load(self, index: int, labels: np.ndarray) -> TrainingSample:
        """Return one image with all its objects.

        `labels`: (C,) int64 training class of each category; -1 where it is not trained on.
        """


@runtime_checkable
class HasPaths(Protocol):
    """A set whose images are files of their own."""

    def path(self, index: int) -> Path:
        """Return an image's path."""


@runtime_checkable
class HasMasks(Protocol):
    """A set that knows masks."""

    def masks(self, index: int, size_hw: tuple[int, ...]) -> np.ndarray:
        """Decode an image's masks, (N, H, W) uint8; empty ones too."""
