"""Compose one scene: sprites on a procedural background, with exact visible masks.

Input: a `SpriteAtlas`, a size, a seed. Output: a `Scene`. The same arguments give the same pixels.
Writing files is `scene_files.py`; pools for training are `scene_pool.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ovsam.training.scenes.backgrounds import draw_background
from ovsam.training.scenes.sprites import SpriteAtlas

Random = np.random.Generator

MIN_VISIBLE = 0.55
PLACEMENT_TRIES = 12


@dataclass(frozen=True)
class SceneSettings:
    """What a scene may contain; sides are fractions of the scene's long side."""

    min_objects: int = 2
    max_objects: int = 7
    min_side: float = 0.15
    max_side: float = 0.55
    max_rotation_deg: float = 20.0
    with_held_out: bool = False


@dataclass(frozen=True)
class Scene:
    """One picture and its ground truth.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        id_map: (H, W) uint8; 0 is background, k + 1 is object k. Only visible pixels.
        class_ids: (N,) int64, 0-based class of each object.
    """

    image: np.ndarray
    id_map: np.ndarray
    class_ids: np.ndarray

    def mask(self, index: int) -> np.ndarray:
        """Visible pixels of one object, (H, W) bool."""
        return self.id_map == index + 1

    def boxes_xyxy(self) -> np.ndarray:
        """Tight boxes of the visible masks, (N, 4) float32, right and bottom exclusive."""
        boxes = np.zeros((len(self.class_ids), 4), np.float32)
        for index in range(len(self.class_ids)):
            x, y, width, height = cv2.boundingRect(self.mask(index).astype(np.uint8))
            boxes[index] = (x, y, x + width, y + height)
        return boxes


def _pose_sprite(
    sprite: np.ndarray, side: float, max_rotation: float, random: Random
) -> np.ndarray:
    """Scale to a long side in pixels, squeeze, rotate, flip and tint one sprite.

    Returns (h, w, 4) float32, colour premultiplied by alpha, alpha in [0, 1].
    """
    height, width = sprite.shape[:2]
    scale = side / max(height, width)
    squeeze = np.exp(random.uniform(-0.1, 0.1))
    scale_x, scale_y = scale * squeeze, scale / squeeze
    flip = -1.0 if random.random() < 0.5 else 1.0
    angle = np.deg2rad(random.uniform(-max_rotation, max_rotation))
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([flip * scale_x, scale_y])
    corners = linear @ (np.array([[-1, 1, 1, -1], [-1, -1, 1, 1]]) * [[width / 2], [height / 2]])
    out_w, out_h = (np.ceil(np.ptp(corners, axis=1)) + 2).astype(int)
    shift = np.array([out_w / 2, out_h / 2]) - linear @ np.array([width / 2, height / 2])
    # Pixel centres sit at +0.5, warpAffine counts from 0.
    shift += linear @ np.array([0.5, 0.5]) - 0.5
    colour = sprite.astype(np.float32)
    alpha = colour[..., 3:] / 255
    gain = np.exp(random.uniform(-0.25, 0.25)) * np.exp(random.uniform(-0.08, 0.08, 3))
    offset = random.uniform(-12, 12)
    tinted = np.clip(colour[..., :3] * gain.astype(np.float32) + np.float32(offset), 0, 255)
    layered = np.concatenate([tinted * alpha, alpha], axis=2)
    if scale < 0.5:
        blur = 0.35 / scale
        layered = np.asarray(cv2.GaussianBlur(layered, (0, 0), blur), np.float32)
    matrix = np.column_stack([linear, shift])
    return cv2.warpAffine(layered, matrix, (int(out_w), int(out_h)), flags=cv2.INTER_LINEAR)


def _overlap_window(
    position_xy: tuple[int, int], patch_hw: tuple[int, int], size_hw: tuple[int, int]
) -> tuple[slice, slice, slice, slice]:
    """Slices of the canvas and of the patch where they meet."""
    (x, y), (h, w), (height, width) = position_xy, patch_hw, size_hw
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    return slice(y0, y1), slice(x0, x1), slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)


