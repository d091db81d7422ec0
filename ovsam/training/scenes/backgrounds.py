"""Procedural backgrounds: textures and distractor shapes that belong to no class.

Input: a size and a random generator. Output: (H, W, 3) uint8 RGB. `HELD_OUT` names one texture
family that training scenes never use.
"""

from __future__ import annotations

import cv2
import numpy as np

Random = np.random.Generator

FAMILIES = ("gradient", "noise", "stripes", "blobs", "patches")
HELD_OUT = "rings"


def _colour(random: Random) -> np.ndarray:
    """One RGB colour, float32 in [0, 255]."""
    return random.uniform(10, 245, 3).astype(np.float32)


def _mix(weight_HW: np.ndarray, random: Random) -> np.ndarray:
    """Blend two random colours by a (H, W) weight in [0, 1]."""
    first, second = _colour(random), _colour(random)
    return first + weight_HW[..., None] * (second - first)


def _ramp(size_hw: tuple[int, int], random: Random) -> np.ndarray:
    """A linear ramp in a random direction, (H, W) float32 in [0, 1]."""
    height, width = size_hw
    angle = random.uniform(0, 2 * np.pi)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.sin(angle)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] * np.cos(angle)
    return np.float32(0.5) + np.float32(0.35) * (x + y).astype(np.float32)


def _smooth_noise(size_hw: tuple[int, int], random: Random, channels: int) -> np.ndarray:
    """Sum of two octaves of upsampled noise, (H, W, channels) float32 in [0, 1]."""
    height, width = size_hw
    total = np.zeros((height, width, channels), np.float32)
    for weight, cells in ((0.65, int(random.integers(2, 7))), (0.35, int(random.integers(8, 40)))):
        grid = random.random((cells, cells, channels), dtype=np.float32)
        mode = cv2.INTER_CUBIC if cells < 8 else cv2.INTER_LINEAR
        up = cv2.resize(grid, (width, height), interpolation=mode)
        total += np.float32(weight) * up.reshape(height, width, channels)
    return total


def _texture(family: str, size_hw: tuple[int, int], random: Random) -> np.ndarray:
    """One texture of a family, (H, W, 3) float32 in about [0, 255]."""
    height, width = size_hw
    if family == "gradient":
        return _mix(_ramp(size_hw, random), random)
    if family == "noise":
        return _smooth_noise(size_hw, random, 3) * 255
    if family == "stripes":
        wave = np.sin(_ramp(size_hw, random) * np.float32(random.uniform(8, 70)))
        sharp = np.float32(random.choice([1.0, 8.0]))
        return _mix(np.clip(0.5 + 0.5 * wave * sharp, 0, 1), random)
    if family == "blobs":
        field = _smooth_noise(size_hw, random, 1)[..., 0]
        return _mix(np.clip((field - field.mean()) * 12 + 0.5, 0, 1), random)
    if family == "patches":
        cells = int(random.integers(2, 9))
        grid = random.uniform(10, 245, (cells, cells, 3)).astype(np.float32)
        return cv2.resize(grid, (width, height), interpolation=cv2.INTER_NEAREST)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    centre = random.uniform(0, 1, 2) * (height, width)
    distance = np.hypot(y - centre[0], x - centre[1]) / max(height, width)
    return _mix(0.5 + 0.5 * np.sin(distance * np.float32(random.uniform(15, 80))), random)


def _draw_distractor(canvas: np.ndarray, random: Random) -> None:
    """Draw one plain shape into the uint8 canvas."""
    height, width = canvas.shape[:2]
    long_side = max(height, width)
    colour = tuple(float(value) for value in _colour(random))
    centre = (int(random.integers(0, width)), int(random.integers(0, height)))
    radius = random.uniform(0.03, 0.25, 2) * long_side
    thickness = -1 if random.random() < 0.7 else int(random.integers(1, 9))
    kind = int(random.integers(0, 3))
    if kind == 0:
        axes = (int(radius[0]) + 1, int(radius[1]) + 1)
        angle = float(random.uniform(0, 180))
        cv2.ellipse(canvas, centre, axes, angle, 0, 360, colour, thickness, cv2.LINE_AA)
    elif kind == 1:
        rotated = (centre, (float(2 * radius[0]), float(2 * radius[1])), random.uniform(0, 90))
        corners = cv2.boxPoints(rotated).astype(np.int32)
        if thickness < 0:
            cv2.fillPoly(canvas, [corners], colour, cv2.LINE_AA)
        else:
            cv2.polylines(canvas, [corners], True, colour, thickness, cv2.LINE_AA)
    else:
        angles = np.sort(random.uniform(0, 2 * np.pi, int(random.integers(3, 8))))
        spread = radius[0] * random.uniform(0.5, 1.0, len(angles))
        points = np.stack([np.cos(angles) * spread, np.sin(angles) * spread], 1) + centre
        cv2.fillPoly(canvas, [points.astype(np.int32)], colour, cv2.LINE_AA)


def draw_background(
    size_hw: tuple[int, int], random: Random, *, with_held_out: bool = False
) -> np.ndarray:
    """Draw a textured background with 0-8 distractor shapes.

    `size_hw`: height and width in pixels. `random`: source of every choice; the same state gives
    the same picture. `with_held_out`: let the `rings` family, which training never sees, be drawn
    too. Returns (H, W, 3) uint8 RGB.
    """
    families = (*FAMILIES, HELD_OUT) if with_held_out else FAMILIES
    texture = _texture(str(random.choice(families)), size_hw, random)
    if random.random() < 0.3:
        other = _texture(str(random.choice(families)), size_hw, random)
        texture = texture * 0.5 + other * 0.5
    canvas = np.ascontiguousarray(np.clip(texture, 0, 255).astype(np.uint8))
    for _ in range(int(random.integers(0, 9))):
        _draw_distractor(canvas, random)
    return canvas
