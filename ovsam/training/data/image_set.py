"""Images alone, in a fixed order: for the teacher's features and for distillation."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from ovsam.errors import ConfigError, explain
from ovsam.training.data.picture_files import PictureFolder, is_picture, walk_pictures
from ovsam.training.data.text_column import collect_texts
from ovsam.training.scenes.pool import ScenePool


class ImageSet(Protocol):
    """Images by number."""

    def __len__(self) -> int:
        """How many."""

    def key(self, index: int) -> str:
        """Name of one image in its data set."""

    def load(self, index: int) -> np.ndarray:
        """Decode one image, (H, W, 3) uint8 RGB."""


class FolderImages(PictureFolder):
    """All pictures below a folder, by their path in it: SA-1B's `sa_000000/sa_1.jpg`, or any."""

    def __init__(self, folder: Path) -> None:
        """List the folder; links to folders are not followed."""
        with explain("cannot list the images in", folder, ConfigError):
            names = sorted(walk_pictures(folder, _is_visible_picture))
        if not names:
            raise ConfigError(f"expected pictures (JPEG, PNG, …) below {folder}, got none")
        super().__init__(folder, collect_texts(names))

    def key(self, index: int) -> str:
        """Return the image's path in the folder."""
        return self.name(index)

    def load(self, index: int) -> np.ndarray:
        """Decode one image; see `ImageSet`."""
        return self.read_image(index)


class PoolImages:
    """The scenes of a pool."""

    def __init__(self, pool: ScenePool) -> None:
        self._pool = pool

    def __len__(self) -> int:
        """How many."""
        return len(self._pool)

    def key(self, index: int) -> str:
        """Return the scene's number as a name."""
        return f"scene-{index:06d}"

    def load(self, index: int) -> np.ndarray:
        """Return one scene's pixels; see `ImageSet`."""
        return np.array(self._pool.images[index])


def open_images(path: Path) -> ImageSet:
    """Open the folder of `ovsam train pool`, or any folder of pictures."""
    if not path.is_dir():
        raise ConfigError(
            f"expected a folder of images or of `ovsam train pool`, got {path}; distillation needs "
            "no annotations"
        )
    if (path / "train" / "images.npy").exists():
        return PoolImages(ScenePool(path / "train"))
    return FolderImages(path)


def _is_visible_picture(name: str, names: set[str]) -> bool:
    del names
    return is_picture(name) and not name.startswith(".")
