"""How long `ovsam filter` takes on a million stored objects, and how much memory.

    python benchmarks/trust/filter_speed.py [--objects 1000000] [--folder FOLDER] [--json]

Makes an output of `ovsam label` with masks of drawn ellipses, 10 objects an image and 64 images a
part as a run writes them, and filters it by score, risk, area, rules of classes and renames, all at
once. Printed are wall and processor time beside each other, as machines are shared, and the peak
of memory. The goal is 10 s for a million objects.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pycocotools import mask as coco_mask

from ovsam_pipeline.labelling.filter_rules import FilterConfig
from ovsam_pipeline.output.done_index import PartIndex, compute_keys
from ovsam_pipeline.output.parts import SCHEMA, write_part_table
from ovsam_pipeline.records import UNKNOWN_ORIGIN, compute_image_id
from ovsam_pipeline.runs.filtering import run_filter

_HEIGHT, _WIDTH = 480, 640
_OBJECTS_AN_IMAGE, _IMAGES_A_PART, _CLASSES = 10, 64, 80


def main() -> None:
    """Make the output, filter it, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="keep the outputs there")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = _measure(given.objects, given.folder or Path(scratch))
    if given.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:32} {value:,.2f}" if isinstance(value, float) else f"{name:32} {value:,}")


def _measure(num_objects: int, folder: Path) -> dict[str, float]:
    source, target = folder / "labels", folder / "filtered"
    if not source.exists():
        _make_output(source, num_objects)
    rules = folder / "rules.json"
    rules.write_text(json.dumps(_make_rules()))
    config = FilterConfig(
        min_score=0.3, max_risk=0.9, min_area="0.05%", rules=str(rules), renames=("c7=c8", "c9=new")
    )
    memory_before = _read_peak_mb()
    wall_s, processor_s = time.perf_counter(), time.process_time()
    result = run_filter(source, target, config, "overwrite")
    wall_s, processor_s = time.perf_counter() - wall_s, time.process_time() - processor_s
    peak_mb = _read_peak_mb()
    return {
        "objects": num_objects,
        "objects kept": result.totals.objects,
        "wall time, s": wall_s,
        "processor time, s": processor_s,
        "memory before, MB": memory_before,
        "peak of memory, MB": peak_mb,
    }


def _make_rules() -> dict[str, dict[str, object]]:
    """Rules for half of the classes."""
    kinds = ({"conf": 0.5}, {"min_area": 900}, {"max_per_image": 1}, {"ignore": True})
    return {f"c{n}": kinds[n % len(kinds)] for n in range(20, 60)}


def _make_output(output: Path, num_objects: int) -> None:
    random = np.random.default_rng(0)
    masks = _draw_masks(random, 512)
    (output / "parts").mkdir(parents=True)
    num_images = num_objects // _OBJECTS_AN_IMAGE
    for start in range(0, num_images, _IMAGES_A_PART):
        names = [f"{n:08d}.jpg" for n in range(start, min(start + _IMAGES_A_PART, num_images))]
        keys = compute_keys(names)
        no = np.zeros(len(names), bool)
        index = PartIndex("0" * 32, keys, keys, no, no, (UNKNOWN_ORIGIN,), no.astype(np.uint32))
        path = output / "parts" / f"part-{keys[0]:016x}.parquet"
        write_part_table(path, _make_table(random, names, masks), index)
    run = {
        "ovsam": "0",
        "state": "finished",
        "fingerprint": "0" * 32,
        "categories": [{"id": n + 1, "name": f"c{n}"} for n in range(_CLASSES)],
    }
    (output / "run.json").write_text(json.dumps(run))


def _make_table(random: np.random.Generator, names: list[str], masks: list[dict]) -> pa.Table:
    rows = []
    for name in names:
        objects = []
        for _ in range(_OBJECTS_AN_IMAGE):
            mask = masks[random.integers(len(masks))]
            number, (score, risk, other) = random.integers(_CLASSES), random.random(3)
            objects.append(
                {
                    "bbox": mask["bbox"],
                    "category_id": int(number) + 1,
                    "category": f"c{number}",
                    "score": score,
                    "detector_score": other,
                    "detector_category": f"c{number}",
                    "margin": other,
                    "mask_score": other,
                    "area": mask["area"],
                    "segmentation": {"size": [_HEIGHT, _WIDTH], "counts": mask["counts"]},
                    "model_category": f"c{number}",
                    "model_score": score,
                    "detector_box_xyxy": mask["bbox"],
                    "head_score": other,
                    "clip_score": score,
                    "risk": risk,
                    "reason": "mask unstable" if risk > 0.8 else None,
                }
            )
        rows.append(
            {
                "image_id": compute_image_id(name),
                "file_name": name,
                "width": _WIDTH,
                "height": _HEIGHT,
                "status": "labelled",
                "objects": objects,
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _draw_masks(random: np.random.Generator, count: int) -> list[dict]:
    import cv2

    found = []
    for _ in range(count):
        canvas = np.zeros((_HEIGHT, _WIDTH), np.uint8)
        centre = (int(random.integers(80, 560)), int(random.integers(80, 400)))
        axes = (int(random.integers(5, 80)), int(random.integers(5, 80)))
        cv2.ellipse(canvas, centre, axes, float(random.integers(180)), 0, 360, 1, -1)
        rle = coco_mask.encode(np.asfortranarray(canvas))
        found.append(
            {
                "counts": rle["counts"].decode(),
                "area": int(coco_mask.area(rle)),
                "bbox": coco_mask.toBbox(rle).tolist(),
            }
        )
    return found


def _read_peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
