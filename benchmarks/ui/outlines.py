"""Outlines of masks for the pages: milliseconds an object, exactness and length, at 12 megapixels.

Blobs with two holes and wavy edges, of growing size; IoU of the path with the mask, sampled four
times finer than the picture that it is drawn on.

    python benchmarks/ui/outlines.py
"""

from __future__ import annotations

import re
import time

import cv2
import numpy as np
from matplotlib.path import Path

from ovsam.masks import encode_mask
from ovsam_pipeline.ui.outlines import outline_paths

HEIGHT, WIDTH = 3000, 4000
SIDES, RADII = (256, 1024, 2048), (10, 30, 100, 400, 1200)
BLOBS, REPEATS = 6, 5


def draw_blob(radius: int, rng: np.random.Generator) -> np.ndarray:
    """Return a (HEIGHT, WIDTH) bool mask of one blob."""
    turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    waves = 0.25 * np.sin(3 * turn + rng.random() * 6) + 0.1 * np.sin(11 * turn)
    distance = radius * (1 + waves + 0.03 * rng.standard_normal(200))
    centre = rng.integers((0, 0), (WIDTH, HEIGHT))
    ring = centre + distance[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(mask, [ring.round().astype(np.int32)], 1)
    for _ in range(2):
        hole = centre + rng.normal(size=2) * radius / 3
        cv2.circle(mask, hole.round().astype(int).tolist(), max(1, radius // 8), 0, -1)
    return mask.astype(bool)


def measure_iou(path: str, mask: np.ndarray, step: float) -> float:
    """Return the IoU of a path with a mask, at points `step` pixels apart."""
    rows, columns = np.nonzero(mask)
    x = np.arange(max(columns.min() - 4, 0) + 0.5, min(columns.max() + 5, WIDTH), step)
    y = np.arange(max(rows.min() - 4, 0) + 0.5, min(rows.max() + 5, HEIGHT), step)
    grid_x, grid_y = np.meshgrid(x, y)
    points = np.stack([grid_x.ravel(), grid_y.ravel()], 1)
    inside = np.zeros(len(points), bool)
    for ring in re.findall(r"M([^Z]*)Z", path):
        corners = [[float(number) for number in point.split()] for point in ring.split("L")]
        inside ^= Path([*corners, corners[0]]).contains_points(points)
    truth = mask[points[:, 1].astype(int), points[:, 0].astype(int)]
    return float((inside & truth).sum() / max(1, (inside | truth).sum()))


def main() -> None:
    """Print a table."""
    rng = np.random.default_rng(0)
    blobs = {radius: [draw_blob(radius, rng) for _ in range(BLOBS)] for radius in RADII}
    print("picture side | radius px | ms an object | IoU least | mean | characters")
    for side in SIDES:
        tolerance = WIDTH / side / 2
        for radius, drawn in blobs.items():
            masks = [mask for mask in drawn if mask.any()]
            rles = [encode_mask(mask) for mask in masks]
            seconds = []
            for _ in range(REPEATS):
                start = time.perf_counter()
                paths = outline_paths(rles, tolerance)
                seconds.append(time.perf_counter() - start)
            step = max(1.0, WIDTH / side / 4)
            ious = [measure_iou(path, mask, step) for path, mask in zip(paths, masks, strict=True)]
            print(
                f"{side:12} | {radius:9} | {min(seconds) / len(masks) * 1e3:12.2f} | "
                f"{min(ious):9.3f} | {np.mean(ious):.3f} | {np.mean(list(map(len, paths))):.0f}"
            )


if __name__ == "__main__":
    main()
