"""Images alone, in a fixed order: for the teacher's features and for distillation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from ovsam.errors import ConfigError, explain
from ovsam.training.data.picture_files import is_picture, read_picture
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


class FolderImages:
    """All pictures below a folder, by their path in it: SA-1B's `sa_000000/sa_1.jpg`, or any."""

    def __init__(self, folder: Path) -> None:
        """List the folder; links to folders are not followed."""
        self.folder = folder
        with explain("cannot list the images in", folder, ConfigError):
            names = sorted(_list_pictures(folder, ""))
        if not names:
            raise ConfigError(f"expected pictures (JPEG, PNG, …) below {folder}, got none")
        self._names = collect_texts(names)

    def __len__(self) -> int:
        """How many."""
        return len(self._names)

    def key(self, index: int) -> str:
        """Return the image's path in the folder."""
        return self._names[index]

    def load(self, index: int) -> np.ndarray:
        """Decode one image; see `ImageSet`."""
        return read_picture(self.folder / self.key(index))


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


def _list_pictures(folder: Path, inside: str) -> Iterator[str]:
    """Yield the paths of pictures below a folder, relative to where the walk began."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{inside}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _list_pictures(folder / entry.name, f"{name}/")
            elif is_picture(entry.name) and not entry.name.startswith("."):
                yield name