def _try_place(
    patch: np.ndarray, id_map: np.ndarray, full_areas: list[int], random: Random
) -> tuple[slice, slice, slice, slice] | None:
    """Find a place that leaves every object, this one too, at least MIN_VISIBLE visible."""
    solid = patch[..., 3] > 0.5
    area = int(solid.sum())
    height, width = id_map.shape
    h, w = solid.shape
    visible = np.bincount(id_map.ravel(), minlength=len(full_areas) + 1)
    for _ in range(PLACEMENT_TRIES):
        x = int(random.integers(-w // 6, max(width - w + w // 6, -w // 6 + 1)))
        y = int(random.integers(-h // 6, max(height - h + h // 6, -h // 6 + 1)))
        window = _overlap_window((x, y), (h, w), (height, width))
        inside = solid[window[2], window[3]]
        if inside.sum() < 0.75 * area:
            continue
        hidden = np.bincount(id_map[window[0], window[1]][inside], minlength=len(visible))
        left = (visible - hidden)[1:]
        if all(left[k] >= MIN_VISIBLE * full for k, full in enumerate(full_areas)):
            return window
    return None


def _finish(image: np.ndarray, random: Random) -> np.ndarray:
    """Camera effects on the whole picture: gain, blur, sensor noise."""
    picture = image * np.float32(np.exp(random.uniform(-0.2, 0.2)))
    if random.random() < 0.15:
        blurred = cv2.GaussianBlur(picture, (0, 0), random.uniform(0.4, 1.0))
        picture = np.asarray(blurred, np.float32)
    if random.random() < 0.3:
        noise = random.standard_normal(picture.shape, dtype=np.float32)
        picture = picture + noise * np.float32(random.uniform(2, 10))
    return np.clip(picture, 0, 255).astype(np.uint8)


def draw_scene(
    atlas: SpriteAtlas,
    size_hw: tuple[int, int],
    seed: tuple[int, ...],
    settings: SceneSettings | None = None,
) -> Scene:
    """Draw one scene with exact visible masks.

    `size_hw`: height and width of the picture in pixels. `seed`: numbers that name this scene, e.g.
    (world seed, index). `settings`: number and size of the objects; defaults are those of the
    metrics.
    """
    chosen = settings or SceneSettings()
    random = np.random.default_rng(list(seed))
    canvas = draw_background(size_hw, random, with_held_out=chosen.with_held_out)
    canvas = canvas.astype(np.float32)
    id_map = np.zeros(size_hw, np.uint8)
    full_areas: list[int] = []
    class_ids: list[int] = []
    long_side, short_side = max(size_hw), min(size_hw)
    for _ in range(int(random.integers(chosen.min_objects, chosen.max_objects + 1))):
        class_id = int(random.integers(len(atlas.classes)))
        group = atlas.sprites[class_id]
        sprite = group[int(random.integers(len(group)))]
        low, high = np.log(chosen.min_side), np.log(chosen.max_side)
        side = min(np.exp(random.uniform(low, high)) * long_side, 0.9 * short_side)
        patch = _pose_sprite(sprite, side, chosen.max_rotation_deg, random)
        window = _try_place(patch, id_map, full_areas, random)
        if window is None:
            continue
        part = patch[window[2], window[3]]
        target = canvas[window[0], window[1]]
        target *= 1 - part[..., 3:]
        target += part[..., :3]
        full_areas.append(int((patch[..., 3] > 0.5).sum()))
        class_ids.append(class_id)
        id_map[window[0], window[1]][part[..., 3] > 0.5] = len(class_ids)
    image = _finish(canvas, random)
    return Scene(image=image, id_map=id_map, class_ids=np.array(class_ids, np.int64))
