"""Speed and memory of `annotations.json`: by columns, and by python objects as the plain way.

    python benchmarks/speed/export_coco.py [--images 200000] [--objects-per-image 3] \
        [--part-images 64]

Draws parts as `ovsam label` writes them (deterministic; file names are numbered, so every part has
rows of its own), and prints one JSON object. The plain way is to_pylist and orjson, one dict an
object, on a tenth of the rows; it needs the same two passes. Each measurement is a process
of its own: peak memory is the process's, and what it had before it began is shown beside it.
Processor seconds count all threads; on a machine that others use they are the better measure.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from ovsam_pipeline.commands.report_counts import collect_report
from ovsam_pipeline.export.coco import export_coco
from ovsam_pipeline.export.row_counts import count_output
from ovsam_pipeline.output.folder import list_parts
from ovsam_pipeline.output.parts import SCHEMA, open_parquet, write_part
from ovsam_pipeline.records import BoxRecord, LabelRecord, ObjectRecord

NUM_CLASSES = 1203
COUNTS_LENGTH = 250
VARIANTS = 16
OPTIONAL = ("detector_category", "detector_margin", "model_category", "model_score", "prompt_id")


def main() -> None:
    """Draw the parts, then measure each way in a process of its own."""
    options = parse_options()
    if options.only:
        print(json.dumps(measure(options.only, options.output)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        sizes = {
            "small": options.images // 10,
            "large": options.images,
            "plain": options.images // options.plain_share,
        }
        outputs = {name: Path(folder, name) for name in sizes}
        for name, num_images in sizes.items():
            draw_output(outputs[name], num_images, options)
        result = {
            "cpus": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
            "objects_per_image": options.objects_per_image,
            "part_images": options.part_images,
            "plain": run_alone("plain", outputs["plain"]),
            "export_small": run_alone("export", outputs["small"]),
            "export_large": run_alone("export", outputs["large"]),
            "count_large": run_alone("count", outputs["large"]),
            "report_large": run_alone("report", outputs["large"]),
        }
    result["times_faster"] = compare(result, "objects_per_s")
    result["times_faster_processor"] = compare(result, "objects_per_processor_s")
    print(json.dumps(result, indent=2))


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--objects-per-image", type=int, default=3)
    parser.add_argument("--part-images", type=int, default=64, help="64 is ovsam's default")
    parser.add_argument("--plain-share", type=int, default=10, help="the plain way gets 1/N")
    parser.add_argument("--folder", help="where the parts are drawn; a temporary folder")
    parser.add_argument("--only", choices=("plain", "export", "count", "report"))
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


def draw_output(output: Path, num_images: int, options: argparse.Namespace) -> None:
    """Write parts of `num_images` images, one in fifty failed."""
    (output / "parts").mkdir(parents=True)
    names = [{"id": index, "name": f"class {index}"} for index in range(NUM_CLASSES)]
    (output / "run.json").write_text(json.dumps({"ovsam": "0", "categories": names}))
    rng = np.random.default_rng(0)
    variants = [draw_objects(rng, options.objects_per_image) for _ in range(VARIANTS)]
    for start in range(0, num_images, options.part_images):
        numbers = range(start, min(start + options.part_images, num_images))
        rows = [draw_row(number, variants[number % VARIANTS]) for number in numbers]
        write_part(output / "parts", rows, "benchmark", SCHEMA)


def draw_row(number: int, objects: tuple[ObjectRecord, ...]) -> LabelRecord:
    """Return a row whose id says nothing of its place, as ids of folders do."""
    image_id = number * 0x9E3779B97F4A7C15 % 2**53
    name = f"folder {number // 1000}/{number:09d}.jpg"
    if number % 50 == 49:
        error = "file not found"
        return LabelRecord(image_id, name, None, None, "failed", error, (), name)
    return LabelRecord(image_id, name, 640, 480, "labelled", None, objects, name)


def draw_objects(rng: np.random.Generator, count: int) -> tuple[ObjectRecord, ...]:
    """Return objects with run lengths of COUNTS_LENGTH characters."""
    found = []
    for _ in range(count):
        class_id, other = (int(number) for number in rng.integers(NUM_CLASSES, size=2))
        scores = [float(number) for number in rng.random(6, np.float32)]
        box = tuple(float(number) for number in rng.integers(640, size=4))
        letters = rng.integers(ord("0"), ord("0") + 64, COUNTS_LENGTH).astype(np.uint8)
        found.append(
            ObjectRecord(
                BoxRecord(box, scores[1], f"class {other}"),
                bbox=box,
                category_id=class_id,
                category=f"class {class_id}",
                score=scores[0],
                margin=scores[2],
                mask_score=scores[3],
                area=int(rng.integers(300_000)),
                segmentation={"size": [480, 640], "counts": letters.tobytes().decode("ascii")},
                detector_margin=scores[4],
                model_category=f"class {class_id}",
                model_score=scores[5],
            )
        )
    return tuple(found)


def run_alone(way: str, output: Path) -> dict[str, Any]:
    """Measure one way in a process of its own."""
    command = [sys.executable, __file__, "--only", way, "--output", str(output)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(way: str, output: Path) -> dict[str, Any]:
    """Return seconds, rates and peak memory of one way."""
    target = output / "annotations.json"
    ways = {
        "plain": lambda: export_plainly(output, target),
        "export": lambda: export_coco(output, target).to_dict(),
        "count": lambda: count_output(output).to_dict(),
        "report": lambda: collect_report(output),
    }
    before_mb = get_peak_mb()
    start, start_processor = time.perf_counter(), time.process_time()
    counts = ways[way]()
    seconds = time.perf_counter() - start
    processor = time.process_time() - start_processor
    found = {
        "images": counts["images"],
        "objects": counts["objects"],
        "parts": len(list_parts(output)),
        "seconds": round(seconds, 2),
        "processor_s": round(processor, 2),
        "objects_per_s": round(counts["objects"] / seconds),
        "objects_per_processor_s": round(counts["objects"] / processor),
        "peak_mb": round(get_peak_mb()),
        "before_mb": round(before_mb),
    }
    if target.exists():
        found["file_mb"] = round(target.stat().st_size / 1e6)
        target.unlink()
    return found


def get_peak_mb() -> float:
    """Return the most memory that this process has had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def compare(result: dict[str, Any], rate: str) -> float:
    """Return how many times as fast the export is as the plain way."""
    return round(result["export_large"][rate] / result["plain"][rate], 1)


