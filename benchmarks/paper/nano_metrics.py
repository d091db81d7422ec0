"""Measure the embedded model on held-out scenes; prints one JSON object.

    python benchmarks/paper/nano_metrics.py --scenes 500
    python benchmarks/paper/nano_metrics.py --scenes 200 \
        --iconify node_modules/@iconify-json/twemoji
    python benchmarks/paper/nano_metrics.py --photos FOLDER

Scenes are drawn anew (world 2, from scene 10,000 on: neither trained on nor looked at before) and
need the Debian package fonts-noto-color-emoji. `--iconify` draws the same classes from another
emoji set (npm pack, and `pip install resvg_py`); `--photos` says what happens on ordinary pictures.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import ovsam
from ovsam.training.scenes.crops import CropSource, normalise_crops
from ovsam.training.scenes.iconify import load_iconify_sprites
from ovsam.training.scenes.pool import (
    HELD_OUT_SCENES,
    HELD_OUT_WORLD,
    ScenePool,
    create_pool,
    fill_pool,
)
from ovsam.training.scenes.sprites import SpriteAtlas, load_noto_atlas
from ovsam_pipeline.detectors.base import DetectorImage
from ovsam_pipeline.detectors.box_rules import clean
from ovsam_pipeline.detectors.nano import NanoDetector
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.records import ImageRecord

FIRST_SCENE = 10_000
SIZE = 320


class Tally:
    """Values of base and novel objects, and their means."""

    def __init__(self) -> None:
        self.values: dict[str, list[tuple[bool, float]]] = defaultdict(list)

    def add(self, name: str, is_novel: bool, value: float) -> None:
        """Keep one object's value."""
        self.values[name].append((is_novel, value))

    def means(self) -> dict[str, dict[str, float]]:
        """Return base, novel and all for each name, and the number of objects."""
        result = {}
        for name, pairs in self.values.items():
            novel = np.array([is_novel for is_novel, _ in pairs])
            value = np.array([number for _, number in pairs])
            groups = {"base": ~novel, "novel": novel, "all": np.ones_like(novel)}
            result[name] = {
                k: round(float(value[g].mean()), 4) for k, g in groups.items() if g.any()
            }
            result[name]["objects"] = len(value)
        return result


def compute_iou(first: np.ndarray, second: np.ndarray) -> float:
    """IoU of two (H, W) bool masks."""
    return float((first & second).sum() / max((first | second).sum(), 1))


def compute_box_ious(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """IoU of each pair of (N, 4) and (M, 4) boxes."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(b[:, 2:] - b[:, :2]).prod(axis=1) for b in (first, second)]
    return overlap / (areas[0][:, None] + areas[1][None] - overlap)


def draw_pool(folder: Path, atlas: SpriteAtlas, count: int) -> ScenePool:
    """Draw held-out scenes."""
    create_pool(folder, count, SIZE)
    fill_pool(folder, atlas, (HELD_OUT_WORLD, FIRST_SCENE), HELD_OUT_SCENES, range(count))
    return ScenePool(folder)


def detect(
    detector: NanoDetector, image: np.ndarray, number: int, conf: float
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and scores of one picture."""
    record = ImageRecord(
        image_id=number, file_name=f"{number}.png", path=Path(f"{number}.png"),
        size_bytes=0, mtime_ns=0, width=image.shape[1], height=image.shape[0],
    )  # fmt: skip
    found = detector.detect([DetectorImage(record, image)])[0]
    found, _ = clean(found, image.shape[:2], conf=conf)
    return found.boxes_xyxy, found.scores


def measure_scenes(pool: ScenePool, indices: range) -> dict[str, object]:
    """IoU and label accuracy for ground-truth boxes, centre points and detected boxes."""
    model = ovsam.load_model("nano")
    vocabulary = ovsam.load_vocabulary("nano")
    predictor = ovsam.Predictor(model.prepare_for_inference(), vocabulary)
    detector = NanoDetector(DetectorSettings(spec="nano", conf=0.01, max_det=100))
    novel = set(vocabulary.novel or ())
    tally, confusions = Tally(), Counter()
    found_boxes: list[dict[str, object]] = []
    for index in indices:
        scene, boxes = pool.scene(index), pool.boxes_xyxy(index)
        image = np.array(scene.image)
        predictor.set_image(image)
        detected, scores = detect(detector, image, index, conf=0.01)
        found_boxes += [
            {"image_id": index, "category_id": 1, "score": float(score),
             "bbox": [float(b[0]), float(b[1]), float(b[2] - b[0]), float(b[3] - b[1])]}
            for b, score in zip(detected, scores, strict=True)
        ]  # fmt: skip
        sure = detected[scores >= 0.25]
        matches = compute_box_ious(boxes, sure) if len(sure) else np.zeros((len(boxes), 0))
        has_match = (matches.max(axis=1) >= 0.5) if len(sure) else np.zeros(len(boxes), bool)
        runs = {
            "gt_box": (predictor.predict(boxes_xyxy=boxes), range(len(boxes))),
            "centre_point": (
                predictor.predict(points_xy=(boxes[:, :2] + boxes[:, 2:]) / 2),
                range(len(boxes)),
            ),
        }
        if has_match.any():
            rows = np.flatnonzero(has_match)
            runs["detected_box"] = (
                predictor.predict(boxes_xyxy=sure[matches[rows].argmax(axis=1)]),
                rows,
            )
        for name, (prediction, rows) in runs.items():
            for place, row in enumerate(rows):
                truth = int(scene.class_ids[row])
                is_novel = truth in novel
                label = int(prediction.labels[place])
                tally.add(
                    f"{name}_iou", is_novel, compute_iou(prediction.masks[place], scene.mask(row))
                )
                tally.add(f"{name}_accuracy", is_novel, label == truth)
                if name == "gt_box":
                    for kind in ("head", "clip"):
                        logits = getattr(prediction, f"{kind}_logits")[place, :-1]
                        tally.add(f"gt_box_{kind}_alone", is_novel, int(logits.argmax()) == truth)
                    if label != truth:
                        confusions[f"{vocabulary.names[truth]} -> {vocabulary.names[label]}"] += 1
        for row, is_found in enumerate(has_match):
            tally.add("detector_recall", int(scene.class_ids[row]) in novel, bool(is_found))
    return {
        **tally.means(),
        "detector": measure_boxes(pool, indices, found_boxes),
        "confusions": dict(confusions.most_common(12)),
    }


def measure_boxes(
    pool: ScenePool, indices: range, found: list[dict[str, object]]
) -> dict[str, float]:
    """Class-agnostic AP and AR of the detector, by pycocotools."""
    truth = COCO()
    annotations = []
    for index in indices:
        for left, top, right, bottom in pool.boxes_xyxy(index).tolist():
            width, height = right - left, bottom - top
            annotations.append(
                {"id": len(annotations) + 1, "image_id": index, "category_id": 1, "iscrowd": 0,
                 "bbox": [left, top, width, height], "area": width * height}
            )  # fmt: skip
    truth.dataset = {
        "info": {}, "images": [{"id": i, "width": SIZE, "height": SIZE} for i in indices],
        "categories": [{"id": 1, "name": "object"}], "annotations": annotations,
    }  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):  # its tables; our stdout is JSON
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = evaluation.stats
    return {
        "AP": round(stats[0], 4), "AP50": round(stats[1], 4), "AP75": round(stats[2], 4),
        "AR100": round(stats[8], 4),
    }  # fmt: skip


