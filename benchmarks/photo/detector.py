"""What U²-Net adds to NanoDet in the `photo` detector, and what it costs.

    python benchmarks/photo/detector.py IMAGES [--truth COCO.json] [--num N]

Of the first N images in the folder IMAGES (all): boxes and CPU seconds an image with NanoDet alone,
with both as the detector combines them, and with U²-Net on every image. With COCO annotations
(IMAGES is where their file names lie) also recall and precision at IoU 0.5, whatever the class, and
the share of objects of COCO's classes that are found with their class.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torchvision.ops import box_iou

from ovsam.decode import IMAGE_SUFFIXES, decode_file
from ovsam_pipeline.detectors.base import Detections, DetectorImage
from ovsam_pipeline.detectors.box_rules import clean, suppress_duplicates
from ovsam_pipeline.detectors.photo import detector as photo
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.records import ImageRecord

# Least share of an image that confident boxes cover for U²-Net not to look.
WAYS = {"NanoDet alone": -1.0, "as combined": photo.MOST_COVERED, "U²-Net always": 2.0}


class Truth(NamedTuple):
    """The annotated objects of an image: boxes (N, 4) left, top, right, bottom, and names."""

    boxes_xyxy: np.ndarray
    names: tuple[str, ...]


def read_truth(path: Path) -> dict[str, Truth]:
    """Return the objects of each file name of a COCO data set."""
    content = json.loads(path.read_text())
    classes = {row["id"]: row["name"] for row in content["categories"]}
    truth = {}
    for image in content["images"]:
        rows = [row for row in content["annotations"] if row["image_id"] == image["id"]]
        boxes = np.array([row["bbox"] for row in rows], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        truth[image["file_name"]] = Truth(boxes, tuple(classes[r["category_id"]] for r in rows))
    return truth


def detect(detector: photo.PhotoDetector, path: Path) -> tuple[Detections, float]:
    """Return the boxes that a run with the default settings keeps, and CPU seconds."""
    rgb = decode_file(path)
    begin = time.process_time()
    (found,) = detector.detect([DetectorImage(ImageRecord(1, path.name, path), rgb)])
    seconds = time.process_time() - begin
    found, _ = clean(found, rgb.shape[:2], conf=0.25)
    return found.select(suppress_duplicates(found.boxes_xyxy, found.scores, 0.5)), seconds


def count(found: Detections, truth: Truth, coco: frozenset[str]) -> np.ndarray:
    """Return objects, found ones, right boxes, objects of COCO's classes, found with class."""
    boxes = torch.from_numpy(truth.boxes_xyxy), torch.from_numpy(found.boxes_xyxy)
    is_same = box_iou(*boxes).numpy() >= 0.5
    named = np.array(
        [[name == given for given in found.category_names or ()] for name in truth.names], bool
    ).reshape(is_same.shape)
    is_coco = np.array([name in coco for name in truth.names], bool)
    is_right = (is_same & named).any(axis=1) & is_coco
    totals = (is_same.any(axis=1), is_same.any(axis=0), is_coco, is_right)
    return np.array([len(truth.names), *(values.sum() for values in totals)])


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--num", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    truth = read_truth(options.truth) if options.truth else {}
    paths = sorted(p for p in options.images.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    paths = [path for path in paths if not truth or path.name in truth][: options.num]
    detector = photo.PhotoDetector(DetectorSettings(spec="photo"))
    coco = frozenset(detector.class_names)
    for title, most_covered in WAYS.items():
        photo.MOST_COVERED = most_covered
        results = [detect(detector, path) for path in paths]
        num_boxes = sum(len(found) for found, _ in results)
        num_unnamed = sum((found.category_names or ()).count(None) for found, _ in results)
        line = f"{title}: {num_boxes} boxes, {num_unnamed} without a class"
        line += f", {np.mean([seconds for _, seconds in results]):.2f} CPU s an image"
        if truth:
            counts = [
                count(found, truth[p.name], coco)
                for p, (found, _) in zip(paths, results, strict=True)
            ]
            objects, recalled, right, named, with_class = np.sum(counts, axis=0)
            line += f"; recall {recalled / objects:.3f}, precision {right / max(num_boxes, 1):.3f}"
            line += f", class right for {with_class} of {named}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
