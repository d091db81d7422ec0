"""How much memory and time a large COCO-format file takes as training data.

Writes a file of random boxes (or of 30-point polygons) as Objects365 has them, reads it once, and
prints JSON: its size, the seconds, and by how much the process grew at its peak.

    python benchmarks/speed/training_table.py --objects 1000000
    python benchmarks/speed/training_table.py --objects 200000 --masks
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from ovsam.training.data.coco import read_coco_table

CLASSES = 365


def write_file(path: Path, images: int, objects: int, with_masks: bool) -> None:
    """Write a file of random objects."""
    random = np.random.default_rng(0)
    rows = [
        {"id": i, "file_name": f"images/v1/patch{i % 50}/{i:08d}.jpg", "height": 512, "width": 769}
        for i in range(images)
    ]
    names = [{"id": i + 1, "name": f"class {i}"} for i in range(CLASSES)]
    with path.open("w") as file:
        file.write(f'{{"images": {json.dumps(rows)}, "categories": {json.dumps(names)}, ')
        file.write('"annotations": [')
        for number in range(objects):
            box = random.uniform(1, 300, 4).round(2).tolist()
            row = {
                "id": number + 1,
                "image_id": int(random.integers(images)),
                "category_id": int(random.integers(CLASSES)) + 1,
                "bbox": box,
                "area": round(box[2] * box[3], 2),
                "iscrowd": 0,
            }
            if with_masks:
                row["segmentation"] = [random.uniform(1, 300, 60).round(2).tolist()]
            file.write((", " if number else "") + json.dumps(row))
        file.write("]}")


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--masks", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.json"
        # Another process writes, so that its memory is not in this one's peak.
        _write_apart(path, options)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        table = read_coco_table(path, options.masks)
        seconds = time.perf_counter() - started
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        found = {
            "objects": len(table.category),
            "images": len(table.image_ids),
            "file_mb": round(path.stat().st_size / 1e6, 1),
            "seconds": round(seconds, 2),
            "peak_grew_by_mb": round(grown / 1e3, 1),
        }
    print(json.dumps(found, indent=2))


def _write_apart(path: Path, options: argparse.Namespace) -> None:
    """Write the file in a child process."""
    import multiprocessing

    arguments = (path, options.images, options.objects, options.masks)
    child = multiprocessing.get_context("spawn").Process(target=write_file, args=arguments)
    child.start()
    child.join()
    if child.exitcode:
        raise SystemExit(f"writing the file failed with code {child.exitcode}")


if __name__ == "__main__":
    main()
