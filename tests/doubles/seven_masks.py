"""The 7 masks on which formats fail, and an output folder with them: frontier.md, section 6."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from row_objects import make_object

from ovsam.masks import compute_tight_boxes, encode_mask
from ovsam_pipeline.output.parts import write_part
from ovsam_pipeline.records import BoxRecord, ImageRecord, LabelRecord, compute_image_id

HEIGHT, WIDTH = 240, 320
CLASSES = ("solid", "donut", "two parts", "one pixel", "line", "three parts", "wavy")


def make_seven_masks() -> dict[str, np.ndarray]:
    """(240, 320) bool by name: each can be lost in its own way."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    masks = {name: np.zeros((HEIGHT, WIDTH), bool) for name in CLASSES}
    masks["solid"][20:80, 30:120] = True
    ring = np.hypot(x - 220, y - 60)
    masks["donut"] = (ring <= 45) & (ring >= 20)
    masks["two parts"][110:150, 20:60] = True
    masks["two parts"][115:160, 90:110] = True
    masks["one pixel"][200, 17] = True
    masks["line"][180, 40:140] = True
    masks["three parts"][:30, :20] = True
    masks["three parts"][-25:, -40:] = True
    masks["three parts"][100:120, -15:] = True
    radius = 40 + 9 * np.sin(9 * np.arctan2(y - 180, x - 220))
    masks["wavy"] = np.hypot(x - 220, y - 180) <= radius
    return masks


def make_label(mask: np.ndarray, category_id: int, category: str, score: float = 0.5):
    """An object of a row, as `ovsam label` would store it."""
    rle = encode_mask(mask)
    left, top, width, height = compute_tight_boxes([rle])[0].tolist()
    prompt = BoxRecord((left, top, left + width, top + height), 0.625, category)
    return make_object(
        prompt,
        bbox=(left, top, width, height),
        category_id=category_id,
        category=category,
        model_category=category,
        score=score,
        area=int(mask.sum()),
        segmentation=rle,
    )


def write_output(folder: Path, images: Path, labels: dict[str, list]) -> Path:
    """Write an output folder of `ovsam label images`, and the images: noise, one per name.

    `labels`: objects by the image's file name; none: an empty image; None: a failed one.
    """
    rng = np.random.default_rng(7)
    rows = []
    for name, objects in labels.items():
        path = images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(path)
        state = path.stat()
        record = ImageRecord(
            compute_image_id(name),
            name,
            path.absolute(),
            state.st_size,
            state.st_mtime_ns,
            source=str(images.absolute()),
        )
        rows.append(
            LabelRecord.failed(record, "torn")
            if objects is None
            else LabelRecord.labelled(record, WIDTH, HEIGHT, tuple(objects))
        )
    (folder / "parts").mkdir(parents=True)
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)]
    run = {
        "ovsam": "1.2",
        "task": "label",
        "categories": categories,
        "model": {"name": "nano"},
        "working_folder": str(Path.cwd()),
        "settings": {"sources": [str(images.absolute())]},
    }
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    write_part(folder / "parts", rows, "f")
    return folder


def write_seven_masks(folder: Path) -> Path:
    """Write folder/out with the 7 masks on a.png, an empty b.png and a failed c.png; return it."""
    masks = make_seven_masks()
    objects = [
        make_label(mask, number, name) for number, (name, mask) in enumerate(masks.items(), 1)
    ]
    labels = {"a.png": objects, "sub/b.png": [], "c.png": None}
    return write_output(folder / "out", folder / "images", labels)
