"""Errors put into exact truth, and where `ovsam audit` and cleanlab's ObjectLab rank them.

    python benchmarks/trust/audit.py --data DATA [--scenes 200] [--seeds 1 2 3] [--noise .01 .05]
    python benchmarks/trust/audit.py --memory 100000 [--data DATA]

DATA is that of scene_labels.py: scenes, and nano's labels of them at --conf .05. Of all annotations
a share gets another name, a share is dropped, a share is shifted by 25 to 45 % of its sides, and as
many boxes of random size, place and name are invented. Annotations are boxes alone: a mask left in
its old place would give a shifted box away. The noisy boxes are asked about with nano; labels that
are there already (DATA/…/audit) are used again.

Objects: the share of the errors in the first 5, 10 and 20 % of the list, where 100 % is the number
of annotations. A dropped object is found where a finding's box overlaps it by .5. Images: AUROC of
those with an error. ObjectLab runs where `--cleanlab PYTHON` names a Python that has cleanlab.

--memory writes a data set and labels of so many images, audits them with the command in a process
of its own, and prints its seconds and peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scene_labels import find_folder

from ovsam_pipeline.terminal.tables import format_table

OVSAM = (sys.executable, "-m", "ovsam_pipeline")
KINDS = ("name", "shifted", "invented", "dropped")
SHARES = (0.05, 0.1, 0.2)
Box = list[float]


@dataclass(frozen=True)
class Noise:
    """A noisy data set, and what was done to it.

    Attributes:
        kind_of: annotation id → kind of its error.
        dropped: the annotations that are gone.
    """

    data: dict[str, Any]
    kind_of: dict[int, str]
    dropped: list[dict[str, Any]]

    @property
    def num_errors(self) -> int:
        """How many errors there are."""
        return len(self.kind_of) + len(self.dropped)

    @property
    def bad_images(self) -> set[int]:
        """Ids of the images with an error."""
        bad = {a["image_id"] for a in self.data["annotations"] if a["id"] in self.kind_of}
        return bad | {item["image_id"] for item in self.dropped}


def add_noise(truth: dict[str, Any], share: float, seed: int) -> Noise:
    """Return the data set with errors of each kind in a share of its annotations."""
    rng = random.Random(seed)
    sizes = {image["id"]: (image["width"], image["height"]) for image in truth["images"]}
    classes = [item["id"] for item in truth["categories"]]
    every = [{k: v for k, v in a.items() if k != "segmentation"} for a in truth["annotations"]]
    number = max(1, round(share * len(every)))
    chosen = rng.sample(range(len(every)), 4 * number)
    groups = [chosen[i * number : (i + 1) * number] for i in range(4)]
    kind_of: dict[int, str] = {}
    for index in groups[0]:
        item = every[index]
        item["category_id"] = rng.choice([c for c in classes if c != item["category_id"]])
        kind_of[item["id"]] = "name"
    for index in groups[1]:
        item = every[index]
        item["bbox"] = _shift(rng, item["bbox"], sizes[item["image_id"]])
        kind_of[item["id"]] = "shifted"
    dropped = [every[index] for index in groups[2]]
    next_id = max(a["id"] for a in every) + 1
    invented = []
    for offset, index in enumerate(groups[3]):
        width, height = rng.choice(every)["bbox"][2:]
        size = sizes[every[index]["image_id"]]
        left, top = (
            rng.uniform(0, max(1, s - w)) for s, w in zip(size, (width, height), strict=True)
        )
        item = {
            "id": next_id + offset,
            "image_id": every[index]["image_id"],
            "category_id": rng.choice(classes),
            "bbox": _clip([left, top, width, height], size),
            "iscrowd": 0,
        }
        invented.append(item)
        kind_of[item["id"]] = "invented"
    gone = set(groups[2])
    kept = [item for index, item in enumerate(every) if index not in gone] + invented
    for item in kept:
        item["area"] = item["bbox"][2] * item["bbox"][3]
    return Noise({**truth, "annotations": kept}, kind_of, dropped)


def _shift(rng: random.Random, box: Box, size: tuple[int, int]) -> Box:
    """Move a box by 25 to 45 % of each side; half of it at least stays in the image."""
    left, top, width, height = box
    for _ in range(50):
        dx, dy = (rng.choice((-1, 1)) * rng.uniform(0.25, 0.45) * side for side in (width, height))
        moved = _clip([left + dx, top + dy, width, height], size)
        if moved[2] * moved[3] > 0.5 * width * height:
            break
    return moved


def _clip(box: Box, size: tuple[int, int]) -> Box:
    left, top = max(0.0, box[0]), max(0.0, box[1])
    right, bottom = min(size[0], box[0] + box[2]), min(size[1], box[1] + box[3])
    return [left, top, max(0.0, right - left), max(0.0, bottom - top)]


def compute_iou(one: Box, other: Box) -> float:
    """Return the IoU of two boxes x, y, w, h."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared) if shared else 0.0


