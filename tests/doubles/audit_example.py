"""A data set with an error of each kind, and the labels that show them, as `ovsam label` writes."""

import json
from pathlib import Path

import numpy as np
from row_objects import make_object

from ovsam.masks import encode_mask
from ovsam_pipeline.output.parts import write_part
from ovsam_pipeline.records import BoxRecord, ImageRecord, LabelRecord

SIDE = 100
CAT, DOG, BIRD = 3, 7, 9
NAMES = {CAT: "cat", DOG: "dog", BIRD: "bird"}
# Annotations by id: image, class, box.
ANNOTATIONS = {
    1: (10, CAT, [10, 10, 20, 20]),  # right
    2: (10, DOG, [50, 50, 30, 30]),  # shifted: it is at 62, 62
    3: (10, CAT, [5, 70, 15, 15]),  # invented
    4: (20, CAT, [10, 10, 30, 30]),  # a dog, exchanged with 5
    5: (20, DOG, [60, 60, 30, 30]),  # a cat
    6: (20, BIRD, [60, 10, 20, 20]),  # a cat
    7: (30, DOG, [10, 10, 30, 30]),  # right
}
# What we find: image, class, box, the detector's score. The bird of image 10 was not annotated.
FOUND = [
    (10, CAT, [10, 10, 20, 20], 0.95),
    (10, DOG, [62, 62, 30, 30], 0.95),
    (10, BIRD, [70, 5, 20, 20], 0.95),
    (20, DOG, [10, 10, 30, 30], 0.95),
    (20, CAT, [60, 60, 30, 30], 0.95),
    (20, CAT, [60, 10, 20, 20], 0.95),
    (30, DOG, [10, 10, 30, 30], 0.95),
]
# What we think of the annotated boxes: class, box, stability, what the annotated name gets.
ASKED = {
    1: (CAT, [10, 10, 20, 20], 0.95, 0.9),
    2: (DOG, [62, 62, 20, 20], 0.5, 0.7),
    3: (BIRD, [5, 78, 7, 7], 0.3, 0.01),
    4: (DOG, [10, 10, 30, 30], 0.95, 0.001),
    5: (CAT, [60, 60, 30, 30], 0.95, 0.001),
    6: (CAT, [60, 10, 20, 20], 0.95, 0.001),
    7: (DOG, [10, 10, 30, 30], 0.95, 0.9),
}


def make_data(**more):
    """Return the data set; boxes alone."""
    return {
        "info": {"year": 2026},
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": SIDE, "height": SIDE} for i in (10, 20, 30)
        ],
        "annotations": [make_annotation(number) for number in ANNOTATIONS],
        "categories": [{"id": number, "name": name} for number, name in NAMES.items()],
        **more,
    }


def make_annotation(number, **more):
    image, kind, box = ANNOTATIONS[number]
    fields = {"image_id": image, "category_id": kind, "bbox": box, "area": box[2] * box[3]}
    return {"id": number, **fields, "note": "kept", **more}


def draw(box):
    """Return a box as RLE."""
    left, top, width, height = box
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top : top + height, left : left + width] = True
    return encode_mask(mask)


def write_data(folder: Path, data=None) -> Path:
    path = folder / "data.json"
    path.write_text(json.dumps(make_data() if data is None else data))
    return path


def write_found(folder: Path, found=None) -> Path:
    """Write an output folder of `ovsam label`."""
    objects = {10: [], 20: [], 30: []}
    for image, kind, box, score in FOUND if found is None else found:
        left, top, width, height = box
        prompt = BoxRecord((left, top, left + width, top + height), score)
        objects[image].append(_make(prompt, kind, box, 0.9, 0.9, None))
    return _write(folder / "found", objects)


def write_asked(folder: Path, asked=None) -> Path:
    """Write an output folder of `ovsam label --detector gt:…`."""
    objects = {10: [], 20: [], 30: []}
    for number, (kind, box, stability, given) in (ASKED if asked is None else asked).items():
        image, own, (left, top, width, height) = ANNOTATIONS[number]
        corners = (left, top, left + width, top + height)
        prompt = BoxRecord(corners, 1.0, NAMES[own], own, prompt_id=number)
        margin = 0.0 if kind == own else 0.9 - given
        objects[image].append(_make(prompt, kind, box, 0.9, stability, margin))
    return _write(folder / "asked", objects)


def _make(prompt, kind, box, score, stability, margin):
    return make_object(
        prompt,
        bbox=tuple(map(float, box)),
        category_id=kind,
        category=NAMES[kind],
        model_category=NAMES[kind],
        score=score,
        model_score=score,
        mask_score=stability,
        detector_margin=margin,
        area=box[2] * box[3],
        segmentation=draw(box),
    )


def _write(folder: Path, objects) -> Path:
    (folder / "parts").mkdir(parents=True)
    rows = [
        LabelRecord.labelled(
            ImageRecord(image, f"{image}.png", Path(f"{image}.png")), SIDE, SIDE, tuple(found)
        )
        for image, found in objects.items()
    ]
    write_part(folder / "parts", rows, "f")
    categories = [{"id": number, "name": name} for number, name in NAMES.items()]
    run = {"ovsam": "0.1.0", "state": "done", "task": "label", "categories": categories}
    (folder / "run.json").write_text(json.dumps(run))
    return folder
