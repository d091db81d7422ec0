"""Scenes as image files with COCO-format ground truth: any number, any sizes, from a seed.

Writes `images` and `annotations.json` (instances with compressed RLE, base/novel in categories).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ovsam.errors import ConfigError, explain
from ovsam.masks import encode_mask
from ovsam.training.scenes.scene import Scene, SceneSettings, draw_scene
from ovsam.training.scenes.sprites import SpriteAtlas

_ANNOTATIONS = "annotations.json"
EXIF_ORIENTATION = 0x0112
ROTATED_90_CLOCKWISE = 6  # EXIF: turn the stored picture by 90 degrees clockwise to see it


@dataclass(frozen=True)
class SceneFile:
    """One file to write.

    Attributes:
        name: File name; the suffix chooses the format (.jpg or .png).
        is_rotated: Store the picture turned, with an EXIF orientation that turns it back.
    """

    name: str
    size_hw: tuple[int, int]
    is_rotated: bool = False


def write_scene_files(
    folder: Path,
    atlas: SpriteAtlas,
    files: Sequence[SceneFile],
    seed: int,
    settings: SceneSettings | None = None,
) -> Path:
    """Draw and write scenes with their ground truth.

    `folder`: made if missing; must hold no scenes, see `check_folder`. `files`: what to write;
    scene i is named by (seed, i). `seed`: seed of the world: 1 is training's, 2 the metrics', so
    take another.
    """
    if not files or len({file.name for file in files}) != len(files):
        raise ConfigError(f"expected one or more files of different names, got {len(files)} files")
    check_folder(folder, [file.name for file in files])
    with explain("cannot write scenes into", folder, ConfigError):
        return _write_files(folder, atlas, files, seed, settings)


def check_folder(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder that holds a file of these names, or ground truth: nothing is overwritten.

    Pictures of an earlier, longer series would stay and be in no ground truth.
    """
    with explain("cannot read", folder, ConfigError):
        found = {path.name for path in folder.iterdir()} if folder.exists() else set()
    taken = [name for name in (_ANNOTATIONS, *names) if name in found]
    if taken:
        raise ConfigError(
            f"{folder} holds {taken[0]} already, which would be replaced; give another folder, or "
            "remove what is in it"
        )


def _write_files(
    folder: Path,
    atlas: SpriteAtlas,
    files: Sequence[SceneFile],
    seed: int,
    settings: SceneSettings | None,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, file in enumerate(files):
        scene = draw_scene(atlas, file.size_hw, (seed, index), settings)
        _write_image(folder / file.name, scene.image, file.is_rotated)
        height, width = file.size_hw
        images.append({"id": index + 1, "file_name": file.name, "width": width, "height": height})
        for annotation in describe_objects(scene):
            ids = {"id": len(annotations) + 1, "image_id": index + 1}
            annotations.append({**annotation, **ids})
    content = {
        "info": {"description": "ovsam nano scenes", "seed": seed},
        "images": images,
        "categories": [
            {"id": number, "name": one.name, "supercategory": one.category, "split": one.split}
            for number, one in enumerate(atlas.classes, start=1)
        ],
        "annotations": annotations,
    }
    path = folder / _ANNOTATIONS
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
    return path


def describe_objects(scene: Scene) -> list[dict[str, Any]]:
    """Return COCO annotations of a scene's objects, without ids; category ids count from 1."""
    described = []
    for row, (class_id, box) in enumerate(zip(scene.class_ids, scene.boxes_xyxy(), strict=True)):
        left, top, right, bottom = (float(side) for side in box)
        described.append(
            {
                "category_id": int(class_id) + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": int(scene.mask(row).sum()),
                "iscrowd": 0,
                "segmentation": encode_mask(scene.mask(row)),
            }
        )
    return described


def _write_image(path: Path, image: np.ndarray, is_rotated: bool) -> None:
    """Write one picture, JPEG at quality 88."""
    picture = Image.fromarray(image)
    options: dict[str, Any] = {} if path.suffix == ".png" else {"quality": 88}
    if is_rotated:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = ROTATED_90_CLOCKWISE
        options["exif"] = exif
    picture.save(path, **options)
