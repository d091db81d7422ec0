"""Our evaluation against pycocotools or lvis-api, from files to numbers; prints one JSON object.

    python benchmarks/speed/eval_engines.py --style coco --images 5000 --type segm
    python benchmarks/speed/eval_engines.py --style lvis --images 19809 --per-image 300 --type bbox

Draws a data set and predictions (a third of them moved copies of annotations), then lets each side
read and measure them in a process of its own: seconds, peak memory, ratios, and the largest
difference between the numbers. Needs `pip install '.[reference]'`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

HEIGHT, WIDTH = 480, 640
POOL = 1500
CLASSES = {"coco": 80, "lvis": 1203}


def draw_pool(generator: np.random.Generator) -> list[dict[str, object]]:
    """Blobs of many sizes: polygon, run lengths, box, area."""
    shapes = []
    for _ in range(POOL):
        radius = np.exp(generator.uniform(np.log(6), np.log(140)))
        angles = np.sort(generator.uniform(0, 2 * np.pi, int(generator.integers(8, 40))))
        radii = radius * generator.uniform(0.7, 1, len(angles))
        centre = generator.uniform((0, 0), (WIDTH, HEIGHT))
        x = np.clip(centre[0] + radii * np.cos(angles), 0, WIDTH - 1).round(2)
        y = np.clip(centre[1] + radii * np.sin(angles), 0, HEIGHT - 1).round(2)
        polygon = np.stack([x, y], axis=1).ravel().tolist()
        rle = coco_mask.merge(coco_mask.frPyObjects([polygon], HEIGHT, WIDTH))
        box = [float(v) for v in coco_mask.toBbox(rle)]
        area = float(coco_mask.area(rle))
        if area < 9:
            continue
        text = {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()}
        shapes.append({"polygon": polygon, "rle": text, "box": box, "area": area})
    return shapes


def find_similar(shapes: list[dict[str, object]], generator: np.random.Generator) -> list[dict]:
    """For each shape one that overlaps it well: itself, moved and grown a little."""
    similar = []
    for shape in shapes:
        points = np.array(shape["polygon"]).reshape(-1, 2)
        centre = points.mean(axis=0)
        grown = centre + (points - centre) * generator.uniform(0.8, 1.15)
        moved = grown + generator.normal(0, 0.06, 2) * np.ptp(points, axis=0)
        moved = np.clip(moved, 0, (WIDTH - 1, HEIGHT - 1))
        rle = coco_mask.merge(coco_mask.frPyObjects([moved.ravel().tolist()], HEIGHT, WIDTH))
        box = [float(v) for v in coco_mask.toBbox(rle)]
        text = {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()}
        similar.append({"rle": text, "box": box})
    return similar


def write_list(stream: io.TextIOBase, items: Iterable[object]) -> None:
    """Write a JSON array item by item."""
    stream.write("[")
    for index, item in enumerate(items):
        stream.write((",\n" if index else "") + json.dumps(item, separators=(",", ":")))
    stream.write("]")


def draw(folder: Path, style: str, images: int, per_image: int, iou_type: str, seed: int) -> None:
    """Write truth.json and results.json."""
    generator = np.random.default_rng(seed)
    shapes = draw_pool(generator)
    similar = find_similar(shapes, generator)
    num_classes = CLASSES[style]
    weights = 1 / np.arange(1, num_classes + 1)
    weights /= weights.sum()
    annotations, entries = [], []
    with (folder / "results.json").open("w") as stream:
        stream.write("[")
        for image_id in range(1, images + 1):
            entry = {"id": image_id, "height": HEIGHT, "width": WIDTH, "file_name": f"{image_id}"}
            count = int(generator.poisson(12 if style == "lvis" else 7))
            classes = generator.choice(num_classes, count, p=weights) + 1
            picked = generator.integers(0, len(shapes), count)
            for category_id, index in zip(classes.tolist(), picked.tolist(), strict=True):
                shape, is_crowd = shapes[index], int(style == "coco" and generator.random() < 0.01)
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": image_id, "category_id": category_id,
                     "bbox": shape["box"], "area": shape["area"], "iscrowd": is_crowd,
                     "segmentation": shape["rle"] if is_crowd else [shape["polygon"]]}
                )  # fmt: skip
            if style == "lvis":
                known = generator.choice(num_classes, 20, p=weights) + 1
                entry["neg_category_ids"] = sorted(set(known.tolist()) - set(classes.tolist()))
                entry["not_exhaustive_category_ids"] = classes[:1].tolist()
            entries.append(entry)
            for number in range(per_image):
                is_copy = count and generator.random() < 0.33
                place = int(generator.integers(0, count)) if is_copy else 0
                shape = similar[picked[place] if is_copy else generator.integers(len(similar))]
                is_named = is_copy and generator.random() < 0.7
                category = classes[place] if is_named else generator.integers(1, num_classes + 1)
                score = round(float(generator.beta(2, 2 if is_named else 5)), 3)
                result = {
                    "image_id": image_id, "category_id": int(category), "bbox": shape["box"],
                    "score": score,
                }  # fmt: skip
                if iou_type == "segm":
                    result["segmentation"] = shape["rle"]
                is_first = image_id == 1 and not number
                stream.write(("" if is_first else ",") + json.dumps(result, separators=(",", ":")))
        stream.write("]")
    categories = [
        {"id": n, "name": f"class {n}", "frequency": "fcr"[min(2, n // 400)], "synonyms": []}
        for n in range(1, num_classes + 1)
    ]
    with (folder / "truth.json").open("w") as stream:
        stream.write('{"images":')
        write_list(stream, entries)
        stream.write(',"annotations":')
        write_list(stream, annotations)
        stream.write(f',"categories":{json.dumps(categories)}}}')


def run_ours(folder: Path, iou_type: str, style: str) -> tuple[dict[str, float], float]:
    """Return the metrics and the seconds of reading."""
    from ovsam_pipeline.evaluation.reading.predictions import read_predictions
    from ovsam_pipeline.evaluation.reading.truth import read_ground_truth
    from ovsam_pipeline.evaluation.scoring.average_precision import score_detections

    start_s = time.perf_counter()
    truth = read_ground_truth(folder / "truth.json", style=style)
    _, predictions = read_predictions(folder / "results.json", truth)
    load_s = time.perf_counter() - start_s
    return score_detections(truth, predictions, iou_type).metrics, load_s


def run_reference(folder: Path, iou_type: str, style: str) -> tuple[dict[str, float], float]:
    """The same by pycocotools or lvis-api."""
    start_s = time.perf_counter()
    if style == "lvis":
        np.__dict__["float"] = float  # lvis 0.5.3 with numpy 2; this process only
        from lvis import LVIS, LVISEval, LVISResults

        truth = LVIS(str(folder / "truth.json"))
        evaluation = LVISEval(truth, LVISResults(truth, str(folder / "results.json")), iou_type)
        load_s = time.perf_counter() - start_s
        evaluation.run()
        return {k: float(v) for k, v in evaluation.get_results().items()}, load_s
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO(str(folder / "truth.json"))
    evaluation = COCOeval(truth, truth.loadRes(str(folder / "results.json")), iou_type)
    load_s = time.perf_counter() - start_s
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR@1", "AR@10", "AR@100")
    return dict(zip(names, map(float, evaluation.stats), strict=False)), load_s


def run_side(side: str, folder: Path, iou_type: str, style: str, memory_gb: float) -> None:
    """Measure one side in this process; print it."""
    resource.setrlimit(resource.RLIMIT_DATA, (int(memory_gb * 2**30),) * 2)
    start_s = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        metrics, load_s = (run_ours if side == "ours" else run_reference)(folder, iou_type, style)
    total_s = time.perf_counter() - start_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report = {"seconds": total_s, "load_s": load_s, "peak_mb": peak_mb, "metrics": metrics}
    print(json.dumps(report))


def start_side(side: str, arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Measure one side in a process of its own; "failed" says why there is no measurement."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    command += ["--style", arguments.style, "--type", arguments.type]
    command += ["--memory-gb", str(arguments.memory_gb)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=arguments.limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not finished after {arguments.limit_s:g} s"}
    if "MemoryError" in done.stderr or done.returncode == -signal.SIGKILL:
        return {"failed": f"needs more than {arguments.memory_gb:g} GB"}
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--style", choices=("coco", "lvis"), default="coco")
    parser.add_argument("--type", choices=("bbox", "segm"), default="segm")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--per-image", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit-s", type=float, default=3600)
    parser.add_argument("--memory-gb", type=float, default=14)
    parser.add_argument("--side", choices=("ours", "reference"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run_side(
            arguments.side, arguments.folder, arguments.type, arguments.style, arguments.memory_gb
        )
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(
            folder, arguments.style, arguments.images, arguments.per_image, arguments.type,
            arguments.seed,
        )  # fmt: skip
        sides = {side: start_side(side, arguments, folder) for side in ("ours", "reference")}
    report: dict[str, object] = {"case": {**vars(arguments)}, **sides}
    del report["case"]["side"], report["case"]["folder"]  # type: ignore[attr-defined]
    ours, reference = sides["ours"], sides["reference"]
    if "failed" not in ours and "failed" not in reference:
        shared = ours["metrics"].keys() & reference["metrics"].keys()
        report["times_faster"] = reference["seconds"] / ours["seconds"]
        report["share_of_memory"] = ours["peak_mb"] / reference["peak_mb"]
        report["compared"] = sorted(shared)
        report["largest_difference"] = max(
            abs(ours["metrics"][key] - reference["metrics"][key]) for key in shared
        )
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
