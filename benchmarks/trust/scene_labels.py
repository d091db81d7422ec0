"""Scenes with exact truth, nano's labels of them, and which are wrong: data of benchmarks/trust.

    python benchmarks/trust/scene_labels.py --data DATA [--scenes 200] [--seeds 1 2 3]

Makes what DATA lacks and prints one line a seed. DATA/200_seed1 holds of 200 scenes of seed 1

    scenes/   pictures and annotations.json, `ovsam scenes --seed 7101` (none of nano's own)
    labels/   `ovsam label --conf .05`: objects that the detector is sure of, and doubtful ones
    given/    `ovsam label --detector gt:annotations.json`: true boxes with nano's masks and names

An object is an error if no true mask overlaps it by .5 ("bad mask" where a true box does,
"spurious" else), if the true one is taken by an object before it ("taken": rows hold the detector's
surest first), or if its name is another ("name").
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from ovsam_pipeline.output.folder import list_parts
from ovsam_pipeline.output.parts import iterate_part_rows

FIRST_SEED = 7100
IOU = 0.5
KINDS = ("right", "name", "bad mask", "taken", "spurious")


@dataclass(frozen=True)
class Judged:
    """N labelled objects and what is known of them.

    Attributes:
        objects: rows of `objects` with the `file_name` of their image.
        kinds: (N,) text, one of KINDS.
        truth: (N,) int64, the annotation that an object is of; -1 where there is none.
        num_true: how many objects the scenes have.
    """

    objects: list[dict[str, Any]]
    kinds: np.ndarray
    truth: np.ndarray
    num_true: int

    @property
    def is_error(self) -> np.ndarray:
        """(N,) bool."""
        return self.kinds != "right"

    @property
    def images(self) -> np.ndarray:
        """(N,) int64, the number of each object's image."""
        return np.unique([item["file_name"] for item in self.objects], return_inverse=True)[1]

    def column(self, name: str) -> np.ndarray:
        """Return a number of each object: (N,) float32, NaN where it has none."""
        return np.array([item.get(name) for item in self.objects], np.float32)

    def select(self, is_kept: np.ndarray) -> Judged:
        """Return some of the objects; what the others have taken stays taken."""
        kept = [item for item, keep in zip(self.objects, is_kept, strict=True) if keep]
        return Judged(kept, self.kinds[is_kept], self.truth[is_kept], self.num_true)


def find_folder(data: Path, seed: int, scenes: int) -> Path:
    """Return where the data of a seed lies."""
    return data / f"{scenes}_seed{seed}"


def make_scenes(data: Path, seed: int, scenes: int) -> Path:
    """Draw and label the scenes of a seed where DATA lacks them; return their folder."""
    folder = find_folder(data, seed, scenes)
    pictures, truth = folder / "scenes", folder / "scenes" / "annotations.json"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two benchmarks may want the same data
        if not truth.exists():
            _run("scenes", pictures, "--count", scenes, "--seed", FIRST_SEED + seed)
        for name, detector in (("labels", "nano"), ("given", f"gt:{truth}")):
            done = folder / f"{name}.done"
            if not done.exists():
                _run(
                    *("label", pictures, "-o", folder / name, "--model", "nano", "--quiet"),
                    *("--detector", detector, "--conf", "0.05"),
                )
                done.touch()
    return folder


def read_labels(data: Path, seed: int, scenes: int) -> Judged:
    """Return what nano's detector and model found, judged."""
    folder = make_scenes(data, seed, scenes)
    return judge(folder / "labels", folder / "scenes" / "annotations.json")


