"""`ovsam label` against a bare loop around the same networks, on the same images, in one run.

    python benchmarks/speed/label_vs_bare_loop.py --images FOLDER [--model nano] [--detector nano]

The bare loop decodes, detects, drops duplicates, encodes and segments (masks as RLE), one image
after the other, and throws the result away. The pipeline does the same and writes Parquet parts.
Both are timed from the first image to the last, alternating, in this process, after a warm-up; the
command's fixed costs (loading, annotations.json) are timed apart. On a machine that others use too,
the ratio in processor time is the steadier one; give --threads 1 there, as OpenMP's waiting threads
slow the bare loop many times over when other work takes their cores. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ovsam.structures import Prompts
from ovsam_pipeline.detectors.base import DetectorImage
from ovsam_pipeline.engines.engine import Work
from ovsam_pipeline.engines.local import LocalEngine
from ovsam_pipeline.export.coco import export_coco
from ovsam_pipeline.labelling.build import build_labeller
from ovsam_pipeline.labelling.labeller import Labeller
from ovsam_pipeline.labelling.stats import ShardStats
from ovsam_pipeline.monitoring.report import RunReport
from ovsam_pipeline.monitoring.stopping import StopRequest
from ovsam_pipeline.output.folder import OutputFolder
from ovsam_pipeline.output.parts import PartWriter
from ovsam_pipeline.output.plan import Plan
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.sources.listing import list_images


def main() -> None:
    """Time both sides and print what was found."""
    options = parse_options()
    logging.disable(logging.INFO)
    if options.threads:
        torch.set_num_threads(options.threads)
    images = tuple(list_images([options.images]))
    images = (images * (1 + options.count // len(images)))[: options.count or len(images)]
    images = tuple(
        replace(image, file_name=f"{index}/{image.file_name}", image_id=index)
        for index, image in enumerate(images)
    )
    start_s = time.perf_counter()
    config = LabelConfig(sources=(options.images,), model=options.model, detector=options.detector)
    labeller = build_labeller(config)
    load_s = time.perf_counter() - start_s
    run_bare_loop(images[:8], labeller)
    run_pipeline(images[:8], labeller)
    bare, pipeline = [], []
    for _ in range(options.repeats):
        bare.append(run_bare_loop(images, labeller))
        pipeline.append(run_pipeline(images, labeller))
    report(options, images, labeller, load_s, bare, pipeline)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--detector", default="nano")
    parser.add_argument("--count", type=int, default=0, help="images; repeats the folder's")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 leaves its default")
    return parser.parse_args()


def run_bare_loop(images: tuple[ImageRecord, ...], labeller: Labeller) -> dict[str, Any]:
    """Return what the plain loop took."""
    mode = labeller.mode
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    for record in images:
        rgb = labeller.decode(record)
        (found,) = labeller.detector.detect([DetectorImage(record, rgb)])
        found, _ = mode.choose_boxes(found, rgb.shape[:2])
        if not len(found):
            continue
        (encoded,) = mode.predictor.encode([mode.prepare(rgb)])
        mode.predictor.segment(encoded, Prompts(found.boxes_xyxy), masks="rle")
    return _measure(len(images), start_s, start_cpu_s)


def _measure(num_images: int, start_s: float, start_cpu_s: float) -> dict[str, Any]:
    """Return images a second of wall time and of processor time (all threads together)."""
    return {
        "images_per_s": num_images / (time.perf_counter() - start_s),
        "images_per_cpu_s": num_images / (time.process_time() - start_cpu_s),
    }


def run_pipeline(images: tuple[ImageRecord, ...], labeller: Labeller) -> dict[str, Any]:
    """Return what one run of the pipeline took, writing included."""
    with tempfile.TemporaryDirectory() as folder, OutputFolder(Path(folder)) as held:
        stats = ShardStats()
        writer = PartWriter(
            held.parts_folder,
            labeller.facts.fingerprint,
            max_images=labeller.facts.config.part_images or 64,
            max_seconds=labeller.facts.config.part_seconds or 10.0,
        )
        counted = RunReport(len(images))
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        engine = LocalEngine(labeller)
        engine.label(Work(Plan(images), writer, counted, StopRequest(), stats))
        rates = _measure(len(images), start_s, start_cpu_s)
        held.write_run_file({"categories": labeller.facts.categories})
        start_s = time.perf_counter()
        export_coco(held.path, held.path / "annotations.json")
        return {
            **rates,
            "annotations_s": time.perf_counter() - start_s,
            "objects": counted.objects,
            "failed": counted.failed,
            "stage_seconds": dict(stats.seconds),
        }


def report(
    options: argparse.Namespace,
    images: tuple[ImageRecord, ...],
    labeller: Labeller,
    load_s: float,
    bare: list[dict[str, Any]],
    pipeline: list[dict[str, Any]],
) -> None:
    """Print medians, and the ratio of each neighbouring pair."""
    ratios = {
        clock: [ours[clock] / plain[clock] for ours, plain in zip(pipeline, bare, strict=True)]
        for clock in ("images_per_s", "images_per_cpu_s")
    }
    last = pipeline[-1]
    found = {
        "images": len(images),
        "objects": last["objects"],
        "failed": last["failed"],
        "model": options.model,
        "detector": options.detector,
        "torch_threads": torch.get_num_threads(),
        "workers": labeller.pace.workers,
        "bare_images_per_s": round(statistics.median(p["images_per_s"] for p in bare), 2),
        "label_images_per_s": round(statistics.median(p["images_per_s"] for p in pipeline), 2),
        "ratio_median": round(statistics.median(ratios["images_per_s"]), 3),
        "ratio_median_cpu_time": round(statistics.median(ratios["images_per_cpu_s"]), 3),
        "ratios": [round(ratio, 3) for ratio in ratios["images_per_s"]],
        "load_s": round(load_s, 2),
        "annotations_s": round(last["annotations_s"], 3),
        "stage_seconds": {name: round(s, 2) for name, s in last["stage_seconds"].items()},
    }
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
