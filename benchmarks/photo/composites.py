"""Masks and names of the embedded models on composites with exact masks.

    python benchmarks/photo/composites.py COCO.json IMAGES [--names MAP.json] [--leave-out REGEX]
        [--model photo|nano] [--detector photo|nano] [--end-to-end] [--num N]

Without --end-to-end the exact boxes are the prompts: IoU of the masks, and how many names are right
when the model may choose among all names of the data that it knows ("covered"). With it, `ovsam
label` finds the boxes too: recall and precision at IoU 0.5 of boxes and of masks, and names right
among the objects whose mask was found. MAP.json gives everyday names for the data's own; others
lose their article and their full stop. docs/photo.md says what composites are and has the results.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.ops import box_iou

import ovsam
import ovsam_pipeline
from ovsam.decode import decode_file
from ovsam.masks import compute_mask_ious, decode_mask
from ovsam.text.name_table import NameTable
from ovsam.text.vocabulary import Vocabulary

_BINS = 10


@dataclass
class Scene:
    """One composite: its file, and the everyday name, box and RLE of each object."""

    path: Path
    names: list[str] = field(default_factory=list)
    boxes_xyxy: list[list[float]] = field(default_factory=list)
    rles: list[Any] = field(default_factory=list)


def read_scenes(path: Path, images: Path, everyday: dict[str, str]) -> list[Scene]:
    """Read a COCO file whose annotations, or whose categories, have names."""
    content = json.loads(path.read_text())
    classes = {row["id"]: row["name"] for row in content.get("categories", ())}
    scenes = {row["id"]: Scene(images / row["file_name"]) for row in content["images"]}
    for row in content["annotations"]:
        scene = scenes[row["image_id"]]
        name = row.get("name") or classes[row["category_id"]]
        scene.names.append(everyday.get(name) or strip_article(name))
        left, top, width, height = row["bbox"]
        scene.boxes_xyxy.append([left, top, left + width, top + height])
        scene.rles.append(row["segmentation"])
    return [scene for scene in scenes.values() if scene.names]


def strip_article(name: str) -> str:
    """Return a name as a dictionary has it."""
    return re.sub(r"^(a|an|the|some|two)\s+", "", name.strip().rstrip(".!").lower())


def choose_names(namer: Any, names: set[str]) -> list[str]:
    """Return the names that the model can give."""
    if isinstance(namer, NameTable):
        return [c.name for c in Vocabulary(sorted(names)).classes if namer.known.find_leaves(c)]
    known = {name.lower() for name in namer.known_texts or names}
    return sorted(names & known)


def measure_exact_boxes(predictor: ovsam.Predictor, scenes: list[Scene]) -> list[tuple[Any, ...]]:
    """Return (wanted name, given name, score, IoU of the mask) of each object."""
    rows = []
    for scene in scenes:
        predictor.set_image(decode_file(scene.path))
        found = predictor.predict(boxes_xyxy=scene.boxes_xyxy)
        assert found.masks is not None
        for index, name in enumerate(scene.names):
            mask = found.masks[index]
            exact = decode_mask(scene.rles[index], *mask.shape).astype(bool)
            iou = (mask & exact).sum() / (mask | exact).sum()
            given = predictor.vocabulary.names[found.labels[index]]
            rows.append((name, given, float(found.scores[index]), float(iou)))
    return rows


def describe_exact_boxes(rows: list[tuple[Any, ...]], covered: list[str], left_out: str) -> None:
    """Print masks of all objects, and names of those whose name is not left out."""
    ious = np.array([row[3] for row in rows])
    print(
        f"masks of {len(rows)} objects: mean IoU {ious.mean():.4f}, median {np.median(ious):.3f}, "
        f"above 0.5: {(ious > 0.5).mean():.3f}"
    )
    rows = [row for row in rows if not (left_out and re.search(left_out, row[0]))]
    is_covered = np.array([row[0] in covered for row in rows])
    is_right = np.array([row[0] == row[1] for row in rows])
    scores = np.array([row[2] for row in rows])[is_covered]
    right = is_right[is_covered]
    print(
        f"names of {len(rows)} objects, {len(covered)} names to choose from: right "
        f"{right.mean():.3f} of the {len(right)} covered, {is_right.mean():.3f} of all"
    )
    error = compute_calibration_error(scores, right)
    print(f"scores of the covered: mean {scores.mean():.3f}, calibration error {error:.3f}")


def compute_calibration_error(scores: np.ndarray, right: np.ndarray) -> float:
    """Return the mean difference of score and share right over ten bins of scores."""
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    gaps = [
        abs(scores[bins == index].mean() - right[bins == index].mean()) * (bins == index).mean()
        for index in range(_BINS)
        if (bins == index).any()
    ]
    return float(sum(gaps))


def label_scenes(scenes: list[Scene], options: argparse.Namespace, names: list[str]) -> Any:
    """Run `ovsam label` on the scenes; return the objects of each file name."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, output, words = (Path(folder, name) for name in ("in", "out", "names.txt"))
        inputs.mkdir()
        for scene in scenes:
            (inputs / scene.path.name).symlink_to(scene.path.resolve())
        words.write_text("\n".join(names))
        ovsam_pipeline.label(
            str(inputs),
            output=str(output),
            model=options.model,
            detector=options.detector,
            vocabulary=str(words),
        )
        content = json.loads((output / "annotations.json").read_text())
    classes = {row["id"]: row["name"] for row in content["categories"]}
    files = {row["id"]: Path(row["file_name"]).name for row in content["images"]}
    objects: dict[str, list[Any]] = {name: [] for name in files.values()}
    for row in content["annotations"]:
        objects[files[row["image_id"]]].append((classes[row["category_id"]], row))
    return objects


