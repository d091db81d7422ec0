"""Teacher features on disk: each image is encoded once, in float16, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


class FeatureCache:
    """A folder of `<key>.npy` files of one shape.

    The folder belongs to one teacher: its identity is part of the path, so features of another
    teacher are never read by mistake.
    """

    def __init__(self, folder: Path, teacher_identity: str) -> None:
        self.folder = folder / teacher_identity[:16]
        self.folder.mkdir(parents=True, exist_ok=True)

    def read(self, key: str) -> np.ndarray | None:
        """Return one image's features, or None when they are missing or damaged."""
        try:
            return np.load(self._path(key))
        except (FileNotFoundError, ValueError, EOFError):
            return None

    def write(self, key: str, features: np.ndarray) -> None:
        """Store one image's features."""
        path = self._path(key)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        with temporary.open("wb") as file:
            np.save(file, features.astype(np.float16))
        temporary.replace(path)

    def collect(self, keys: Sequence[str], encode: Callable[[list[int]], Tensor]) -> Tensor:
        """Return the features of a batch, encoding and storing what is missing.

        Args:
            keys: B names of images.
            encode: Called once with the missing positions; returns (M, C, G, G).

        Returns:
            (B, C, G, G) float32, rounded to float16 whether stored before or now.
        """
        found = [self.read(key) for key in keys]
        missing = [index for index, features in enumerate(found) if features is None]
        if missing:
            for index, features in zip(missing, encode(missing), strict=True):
                array = features.detach().float().cpu().numpy().astype(np.float16)
                self.write(keys[index], array)
                found[index] = array
        return torch.from_numpy(np.stack([row for row in found if row is not None])).float()

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npy"
