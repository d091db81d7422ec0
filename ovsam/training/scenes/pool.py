"""Many scenes in flat files on disk, drawn once and read at random while training.

A pool is three `.npy` files in a folder: images (N, S, S, 3) uint8, id maps (N, S, S) uint8 and
objects (N, M, 5) float32 with class id and box, class -1 where there is no object. They are mapped
into memory, so several processes share one copy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from ovsam.errors import ConfigError
from ovsam.training.samples import TrainingSample
from ovsam.training.scenes.scene import Scene, SceneSettings, draw_scene
from ovsam.training.scenes.sprites import SpriteAtlas

TRAIN_WORLD = 1
HELD_OUT_WORLD = 2
TRAIN_SCENES = SceneSettings(min_objects=3, max_objects=8)
HELD_OUT_SCENES = SceneSettings(with_held_out=True)
MAX_OBJECTS = 8


class ScenePool:
    """A pool of scenes on disk."""

    def __init__(self, folder: Path) -> None:
        """Map a pool into memory."""
        try:
            self.images = np.load(folder / "images.npy", mmap_mode="r")
            self.id_maps = np.load(folder / "id_maps.npy", mmap_mode="r")
            self.objects = np.load(folder / "objects.npy")
        except FileNotFoundError as error:
            raise ConfigError(
                f"expected a scene pool in {folder}, got no {Path(error.filename).name}; "
                "draw one with `ovsam train pool`"
            ) from error

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self.objects)

    def scene(self, index: int) -> Scene:
        """Return one scene (views of the mapped files)."""
        classes = self.objects[index, :, 0]
        class_ids = classes[classes >= 0].astype(np.int64)
        return Scene(self.images[index], self.id_maps[index], class_ids)

    def boxes_xyxy(self, index: int) -> np.ndarray:
        """Boxes of one scene's objects, (N, 4) float32."""
        rows = self.objects[index]
        return rows[rows[:, 0] >= 0, 1:]

    def sample(self, index: int, class_labels: np.ndarray) -> TrainingSample:
        """Return one scene for training.

        `class_labels`: (C,) int64, the training label of each class id; -1 hides a class.
        """
        scene = self.scene(index)
        masks = [scene.mask(row) for row in range(len(scene.class_ids))]
        return TrainingSample(
            pixels=np.array(scene.image),
            masks=np.stack(masks).astype(np.uint8),
            labels=class_labels[scene.class_ids],
        )

    def sampler(self, class_labels: np.ndarray) -> Callable[[np.random.Generator], TrainingSample]:
        """Return a function that draws a random training sample."""

        def load(random: np.random.Generator) -> TrainingSample:
            return self.sample(int(random.integers(len(self))), class_labels)

        return load


def create_pool(folder: Path, count: int, size: int) -> None:
    """Create the empty files of a pool, to be filled by one or several `fill_pool`."""
    folder.mkdir(parents=True, exist_ok=True)
    open_memmap(folder / "images.npy", "w+", np.uint8, (count, size, size, 3))
    open_memmap(folder / "id_maps.npy", "w+", np.uint8, (count, size, size))
    objects = open_memmap(folder / "objects.npy", "w+", np.float32, (count, MAX_OBJECTS, 5))
    objects[:] = -1


def fill_pool(
    folder: Path,
    atlas: SpriteAtlas,
    seed: tuple[int, int],
    settings: SceneSettings,
    indices: range,
) -> None:
    """Draw some scenes of a pool.

    `seed`: world, and number of the pool's first scene in it: a scene depends on its world and
    number alone, not on who draws it.
    """
    images = open_memmap(folder / "images.npy", "r+")
    id_maps = open_memmap(folder / "id_maps.npy", "r+")
    objects = open_memmap(folder / "objects.npy", "r+")
    world, first = seed
    size = images.shape[1]
    for index in indices:
        scene = draw_scene(atlas, (size, size), (world, first + index), settings)
        images[index], id_maps[index] = scene.image, scene.id_map
        count = len(scene.class_ids)
        objects[index, :count, 0] = scene.class_ids
        objects[index, :count, 1:] = scene.boxes_xyxy()
