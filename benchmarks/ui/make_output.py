"""A large output that costs little: rows with real masks, few pictures that many rows share.

python benchmarks/ui/make_output.py FOLDER --images 100000
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from ovsam.masks import compute_mask_areas, compute_tight_boxes, encode_mask
from ovsam_pipeline.output.done_index import PartIndex, compute_keys
from ovsam_pipeline.output.parts import SCHEMA, compute_part_name, write_part_table
from ovsam_pipeline.records import BoxRecord, LabelRecord, ObjectRecord, Origin

WIDTH, HEIGHT = 640, 480
PICTURES, MASKS, CLASSES, OBJECTS = 32, 400, 80, 5
# Parts with the same labels but other images: what makes a million rows cheap.
TEMPLATES = 48
REASONS = (None, None, "name unsure", "mask unstable", "two names close: cup or mug")
FAILURES = ("file is empty (0 bytes)", "damaged JPEG: broken data stream when reading image file")


def make_output(folder: Path, num_images: int, part_images: int) -> Path:
    """Write FOLDER/out with `num_images` rows, and the pictures; return FOLDER/out."""
    rng = np.random.default_rng(0)
    photos, output = folder / "photos", folder / "out"
    (output / "parts").mkdir(parents=True)
    num_folders = write_pictures(photos, num_images, rng)
    masks = draw_masks(rng)
    templates = [make_template(part_images, masks, rng) for _ in range(TEMPLATES)]
    names = [f"set{k:05d}/{p:02d}.jpg" for k in range(num_folders) for p in range(PICTURES)]
    for start in range(0, num_images, part_images):
        some = names[start : min(start + part_images, num_images)]
        table = templates[start // part_images % TEMPLATES].slice(0, len(some))
        write_part_of(output / "parts", table, some, start, photos)
    run = {
        "ovsam": "benchmark",
        "categories": [{"id": n + 1, "name": f"class {n}"} for n in range(CLASSES)],
        "settings": {"sources": [str(photos)]},
    }
    (output / "run.json").write_text(json.dumps(run))
    return output


def write_pictures(photos: Path, num_images: int, rng: np.random.Generator) -> int:
    """Write PICTURES pictures, and links to their folder; return how many links there are."""
    shared = photos / "shared"
    shared.mkdir(parents=True)
    for number in range(PICTURES):
        small = rng.integers(0, 255, (6, 8, 3), np.uint8)
        picture = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(shared / f"{number:02d}.jpg"), picture)
    num_folders = -(-num_images // PICTURES)
    for number in range(num_folders):
        (photos / f"set{number:05d}").symlink_to("shared")
    return num_folders


def draw_masks(rng: np.random.Generator) -> list[dict[str, object]]:
    """Return run lengths of wavy blobs."""
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    masks = []
    for _ in range(MASKS):
        waves = 1 + 0.25 * np.sin(3 * turn + rng.random() * 6) + 0.05 * rng.standard_normal(90)
        distance = rng.uniform(15, 130) * waves
        centre = rng.uniform((60, 60), (WIDTH - 60, HEIGHT - 60))
        ring = centre + distance[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.fillPoly(mask, [ring.round().astype(np.int32)], 1)
        masks.append(dict(encode_mask(mask.astype(bool))))
    return masks


def make_template(
    num_images: int, masks: list[dict[str, object]], rng: np.random.Generator
) -> pa.Table:
    """Return the rows of one part, without names."""
    rows = []
    for _ in range(num_images):
        if rng.random() < 0.01:
            error = FAILURES[int(rng.integers(len(FAILURES)))]
            rows.append(LabelRecord(0, "", None, None, "failed", error))
            continue
        picked = rng.integers(0, len(masks), rng.poisson(OBJECTS))
        objects = tuple(make_object(masks[number], rng) for number in picked)
        status = "labelled" if objects else "empty"
        rows.append(LabelRecord(0, "", WIDTH, HEIGHT, status, objects=objects))
    return pa.Table.from_pylist([row.to_row() for row in rows], schema=SCHEMA)


def make_object(mask: dict[str, object], rng: np.random.Generator) -> ObjectRecord:
    """Return an object with chance opinions."""
    number, score = int(rng.integers(CLASSES)), float(rng.beta(4, 2))
    box = compute_tight_boxes([mask])[0].tolist()
    left, top, width, height = box
    name = f"class {number}"
    found = ObjectRecord(
        BoxRecord((left, top, left + width, top + height), float(rng.beta(4, 2)), name),
        tuple(box),
        number + 1,
        name,
        score,
        float(rng.random()),
        float(rng.beta(8, 2)),
        int(compute_mask_areas([mask])[0]),
        mask,
        name,
        score,
        detector_margin=float(rng.choice([0, 0, 0, 0.4])),
        head_score=score,
        clip_score=float(rng.beta(4, 2)),
        risk=float(rng.beta(1, 3)),
    )
    return replace(found, reason=REASONS[int(rng.integers(len(REASONS)))])


def write_part_of(
    folder: Path, table: pa.Table, names: list[str], first: int, photos: Path
) -> None:
    """Write a template as the part of some images."""
    count = len(names)
    table = table.set_column(0, "image_id", pa.array(range(first, first + count), pa.int64()))
    table = table.set_column(1, "file_name", pa.array(names, pa.string()))
    keys = compute_keys(names)
    is_failed = np.array(table["error"].is_valid())
    nothing = np.zeros(count, bool)
    origins = (Origin(str(photos), str(photos)),)
    index = PartIndex(
        "fingerprint", keys, keys, is_failed, nothing, origins, np.zeros(count, np.uint32)
    )
    write_part_table(folder / compute_part_name(names, "fingerprint"), table, index)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--part-images", type=int, default=64)
    given = parser.parse_args()
    print(make_output(given.folder, given.images, given.part_images))