def read_given(data: Path, seed: int, scenes: int) -> Judged:
    """Return the true boxes with nano's names; an error is a wrong name, whatever the mask.

    What the annotations' own names say is taken out of the rows: it would give the errors away.
    """
    folder = make_scenes(data, seed, scenes)
    truth = json.loads((folder / "scenes" / "annotations.json").read_text())
    names = {item["id"]: item["name"] for item in truth["categories"]}
    true_names = {item["id"]: names[item["category_id"]] for item in truth["annotations"]}
    hidden = {"detector_category": None, "detector_margin": None}
    objects = [{**item, **hidden} for item in read_objects(folder / "given")]
    ids = np.array([item["prompt_id"] for item in objects], np.int64)
    is_right = [item["category"] == true_names[item["prompt_id"]] for item in objects]
    return Judged(objects, np.where(is_right, "right", "name"), ids, len(true_names))


def read_objects(output: Path) -> list[dict[str, Any]]:
    """Return all objects of an output folder, each with the file name of its image."""
    rows = [row for part in list_parts(output) for row in iterate_part_rows(part)]
    rows.sort(key=lambda row: row["file_name"])
    return [
        {**item, "file_name": row["file_name"]} for row in rows for item in row["objects"] or ()
    ]


def judge(output: Path, truth_file: Path) -> Judged:
    """Compare the objects of an output folder with the true ones."""
    truth = json.loads(truth_file.read_text())
    names = {item["id"]: item["name"] for item in truth["categories"]}
    files = {item["id"]: item["file_name"] for item in truth["images"]}
    true_objects: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in truth["annotations"]:
        true_objects[files[item["image_id"]]].append(item)
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in read_objects(output):
        found[item["file_name"]].append(item)
    objects, kinds, ids = [], [], []
    for file_name, items in found.items():
        objects += items
        for kind, number in _judge_image(items, true_objects[file_name], names):
            kinds.append(kind)
            ids.append(number)
    return Judged(objects, np.array(kinds), np.array(ids, np.int64), len(truth["annotations"]))


def _judge_image(
    items: Sequence[dict[str, Any]], truth: Sequence[dict[str, Any]], names: dict[int, str]
) -> list[tuple[str, int]]:
    if not truth:
        return [("spurious", -1) for _ in items]
    crowd = [False] * len(truth)
    masks, boxes = [item["segmentation"] for item in truth], [item["bbox"] for item in truth]
    overlaps = coco_mask.iou([item["segmentation"] for item in items], masks, crowd)
    box_overlaps = coco_mask.iou(
        np.array([item["bbox"] for item in items], float), np.array(boxes, float), crowd
    )
    taken: set[int] = set()
    judged = []
    for item, overlap, box_overlap in zip(items, overlaps, box_overlaps, strict=True):
        best = int(overlap.argmax())
        number = truth[best]["id"]
        if overlap[best] < IOU:
            kind = "bad mask" if box_overlap.max() >= IOU else "spurious"
            number = truth[int(box_overlap.argmax())]["id"] if kind == "bad mask" else -1
        elif best in taken:
            kind = "taken"
        else:
            taken.add(best)
            is_right = item["category"] == names[truth[best]["category_id"]]
            kind = "right" if is_right else "name"
        judged.append((kind, number))
    return judged


def _run(*arguments: object) -> None:
    """Run an ovsam command, leaving the machine to others."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    subprocess.run(["nice", sys.executable, "-m", "ovsam", *map(str, arguments)], check=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which data a benchmark of this folder uses."""
    parser.add_argument("--data", type=Path, required=True, help="folder to keep the data in")
    parser.add_argument("--scenes", type=int, default=200, help="scenes a seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])


def main() -> None:
    """Make the data and say what it holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_arguments(parser)
    given = parser.parse_args()
    for seed in given.seeds:
        for name, read in (("labels", read_labels), ("given", read_given)):
            judged = read(given.data, seed, given.scenes)
            counts = Counter(judged.kinds.tolist())
            kinds = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
            folder = find_folder(given.data, seed, given.scenes) / name
            print(f"{folder}: {len(judged.kinds)} objects: {kinds}; {judged.num_true} true ones")


if __name__ == "__main__":
    main()