def match(overlaps: np.ndarray) -> list[tuple[int, int]]:
    """Return (row, column) pairs with IoU of at least 0.5, the best first, each used once."""
    pairs, overlaps = [], overlaps.copy()
    while overlaps.size and overlaps.max() >= 0.5:
        row, column = np.unravel_index(overlaps.argmax(), overlaps.shape)
        pairs.append((int(row), int(column)))
        overlaps[row], overlaps[:, column] = 0, 0
    return pairs


def describe_end_to_end(scenes: list[Scene], objects: Any, covered: list[str]) -> None:
    """Print recall and precision, and how many of the found objects have their name."""
    totals = np.zeros(6, int)  # wanted, found, boxes right, masks right, covered, named
    for scene in scenes:
        found = objects[scene.path.name]
        boxes = np.array([row["bbox"] for _, row in found]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        exact = torch.tensor(scene.boxes_xyxy, dtype=torch.float64)
        by_box = match(box_iou(exact, torch.from_numpy(boxes).double()).numpy())
        masks = [row["segmentation"] for _, row in found]
        none = np.zeros((len(scene.names), 0))
        by_mask = match(compute_mask_ious(scene.rles, masks) if masks else none)
        is_covered = [scene.names[row] in covered for row, _ in by_mask]
        named = sum(scene.names[row] == found[column][0] for row, column in by_mask)
        counts = len(scene.names), len(found), len(by_box), len(by_mask), sum(is_covered), named
        totals += counts
    wanted, found, boxes, masks, num_covered, named = totals.tolist()
    print(
        f"end to end, {wanted} objects, {found} found: boxes recall {boxes / wanted:.3f}, "
        f"precision {boxes / max(found, 1):.3f}; masks recall {masks / wanted:.3f}, precision "
        f"{masks / max(found, 1):.3f}; names right {named} of {masks} found, {num_covered} of them "
        "covered"
    )


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("truth", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--names", type=Path)
    parser.add_argument("--leave-out", default="")
    parser.add_argument("--model", default="photo")
    parser.add_argument("--detector", default="photo")
    parser.add_argument("--end-to-end", action="store_true")
    parser.add_argument("--num", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    everyday = json.loads(options.names.read_text()) if options.names else {}
    scenes = read_scenes(options.truth, options.images, everyday)[: options.num]
    model = ovsam.load_model(options.model)
    names = {name for scene in scenes for name in scene.names}
    if options.leave_out:
        names = {name for name in names if not re.search(options.leave_out, name)}
    covered = choose_names(model.namer, names)
    if options.end_to_end:
        describe_end_to_end(scenes, label_scenes(scenes, options, covered), covered)
    else:
        predictor = ovsam.Predictor(model.prepare_for_inference(), Vocabulary(covered))
        rows = measure_exact_boxes(predictor, scenes)
        describe_exact_boxes(rows, covered, options.leave_out)


if __name__ == "__main__":
    main()
