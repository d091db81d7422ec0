"""Images/s and peak memory of the detectors at their native size, float32 and bfloat16.

    python benchmarks/speed/detector_speed.py --detectors faster-rcnn \
        --dtypes fp32 bf16 --batches 1 8

One process a cell (detector, dtype, batch), each with a time limit: what takes longer is reported
as that. Weights are generated from parameter names (the arithmetic is the same as with real ones,
and boxes have useful sizes); the image is 480 x 640, so 800 x 1067 or 768 x 1024 when resized.
Prints one JSON object: seconds and images/s of the best repeat (resizing included), seconds of
resizing alone, peak memory while detecting, boxes found. A CPU without bfloat16 instructions
emulates them: bf16 is slower there.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
DETECTORS = (
    "faster-rcnn",
    "vitdet-b",
    "vitdet-l",
    "vitdet-h",
    "vitdet-b-lvis",
    "detic",
    "detic-r50",
)
IMAGE_HW = (480, 640)
DETIC_CLASSES = 1203


def build_network(name: str) -> Any:
    """Return a detector with generated weights, built without a second copy of them."""
    import torch

    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "parity")]
    from deterministic_detector_weights import make_state_dict, make_text_embeddings

    from ovsam_pipeline.detectors.official.rcnn.detic import build_detic
    from ovsam_pipeline.detectors.official.rcnn.faster_rcnn import build_faster_rcnn
    from ovsam_pipeline.detectors.official.rcnn.official_names import load_official_state
    from ovsam_pipeline.detectors.official.rcnn.vitdet import build_vitdet

    with torch.device("meta"):
        if name == "faster-rcnn":
            network = build_faster_rcnn()
        elif name.startswith("vitdet-"):
            classes = 1203 if name.endswith("-lvis") else 80
            network = build_vitdet(name.split("-")[1], classes)
        else:
            network = build_detic("r50" if name == "detic-r50" else "swinb")
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    load_official_state(network, make_state_dict(shapes, 0))
    if network.has_vocabulary:
        network.set_vocabulary(make_text_embeddings(DETIC_CLASSES, 0))
    return network


def reset_peak_memory() -> None:
    """Forget the peak of loading, where the system allows it (Linux)."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        print("peak memory includes loading", file=sys.stderr)


def read_peak_gb(device: str) -> float:
    """Return the peak since `reset_peak_memory`: the device's, or this process's."""
    import torch

    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 1e9
    status = Path("/proc/self/status")
    if status.exists():
        lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(lines[0].split()[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure one cell in this process."""
    import torch

    torch.set_num_threads(arguments.threads)
    network = build_network(arguments.detectors[0]).to(arguments.device)
    network.cast_body(getattr(torch, DTYPES[arguments.dtypes[0]]))
    from deterministic_detector_weights import make_detector_image

    count = arguments.batches[0]
    images = [make_detector_image(*IMAGE_HW, salt) for salt in range(count)]
    reset_peak_memory()
    runs = [time_once(network, images, arguments.device) for _ in range(arguments.repeats)]
    best = min(runs, key=lambda run: run["batch_s"])
    return {
        **best,
        "images_per_s": round(count / best["batch_s"], 4),
        "first_batch_s": runs[0]["batch_s"],
        "peak_gb": round(read_peak_gb(arguments.device), 2),
    }


def time_once(network: Any, images: list[Any], device: str) -> dict[str, Any]:
    """Prepare and detect one batch."""
    import torch

    from ovsam_pipeline.detectors.official.rcnn.resize import build_batch, prepare

    start = time.perf_counter()
    prepared = [prepare(image, network.recipe) for image in images]
    batch = build_batch([item.pixels for item in prepared], network.recipe)
    middle = time.perf_counter()
    sizes = [[getattr(p, name) for p in prepared] for name in ("resized_hw", "original_hw")]
    found = network.detect(batch.to(device), *sizes)
    if device != "cpu":
        torch.cuda.synchronize()
    return {
        "batch_s": round(time.perf_counter() - start, 3),
        "prepare_s": round(middle - start, 3),
        "boxes": [len(boxes.scores) for boxes in found],
        "input_hw": list(batch.shape[2:]),
    }


def run_cell(arguments: argparse.Namespace, detector: str, dtype: str, batch: int) -> Any:
    """Measure one cell in a process of its own; a text where there is no number."""
    options = {
        "detectors": detector,
        "dtypes": dtype,
        "batches": batch,
        "threads": arguments.threads,
        "repeats": arguments.repeats,
        "device": arguments.device,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, __file__, "--cell", *words]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, timeout=arguments.limit, check=True
        )
    except subprocess.TimeoutExpired:
        return f"over {arguments.limit} s, loading included"
    except subprocess.CalledProcessError as error:
        # A negative code is a signal: 9 is the system's answer to too much memory.
        return f"failed with exit code {error.returncode}"
    return json.loads(done.stdout)


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every cell asked for."""
    results: dict[str, Any] = {}
    for detector in arguments.detectors:
        for dtype in arguments.dtypes:
            for batch in arguments.batches:
                cell = run_cell(arguments, detector, dtype, batch)
                print(f"{detector}, {dtype}, batch {batch}: {cell}", file=sys.stderr)
                results[f"{detector}, {dtype}, batch {batch}"] = cell
    return {
        "threads": arguments.threads,
        "device": arguments.device,
        "image_hw": list(IMAGE_HW),
        "load_average": os.getloadavg()[0],
        "cells": results,
    }


def main() -> None:
    """Measure all cells, or one when asked for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    parser.add_argument("--dtypes", nargs="+", choices=tuple(DTYPES), default=["fp32", "bf16"])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--limit", type=float, default=900, help="seconds a cell may take")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cell", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments) if arguments.cell else compare(arguments), indent=1))


if __name__ == "__main__":
    main()