def audit_noise(folder: Path, noise: Noise, name: str) -> tuple[list[dict[str, Any]], Path]:
    """Run `ovsam audit` on a noisy data set; return its findings and the noisy file."""
    scenes, work = folder / "scenes", folder / "audit"
    work.mkdir(exist_ok=True)
    noisy = work / f"{name}.json"
    text = json.dumps(noise.data)
    if not noisy.is_file() or noisy.read_text() != text:
        noisy.write_text(text)
    asked, out = work / f"{name}_asked", work / f"{name}_audit"
    common = ("--image-root", str(scenes), "--quiet")
    label = ("label", str(noisy), "-o", str(asked), "--model", "nano")
    _run(*label, "--detector", f"gt:{noisy}", *common)
    given = ("--predictions", str(folder / "labels"), "--asked", str(asked))
    _run("audit", str(noisy), *given, "-o", str(out), "--least", "0", "--worst", "0", *common)
    lines = (out / "findings.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines], noisy


def _run(*arguments: str) -> None:
    result = subprocess.run([*OVSAM, *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"ovsam {' '.join(arguments)}: {result.stderr[-2000:]}")


def count_found(findings: Sequence[dict[str, Any]], noise: Noise, num: int) -> dict[str, int]:
    """Return how many errors of each kind the first findings hold."""
    counts = dict.fromkeys(KINDS, 0)
    hit: set[int] = set()
    for line in findings[:num]:
        number = line["annotation_id"]
        if number is not None:
            if number in noise.kind_of:
                counts[noise.kind_of[number]] += 1
            continue
        box = line["suggestion"]["bbox"]
        hit |= {
            item["id"]
            for item in noise.dropped
            if item["image_id"] == line["image_id"] and compute_iou(box, item["bbox"]) >= 0.5
        }
    return {**counts, "dropped": len(hit)}


def compute_auroc(scores: dict[int, float], bad: set[int]) -> float:
    """Return the AUROC of image id → suspicion."""
    ids = sorted(scores)
    values = np.array([scores[i] for i in ids])
    is_bad = np.array([i in bad for i in ids])
    wins = values[is_bad][:, None] - values[~is_bad][None]
    return float(((wins > 0) + 0.5 * (wins == 0)).mean())


def rank_images(findings: Sequence[dict[str, Any]], noise: Noise) -> dict[int, float]:
    """Return the suspicion of every image, as images.jsonl has it."""
    clean = {image["id"]: 1.0 for image in noise.data["images"]}
    for line in findings:
        clean[line["image_id"]] *= 1 - line["suspicion"]
    return {number: 1 - value for number, value in clean.items()}


_OBJECTLAB = """
import json, sys, numpy as np
from cleanlab.object_detection.rank import get_label_quality_scores
labels, predictions = json.load(open(sys.argv[1]))
labels = [
    {"bboxes": np.array(l["bboxes"]).reshape(-1, 4), "labels": np.array(l["labels"], int)}
    for l in labels
]
predictions = [[np.array(c).reshape(-1, 5) for c in p] for p in predictions]
print(json.dumps(get_label_quality_scores(labels, predictions, verbose=False).tolist()))
"""


def run_objectlab(python: str, folder: Path, noise: Noise) -> dict[int, float]:
    """Return 1 minus ObjectLab's quality of every image, from the same labels of nano."""
    import ovsam_pipeline

    class_of = {item["name"]: i for i, item in enumerate(noise.data["categories"])}
    index_of = {item["id"]: i for i, item in enumerate(noise.data["categories"])}
    name_of = {image["file_name"]: image["id"] for image in noise.data["images"]}
    labels: dict[int, dict[str, list[Any]]] = {
        i: {"bboxes": [], "labels": []} for i in name_of.values()
    }
    for item in noise.data["annotations"]:
        left, top, width, height = item["bbox"]
        labels[item["image_id"]]["bboxes"].append([left, top, left + width, top + height])
        labels[item["image_id"]]["labels"].append(index_of[item["category_id"]])
    predictions: dict[int, list[list[Any]]] = {i: [[] for _ in class_of] for i in labels}
    for row in ovsam_pipeline.read(folder / "labels"):
        for found in row["objects"]:
            left, top, width, height = found["bbox"]
            # With the label's score, or the product of both, ObjectLab ranks worse.
            box = [left, top, left + width, top + height, found["detector_score"]]
            predictions[name_of[row["file_name"]]][class_of[found["category"]]].append(box)
    ids = sorted(labels)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "in.json")
        path.write_text(json.dumps([[labels[i] for i in ids], [predictions[i] for i in ids]]))
        command = [python, "-c", _OBJECTLAB, str(path)]
        # The other Python has libraries of its own.
        plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        result = subprocess.run(command, capture_output=True, text=True, check=True, env=plain)
    return {i: 1 - q for i, q in zip(ids, json.loads(result.stdout.splitlines()[-1]), strict=True)}


def measure(
    data: Path, seed: int, scenes: int, share: float, cleanlab: str | None
) -> dict[str, Any]:
    """Return the numbers of one seed and share of noise."""
    folder = find_folder(data, seed, scenes)
    truth = json.loads((folder / "scenes" / "annotations.json").read_text())
    noise = add_noise(truth, share, seed)
    findings, _ = audit_noise(folder, noise, f"noise_{share:g}")
    num = len(noise.data["annotations"])
    tops = {top: count_found(findings, noise, int(top * num)) for top in SHARES}
    totals = dict.fromkeys(KINDS, 0)
    for kind in noise.kind_of.values():
        totals[kind] += 1
    totals["dropped"] = len(noise.dropped)
    found = {
        top: {"all": sum(counts.values()) / noise.num_errors}
        | {kind: counts[kind] / totals[kind] for kind in KINDS}
        for top, counts in tops.items()
    }
    perfect = {top: min(1.0, int(top * num) / noise.num_errors) for top in SHARES}
    chance = {top: int(top * num) / len(findings) for top in SHARES}
    result = {
        "found": found, "perfect": perfect, "random": chance,
        "images": compute_auroc(rank_images(findings, noise), noise.bad_images),
    }  # fmt: skip
    if cleanlab is not None:
        result["objectlab"] = compute_auroc(
            run_objectlab(cleanlab, folder, noise), noise.bad_images
        )
    return result


def print_noise(share: float, results: Sequence[dict[str, Any]]) -> None:
    """Print the numbers of one share of noise: seeds side by side, and their mean."""
    print(f"\n{share:.0%} of the annotations have an error of each of four kinds")
    header = ("errors in the first", "perfect", "random", "by seed", "mean", *KINDS)
    rows = []
    for top in SHARES:
        values = [result["found"][top] for result in results]
        means = [np.mean([value[kind] for value in values]) for kind in ("all", *KINDS)]
        bounds = [np.mean([r[name][top] for r in results]) for name in ("perfect", "random")]
        seeds = " ".join(f"{value['all']:.2f}" for value in values)
        cells = [*(f"{v:.2f}" for v in bounds), seeds, *(f"{v:.2f}" for v in means)]
        rows.append([f"{top:.0%} of the objects", *cells])
    print(format_table(header, rows))
    ours = [result["images"] for result in results]
    print("AUROC of images: ovsam audit " + " ".join(f"{value:.3f}" for value in ours))
    if all("objectlab" in result for result in results):
        others = [result["objectlab"] for result in results]
        print("                 ObjectLab   " + " ".join(f"{value:.3f}" for value in others))
        least = min(one - other for one, other in zip(ours, others, strict=True))
        print(f"                 least difference {least:+.3f} (random .5, perfect 1)")


def measure_memory(num_images: int, folder: Path) -> None:
    """Audit a generated data set in a process of its own; print seconds and peak memory."""
    data, out = make_large(num_images, folder)
    given = ("--predictions", str(folder / "found"), "--asked", str(folder / "asked"))
    command = (
        "audit",
        str(data),
        *given,
        "-o",
        str(out),
        "--worst",
        "0",
        "--json",
        "--min-match",
        "0",
    )
    start_s = time.perf_counter()
    result = subprocess.run([*OVSAM, *command], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start_s
    if result.returncode:
        raise SystemExit(result.stderr[-3000:])
    summary = json.loads(result.stdout)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(
        f"{summary['images']:,} images, {summary['annotations']:,} annotations, "
        f"{summary['objects_found']:,} objects, {summary['findings']:,} findings: "
        f"{seconds:.0f} s, peak {peak:.2f} GB"
    )


def make_large(num_images: int, folder: Path) -> tuple[Path, Path]:
    """Write a COCO file of `num_images`, and labels of its images and of its boxes.

    The first block of images is random, the others repeat it under other names and ids: 8
    annotations and 16 objects of ours an image, with run lengths, half of them near an annotation.
    """
    block, rng = 1000, np.random.default_rng(0)
    boxes = np.concatenate(
        [rng.uniform(0, 400, (block, 8, 2)), rng.uniform(30, 200, (block, 8, 2))], 2
    )
    near = boxes + rng.normal(0, 4, boxes.shape)
    far = np.concatenate(
        [rng.uniform(0, 400, (block, 8, 2)), rng.uniform(30, 200, (block, 8, 2))], 2
    )
    kinds = rng.integers(0, 80, (block, 8))
    found = _make_part(np.concatenate([near, far], 1).round(), rng, kinds, None)
    asked = _make_part(near.round(), rng, kinds, np.arange(block * 8).reshape(block, 8))
    categories = [{"id": k, "name": f"class {k}"} for k in range(80)]
    for name in ("found", "asked"):
        (folder / name / "parts").mkdir(parents=True)
        run = {"ovsam": "0.1.0", "state": "done", "task": "label", "categories": categories}
        (folder / name / "run.json").write_text(json.dumps(run))
    path = folder / "data.json"
    with path.open("w") as file:
        file.write(json.dumps({"categories": categories})[:-1])
        for start in range(0, num_images, block):
            for name, part in (("found", found), ("asked", asked)):
                _write_repeated(folder / name / "parts", part, start)
        images = (
            {"id": i, "file_name": f"{i}.jpg", "height": 640, "width": 640}
            for i in range(num_images)
        )
        file.write(', "images": [' + ",\n".join(map(json.dumps, images)) + '], "annotations": [')
        for start in range(0, num_images, block):
            lines = [
                json.dumps({
                    "id": (start + i) * 8 + k, "image_id": start + i,
                    "category_id": int(kinds[i, k]), "bbox": boxes[i, k].round(2).tolist(),
                    "area": 1.0, "iscrowd": 0,
                    "segmentation": [_to_ring(boxes[i, k])],
                })
                for i in range(block)
                for k in range(8)
            ]  # fmt: skip
            file.write((",\n" if start else "") + ",\n".join(lines))
        file.write("]}")
    return path, folder / "audit"


def _to_ring(box: np.ndarray) -> Box:
    left, top, width, height = box.round(2).tolist()
    right, bottom = round(left + width, 2), round(top + height, 2)
    return [left, top, right, top, right, bottom, left, bottom]


def _make_part(boxes: np.ndarray, rng: np.random.Generator, kinds: np.ndarray, prompts: Any) -> Any:
    """Return rows of `ovsam label` as a table, image after image."""
    import pyarrow as pa

    from ovsam.masks import to_rle
    from ovsam_pipeline.output.parts import SCHEMA
    from ovsam_pipeline.records import OBJECT_COLUMNS

    rows = []
    for i in range(len(boxes)):
        objects = []
        for k, box in enumerate(boxes[i]):
            kind = int(kinds[i, k % 8])
            rle = to_rle([_to_ring(box)], 640, 640)
            named = dict.fromkeys(OBJECT_COLUMNS) | {
                "bbox": box.tolist(), "category_id": kind, "category": f"class {kind}",
                "model_category": f"class {kind}", "area": int(box[2] * box[3]),
                "score": rng.uniform(), "model_score": rng.uniform(), "mask_score": rng.uniform(),
                "detector_score": rng.uniform(0.05, 1), "detector_margin": 0.0, "margin": 0.1,
                "prompt_id": None if prompts is None else int(prompts[i, k]),
                "segmentation": {"size": [640, 640], "counts": rle["counts"].decode()},
            }  # fmt: skip
            objects.append(named)
        row = {"image_id": i, "file_name": f"{i}.jpg", "width": 640, "height": 640}
        rows.append({**row, "status": "labelled", "error": None, "objects": objects})
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _write_repeated(folder: Path, part: Any, start: int) -> None:
    """Write a part again, of other images."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    ids = list(range(start, start + len(part)))
    objects = part["objects"].combine_chunks()
    items = objects.flatten()
    fields = {field.name: items.field(field.name) for field in items.type}
    fields["prompt_id"] = pc.add(fields["prompt_id"], start * 8)
    moved = pa.StructArray.from_arrays(list(fields.values()), fields=list(items.type))
    names = pa.array([f"{i}.jpg" for i in ids])
    table = part.set_column(part.schema.get_field_index("image_id"), "image_id", pa.array(ids))
    table = table.set_column(table.schema.get_field_index("file_name"), "file_name", names)
    lists = pa.ListArray.from_arrays(objects.offsets, moved)
    table = table.set_column(table.schema.get_field_index("objects"), "objects", lists)
    pq.write_table(table.cast(part.schema), folder / f"part-{start:08d}.parquet")


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.01, 0.05])
    parser.add_argument("--cleanlab", metavar="PYTHON", help="a Python with cleanlab 2.9")
    parser.add_argument("--memory", type=int, metavar="IMAGES")
    given = parser.parse_args()
    if given.memory:
        with tempfile.TemporaryDirectory(dir=given.data) as folder:
            measure_memory(given.memory, Path(folder))
        return
    if given.data is None:
        parser.error("expected --data, the folder of scene_labels.py")
    for share in given.noise:
        results = [
            measure(given.data, seed, given.scenes, share, given.cleanlab) for seed in given.seeds
        ]
        print_noise(share, results)


if __name__ == "__main__":
    main()