def export_plainly(output: Path, target: Path) -> dict[str, int]:
    """Write the same file from python objects: to_pylist, a dict an object, orjson."""
    rows = [
        (row["image_id"], len(row["objects"] or ()))
        for row in iterate_plainly(output, ["image_id", "objects.list.element.bbox"])
    ]
    first_ids, next_id = {}, 1
    for image_id, num_objects in sorted(rows):
        first_ids[image_id], next_id = next_id, next_id + num_objects
    with target.open("wb") as stream:
        stream.write(b'{"images":[\n')
        columns = ["image_id", "file_name", "width", "height", "status"]
        for row in iterate_plainly(output, columns):
            if row.pop("status") != "failed":
                row["id"] = row.pop("image_id")
                stream.write(orjson.dumps(row) + b",\n")
        stream.write(b'],"annotations":[\n')
        for row in iterate_plainly(output, ["image_id", "objects"]):
            for offset, item in enumerate(row["objects"] or ()):
                values = describe(first_ids[row["image_id"]] + offset, row["image_id"], item)
                stream.write(orjson.dumps(values) + b",\n")
        stream.write(b"]}\n")
    return {"images": len(rows), "objects": next_id - 1}


def iterate_plainly(output: Path, columns: list[str]) -> Iterator[dict[str, Any]]:
    """Yield rows as dicts."""
    for part in list_parts(output):
        with open_parquet(part) as stream:
            for batch in stream.iter_batches(64, columns=columns):
                yield from batch.to_pylist()


def describe(annotation_id: int, image_id: int, item: dict[str, Any]) -> dict[str, Any]:
    """Return one annotation."""
    plain = {"id": annotation_id, "image_id": image_id, "iscrowd": 0}
    plain |= {name: item[name] for name in ("category_id", "segmentation", "area")}
    plain["bbox"] = [round(side, 2) for side in item["bbox"]]
    for name in ("score", "detector_score", *OPTIONAL):
        value = item[name]
        if value is not None:
            plain[name] = float(str(np.float32(value))) if isinstance(value, float) else value
    return plain


if __name__ == "__main__":
    main()