@torch.inference_mode()
def measure_crops(pool: ScenePool, indices: range, limit: int = 2000) -> dict[str, float]:
    """Top-1 of the CLIP towers alone on 96-pixel crops of single objects, by text prototypes."""
    model = ovsam.load_model("nano")
    vocabulary = ovsam.embed_vocabulary(ovsam.load_vocabulary("nano"), model.text_tower)
    source = CropSource(pool)
    numbers = [n for n, (scene, _) in enumerate(source.index) if scene in indices][:limit]
    hits = 0
    for start in range(0, len(numbers), 100):
        cut = [source.centred(n, 96) for n in numbers[start : start + 100]]
        features = model.image_encoder.visual(normalise_crops(np.stack([c for c, _ in cut])))
        features = torch.nn.functional.normalize(features, dim=1)
        best = (features @ vocabulary.embeddings.flatten(0, 1).T).argmax(dim=1)
        owner = best // vocabulary.embeddings.shape[1]
        hits += int((owner == torch.tensor([label for _, label in cut])).sum())
    return {"accuracy": round(hits / max(len(numbers), 1), 4), "crops": len(numbers)}


def load_iconify_atlas(folder: Path) -> tuple[SpriteAtlas, int]:
    """Sprites of another set, and how many glyphs it lacks (Noto's drawing stands in for those)."""
    noto, missing, groups = load_noto_atlas(), 0, []
    for own, others in zip(noto.sprites, load_iconify_sprites(folder, noto.classes), strict=True):
        missing += len(own) - len(others)
        groups.append(others or own)
    return SpriteAtlas(noto.classes, tuple(groups)), missing


def measure_photos(folder: Path) -> list[dict[str, object]]:
    """What nano says about ordinary pictures."""
    predictor = ovsam.Predictor(ovsam.load_model("nano"), ovsam.load_vocabulary("nano"))
    detector, rows = NanoDetector(DetectorSettings(spec="nano", conf=0.25)), []
    for number, path in enumerate(sorted(p for p in folder.iterdir() if p.is_file())):
        with Image.open(path) as picture:
            image = np.array(picture.convert("RGB"))
        boxes, scores = detect(detector, image, number, conf=0.25)
        labels: list[str] = []
        if len(boxes):
            predictor.set_image(image)
            found = predictor.predict(boxes_xyxy=boxes)
            labels = [
                f"{predictor.vocabulary.names[label]} {score:.2f}"
                for label, score in zip(found.labels, found.scores, strict=True)
            ]
        best = [round(float(score), 2) for score in scores[:5]]
        rows.append(
            {"file": path.name, "boxes": len(boxes), "box_scores": best, "labels": labels[:5]}
        )
    return rows


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--iconify", type=Path, help="unpacked @iconify-json package")
    parser.add_argument(
        "--photos", type=Path, help="folder of ordinary pictures, instead of scenes"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    if arguments.photos:
        print(json.dumps({"photos": measure_photos(arguments.photos)}, indent=1))
        return
    report: dict[str, object] = {"scenes": arguments.scenes, "style": "noto"}
    if arguments.iconify:
        atlas, missing = load_iconify_atlas(arguments.iconify)
        info = json.loads((arguments.iconify / "info.json").read_text())
        report |= {"style": info["name"], "glyphs_missing": missing}
    else:
        atlas = load_noto_atlas()
    indices = range(arguments.scenes)
    with tempfile.TemporaryDirectory() as folder:
        pool = draw_pool(Path(folder), atlas, arguments.scenes)
        report["crops_96"] = measure_crops(pool, indices)
        report |= measure_scenes(pool, indices)
    report["seconds"] = round(time.perf_counter() - started, 1)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
