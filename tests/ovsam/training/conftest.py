"""A tiny drawn world: sprites made by hand, so that no font is needed."""

import cv2
import numpy as np
import pytest

from ovsam.training.scenes.pool import ScenePool, create_pool, fill_pool
from ovsam.training.scenes.scene import SceneSettings
from ovsam.training.scenes.sprites import NanoClass, SpriteAtlas


def _sprite(shape: str, colour: tuple[int, int, int]) -> np.ndarray:
    picture = np.zeros((60, 60, 4), np.uint8)
    if shape == "disc":
        cv2.circle(picture, (30, 30), 29, (*colour, 255), -1)
    else:
        cv2.rectangle(picture, (5, 15), (55, 45), (*colour, 255), -1)
    return picture


@pytest.fixture(scope="session")
def atlas() -> SpriteAtlas:
    classes = tuple(
        NanoClass(name, (), (0,), "shape", split)
        for name, split in (("disc", "base"), ("bar", "base"), ("green disc", "novel"))
    )
    drawings = (("disc", (200, 30, 30)), ("bar", (30, 30, 200)), ("disc", (30, 200, 30)))
    return SpriteAtlas(classes, tuple((_sprite(*drawing),) for drawing in drawings))


@pytest.fixture(scope="session")
def pool(atlas, tmp_path_factory) -> ScenePool:
    folder = tmp_path_factory.mktemp("pool")
    create_pool(folder, 6, 128)
    fill_pool(folder, atlas, (1, 0), SceneSettings(min_objects=2, max_objects=4), range(6))
    return ScenePool(folder)
