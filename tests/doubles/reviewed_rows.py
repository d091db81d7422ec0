"""Images with masks of simple shapes, outputs with them, and answers on them."""

import json

import numpy as np
from row_objects import make_object

from ovsam.masks import encode_mask
from ovsam_pipeline.output.parts import write_part
from ovsam_pipeline.output.reviews import Answer
from ovsam_pipeline.records import LabelRecord

HEIGHT, WIDTH = 40, 60
CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 5, "name": "dog"}]
IDS = {"cat": 1, "dog": 5, "cup": 6}


def draw_mask(left, top, width, height, size=(HEIGHT, WIDTH)):
    """A filled rectangle as RLE."""
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = True
    return encode_mask(mask)


def make_labelled(box, category="cat", **values):
    """An object whose mask is a rectangle (left, top, width, height)."""
    return make_object(
        category=category,
        category_id=IDS[category],
        segmentation=draw_mask(*box),
        bbox=tuple(map(float, box)),
        area=box[2] * box[3],
        **values,
    )


def make_row(file_name, *objects, image_id=1):
    """A row of an image with these objects."""
    status = "labelled" if objects else "empty"
    identity = f"{file_name}|1"
    return LabelRecord(
        image_id, file_name, WIDTH, HEIGHT, status, objects=objects, identity=identity
    )


def write_output(folder, *rows, **run):
    """An output folder with a part of these rows."""
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    values = {"ovsam": "1.0", "categories": CATEGORIES, "model": {"name": "nano"}} | run
    (folder / "run.json").write_text(json.dumps(values))
    if rows:
        write_part(folder / "parts", rows, "fingerprint")
    return folder


def answer(file_name="a.jpg", category="cat", mask=None, reviewed=None, **values):
    """An answer; the mask is the reviewed one where none is given and there is a name."""
    if category is not None and mask is None:
        mask = reviewed
    shown = values.pop("shown", {} if reviewed is None else {"category": "cat", "score": 0.5})
    plain = {"by": "ann", "at": "2026-11-29T12:00:00+00:00", "shown": shown}
    return Answer(file_name, category, mask, reviewed, **plain | values)
