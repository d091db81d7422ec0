"""Processor time of a picture of `--preview`, by pixels and objects; also of an older version.

python benchmarks/ui/previews.py                 # this version
python benchmarks/ui/previews.py --old ce418c6   # and that of a commit, from the same clone
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from ovsam_pipeline.export.preview import draw_objects

_ROOT = Path(__file__).parents[2]
_SIZES_WH = ((640, 480), (4000, 3000))
_COUNTS = (1, 10, 100)
_ROUNDS = 7


def main() -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("--old", help="commit to compare with")
    parser.add_argument("--name", default="this version", help="of the column")
    arguments = parser.parse_args()
    print(f"{arguments.name}: median and best of {_ROUNDS}, processor milliseconds an image")
    for size in _SIZES_WH:
        for count in _COUNTS:
            median, best = measure(size, count)
            print(f"  {size[0]} x {size[1]}, {count:3} objects  {median:7.0f} {best:7.0f}")
    if arguments.old:
        measure_old(arguments.old)


def measure(size_wh: tuple[int, int], count: int) -> tuple[float, float]:
    """Return the median and the least processor time to draw an image, in milliseconds."""
    image = np.random.default_rng(0).integers(0, 255, (*size_wh[::-1], 3), np.uint8)
    objects = make_objects(size_wh, count)
    times = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        draw_objects(image, objects)
        times.append(1000 * (time.process_time() - start))
    return float(np.median(times)), min(times)


def make_objects(size_wh: tuple[int, int], count: int) -> list[dict[str, object]]:
    """Return objects of ten classes: ellipses of a tenth of the picture's side, more or less."""
    random = np.random.default_rng(1)
    objects = []
    for number in range(count):
        mask = np.zeros(size_wh[::-1], np.uint8)
        centre = tuple(int(random.uniform(0.05, 0.95) * side) for side in size_wh)
        axes = tuple(int(random.uniform(0.02, 0.08) * size_wh[1]) for _ in range(2))
        cv2.ellipse(mask, centre, axes, random.uniform(0, 180), 0, 360, 1, cv2.FILLED)
        rle = coco_mask.encode(np.asfortranarray(mask))
        objects.append(
            {
                "category": f"class {number % 10}",
                "category_id": number % 10,
                "score": float(random.uniform(0.1, 1)),
                "risk": float(random.uniform(0, 1)),
                "area": int(mask.sum()),
                "bbox": coco_mask.toBbox(rle).tolist(),
                "segmentation": rle,
            }
        )
    return objects


def measure_old(commit: str) -> None:
    """Run this file on the code of another commit."""
    with tempfile.TemporaryDirectory() as folder:
        code = ("ovsam", "ovsam_pipeline")
        paths = [f":(glob){package}/**/*.py" for package in code]
        archive = subprocess.run(
            ["git", "archive", commit, *paths], cwd=_ROOT, check=True, capture_output=True
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        command = [sys.executable, __file__, "--name", commit]
        subprocess.run(command, env={**os.environ, "PYTHONPATH": folder}, check=True)


if __name__ == "__main__":
    main()
