"""Seconds and memory of `ovsam export`, per format, for a million objects.

    python benchmarks/trust/export_speed.py [--objects 1000000] [--formats yolo,coco,polygons,masks]

Draws 640 x 480 images with 10 objects each: wavy blobs of 6 to 200 pixels, one in ten with a hole,
one in twenty in two parts (deterministic); pictures are left out, as copying them measures the
disk. Each format runs in a process of its own, on one core: processor seconds are printed beside
wall time, since others may use the machine. Prints one JSON object; the goal is a million objects
to YOLO in 60 seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ovsam.masks import compute_tight_boxes, encode_mask
from ovsam_pipeline.export.coco_choice import export_coco_as
from ovsam_pipeline.export.masks import export_masks
from ovsam_pipeline.export.options import ExportOptions
from ovsam_pipeline.export.yolo import export_yolo
from ovsam_pipeline.output.parts import write_part
from ovsam_pipeline.records import BoxRecord, LabelRecord, ObjectRecord

HEIGHT, WIDTH, PER_IMAGE, PART_IMAGES, VARIANTS = 480, 640, 10, 512, 200
NUM_CLASSES = 80
FORMATS = {
    "yolo": (export_yolo, ExportOptions(images="none")),
    "coco": (export_coco_as, ExportOptions()),
    "polygons": (export_coco_as, ExportOptions(polygons=True)),
    "masks": (export_masks, ExportOptions(images="none")),
}


def main() -> None:
    """Draw the output, then measure each format in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--formats", default="yolo,coco,polygons")
    parser.add_argument("--folder", help="where all is written; a temporary folder")
    parser.add_argument("--only")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, Path(options.folder))))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        draw_output(Path(folder, "out"), options.objects // PER_IMAGE)
        command = [sys.executable, __file__, "--folder", folder, "--only"]
        found = {}
        for name in options.formats.split(","):
            done = subprocess.run([*command, name], stdout=subprocess.PIPE, text=True, check=True)
            found[name] = json.loads(done.stdout)
    load = round(os.getloadavg()[0], 1)
    print(json.dumps({"objects": options.objects, "load": load, **found}, indent=2))


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Return seconds, seconds of the processor and megabytes that one format takes."""
    export, options = FORMATS[name]
    target = folder / f"{name}.json"
    if name in ("yolo", "masks"):
        target = folder / name
        target.mkdir()
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    summary = export(folder / "out", target, options)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "objects": summary.objects,
        "wall_s": round(wall, 1),
        "processor_s": round(processor, 1),
        "system_s": round(after.ru_stime - before.ru_stime, 1),
        "peak_mb": after.ru_maxrss // 1024,
        "before_mb": before.ru_maxrss // 1024,
    }


def draw_output(output: Path, num_images: int) -> None:
    """Write the parts of an output of `ovsam label`."""
    (output / "parts").mkdir(parents=True)
    names = [{"id": index, "name": f"class {index}"} for index in range(NUM_CLASSES)]
    (output / "run.json").write_text(json.dumps({"ovsam": "0", "categories": names}))
    rng = np.random.default_rng(0)
    variants = [draw_object(rng) for _ in range(VARIANTS)]
    for start in range(0, num_images, PART_IMAGES):
        rows = []
        for number in range(start, min(start + PART_IMAGES, num_images)):
            chosen = rng.integers(VARIANTS, size=PER_IMAGE)
            objects = tuple(variants[index] for index in chosen)
            image_id = number * 0x9E3779B97F4A7C15 % 2**53
            name = f"folder {number // 1000}/{number:09d}.jpg"
            rows.append(LabelRecord(image_id, name, WIDTH, HEIGHT, "labelled", None, objects, name))
        write_part(output / "parts", rows, "benchmark")


def draw_object(rng: np.random.Generator) -> ObjectRecord:
    """Return an object whose outline is about as long as one that a network draws."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    radius = float(np.exp(rng.uniform(np.log(3), np.log(100))))
    centre = rng.uniform(0, 1, 2) * (WIDTH, HEIGHT)
    mask = draw_blob(x - centre[0], y - centre[1], radius, rng)
    if rng.random() < 0.1:
        mask &= np.hypot(x - centre[0], y - centre[1]) > radius / 3
    if rng.random() < 0.05:
        mask |= draw_blob(x - centre[0] + 2.5 * radius, y - centre[1], radius / 2, rng)
    rle = encode_mask(mask)
    box = tuple(compute_tight_boxes([rle])[0].tolist())
    class_id = int(rng.integers(NUM_CLASSES))
    prompt = BoxRecord(box, 0.5, f"class {class_id}")
    name = f"class {class_id}"
    area = int(mask.sum())
    return ObjectRecord(prompt, box, class_id, name, 0.5, 0.5, 0.5, area, rle, name, 0.5)


def draw_blob(x: np.ndarray, y: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Return an ellipse with a wavy outline around (0, 0)."""
    stretch, waves, phase = rng.uniform(0.5, 2), rng.integers(3, 12), rng.uniform(0, 6)
    edge = radius * (1 + 0.12 * np.sin(waves * np.arctan2(y, x) + phase))
    return np.hypot(x, y * stretch) <= edge


if __name__ == "__main__":
    main()
