"""An output folder with real small pictures, made without a model: what pages are shown."""

import json

import numpy as np
from PIL import Image
from row_objects import make_object

from ovsam.masks import encode_mask
from ovsam_pipeline.output.parts import write_part
from ovsam_pipeline.records import LabelRecord, Origin

WIDTH, HEIGHT = 96, 64


def write_pictures_output(folder, names, categories=("cat", "dog", "cup"), failed=()):
    """Write `folder/images` and `folder/out`; return the latter.

    Picture i has two objects, of the classes i and i+1 (counted round), with risks that fall from
    picture to picture; those of the indices in `failed` are failed rows. Pictures are 96×64 pixels
    of one colour each, with a brighter rectangle on each object.
    """
    images, out = folder / "images", folder / "out"
    origin = Origin(str(images), str(images))
    rows = []
    for index, name in enumerate(names):
        boxes = [(4 + index % 20, 6, 30, 40), (50, 10 + index % 20, 40, 30)]
        _draw_picture(images / name, index, boxes)
        if index in failed:
            reason = f"cannot decode it ({name})"
            row = LabelRecord(index + 1, name, None, None, "failed", error=reason, origin=origin)
        else:
            places = [(index + k) % len(categories) for k in range(2)]
            objects = tuple(
                _make_object(box, categories[place], place + 1, risk=(1 + k) / (index + 3))
                for k, (box, place) in enumerate(zip(boxes, places, strict=True))
            )
            row = LabelRecord(
                index + 1,
                name,
                WIDTH,
                HEIGHT,
                "labelled",
                objects=objects,
                identity=name,
                origin=origin,
            )
        rows.append(row)
    (out / "parts").mkdir(parents=True)
    known = [{"id": place + 1, "name": name} for place, name in enumerate(categories)]
    run = {
        "ovsam": "1.0",
        "categories": known,
        "model": {"name": "nano"},
        "settings": {"sources": [str(images)]},
    }
    (out / "run.json").write_text(json.dumps(run))
    write_part(out / "parts", rows, "fingerprint")
    return out


def _draw_picture(path, index, boxes):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((HEIGHT, WIDTH, 3), (40 + index % 60, 60, 90), np.uint8)
    for left, top, width, height in boxes:
        pixels[top : top + height, left : left + width] += 90
    Image.fromarray(pixels).save(path)


def _make_object(box, category, category_id, risk):
    left, top, width, height = box
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + height, left : left + width] = True
    return make_object(
        category=category, category_id=category_id, segmentation=encode_mask(mask),
        bbox=tuple(map(float, box)), area=width * height, risk=risk, reason="small margin",
    )  # fmt: skip
