"""Make the pictures of docs/gallery.md, and README's first one, with what is in this repository.

python scripts/docs_pictures.py            # all: minutes
python scripts/docs_pictures.py audit      # those whose name begins so

Every picture is of the embedded models at their defaults, and shows all objects that came out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ovsam.masks import decode_mask, encode_mask
from ovsam_pipeline.export.preview import draw_objects
from ovsam_pipeline.output.folder import list_parts
from ovsam_pipeline.output.parts import iterate_part_rows
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.read_image import decode_image

ROOT = Path(__file__).resolve().parents[1]
PHOTOS, SCENES = ROOT / "examples" / "photos", ROOT / "examples" / "scenes"
TARGET = ROOT / "docs" / "images"
# As wide as GitHub shows a page, so that letters are as high as they were drawn.
WIDTH, _GAP, _FONT = 1000, 6, 13
_MOST_BYTES = 150_000


def main(wanted: str) -> None:
    """Make the pictures whose names begin with `wanted`."""
    makers = {
        "photos": make_photos,
        "scenes": make_scenes,
        "boxes": make_boxes,
        "points": make_points,
        "crowd": make_crowd,
        "eval": make_eval,
        "audit": make_audit,
    }
    for name, make in makers.items():
        if name.startswith(wanted):
            with tempfile.TemporaryDirectory() as folder:
                make(Path(folder))


def make_photos(folder: Path) -> None:
    """All example photographs with photo: README's four, and the others."""
    run("label", PHOTOS, "-o", folder / "out", "--quiet")
    rows = read_rows(folder / "out")
    first = ("astronaut.png", "chelsea.png", "china.jpg", "rocket.jpg")
    write_rows("photos", PHOTOS, [rows[name] for name in first], per_line=2)
    others = [row for name, row in rows.items() if name not in first]
    write_rows("gallery_photos", PHOTOS, others, per_line=2)


def make_scenes(folder: Path) -> None:
    """Scenes with nano, for which they were drawn."""
    run("label", SCENES, "-o", folder / "out", "--model", "nano", "--quiet")
    rows = list(read_rows(folder / "out").values())
    write_rows("gallery_scenes", SCENES, rows[:4], per_line=2)


def make_boxes(folder: Path) -> None:
    """What a detector alone stores."""
    run("detect", PHOTOS, "-o", folder / "out", "--conf", "0.1", "--quiet")
    rows = read_rows(folder / "out")
    chosen = [rows[name] for name in ("coffee.png", "china.jpg")]
    write_rows("gallery_boxes", PHOTOS, chosen, per_line=2)


def make_points(folder: Path) -> None:
    """A point in each object as the prompt."""
    points = f"gt:{SCENES / 'annotations.json'}#points"
    options = ("--model", "nano", "--detector", points, "--quiet")
    run("label", SCENES / "annotations.json", "-o", folder / "out", *options)
    rows = list(read_rows(folder / "out").values())
    write_rows("gallery_points", SCENES, rows[6:9], per_line=3)


def make_crowd(folder: Path) -> None:
    """Twelve scenes side by side as one picture: more objects than names fit on it."""
    run("label", SCENES, "-o", folder / "out", "--model", "nano", "--quiet")
    rows = list(read_rows(folder / "out").values())[:12]
    image, objects = put_together(SCENES, rows, side=200)
    write_picture("gallery_crowd", draw_objects(image, objects, scale=1, font_size=_FONT))


def make_eval(folder: Path) -> None:
    """Worst cases and a plot of eval."""
    dataset = SCENES / "annotations.json"
    run("eval", "--dataset", dataset, "--model", "nano", "-o", folder / "out", "--quiet")
    worst = [folder / "out" / "worst" / f"{number:02d}.jpg" for number in (1, 2, 3, 4)]
    write_picture("gallery_eval_worst", arrange([read_picture(path) for path in worst], 2))
    plots = [folder / "out" / "plots" / name for name in ("iou_histogram.png", "by_size.png")]
    write_picture("gallery_eval_plots", arrange([read_picture(path) for path in plots], 2))


def make_audit(folder: Path) -> None:
    """Worst findings in annotations that were damaged on purpose."""
    annotations = json.loads((SCENES / "annotations.json").read_text())
    items = annotations["annotations"]
    items[3]["category_id"] = items[40]["category_id"]
    items[12]["bbox"][0] += 0.6 * items[12]["bbox"][2]
    del items[12]["segmentation"], items[25]
    damaged = folder / "damaged.json"
    damaged.write_text(json.dumps(annotations))
    options = ("--image-root", SCENES, "--model", "nano", "--detector", "nano", "--quiet")
    run("audit", damaged, "-o", folder / "out", *options)
    worst = [folder / "out" / "worst" / f"{number:02d}.jpg" for number in (1, 2, 3, 4)]
    write_picture("gallery_audit_worst", arrange([read_picture(path) for path in worst], 2))


def run(*words: object) -> None:
    """Run a command of ours."""
    command = [sys.executable, "-m", "ovsam_pipeline", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def read_rows(output: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of an output by file name, sorted by it."""
    rows = (row for part in list_parts(output) for row in iterate_part_rows(part))
    return {row["file_name"]: row for row in sorted(rows, key=lambda row: str(row["file_name"]))}


def write_rows(name: str, folder: Path, rows: Sequence[Mapping[str, Any]], per_line: int) -> None:
    """Draw rows of an output, so many beside each other, and write them as one picture."""
    lines = []
    for start in range(0, len(rows), per_line):
        line = rows[start : start + per_line]
        height = fit_height([row["width"] / row["height"] for row in line], per_line)
        pictures = []
        for row in line:
            image = read_image(folder, row["file_name"])
            scale = height / row["height"]
            pictures.append(draw_objects(image, row["objects"], scale=scale, font_size=_FONT))
        lines.append(put_beside(pictures))
    write_picture(name, put_below(lines))


def arrange(pictures: Sequence[np.ndarray], per_line: int) -> np.ndarray:
    """Return pictures in lines, each reduced to its share of the page's width."""
    width = (WIDTH - _GAP * (per_line - 1)) // per_line
    reduced = [
        cv2.resize(
            one, (width, round(one.shape[0] * width / one.shape[1])), interpolation=cv2.INTER_AREA
        )
        for one in pictures
    ]
    lines = range(0, len(reduced), per_line)
    return put_below([put_beside(reduced[start : start + per_line]) for start in lines])


def fit_height(ratios: Sequence[float], per_line: int) -> int:
    """Return the height at which pictures of these ratios fill the page's width."""
    missing = per_line - len(ratios)
    return int((WIDTH - _GAP * (per_line - 1)) / (sum(ratios) + missing * max(ratios)))


def put_beside(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return pictures beside each other on white, at most as wide as the page."""
    line = np.full((max(len(one) for one in pictures), WIDTH, 3), 255, np.uint8)
    left = 0
    for one in pictures:
        line[: len(one), left : left + one.shape[1]] = one[:, : WIDTH - left]
        left += one.shape[1] + _GAP
    return line


def put_below(lines: Sequence[np.ndarray]) -> np.ndarray:
    """Return lines of pictures below each other."""
    gap = np.full((_GAP, WIDTH, 3), 255, np.uint8)
    parts = [part for line in lines for part in (gap, line)]
    return np.concatenate(parts[1:])


def put_together(
    folder: Path, rows: Sequence[Mapping[str, Any]], side: int
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return images as one, four beside each other, each in a square; and all their objects."""
    whole = np.zeros((side * -(-len(rows) // 4), side * 4, 3), np.uint8)
    objects = []
    for index, row in enumerate(rows):
        left, top = index % 4 * side, index // 4 * side
        image = cv2.resize(read_image(folder, row["file_name"]), (side, side))
        whole[top : top + side, left : left + side] = image
        for item in row["objects"]:
            mask = decode_mask(item["segmentation"], row["height"], row["width"])
            place = np.zeros(whole.shape[:2], np.uint8)
            place[top : top + side, left : left + side] = cv2.resize(mask, (side, side))
            objects.append({**item, "segmentation": encode_mask(place)})
    return whole, objects


def read_image(folder: Path, name: str) -> np.ndarray:
    """Return an image as the pipeline reads it."""
    return decode_image(ImageRecord(1, name, folder / name))


def read_picture(path: Path) -> np.ndarray:
    """Return an RGB picture that a command wrote."""
    return np.ascontiguousarray(cv2.imread(str(path))[:, :, ::-1])


def write_picture(name: str, picture: np.ndarray) -> None:
    """Write a JPEG file of at most 150 kB into docs/images."""
    for quality in (88, 84, 80, 75, 70, 60):
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        _, data = cv2.imencode(".jpg", picture[:, :, ::-1], options)
        if len(data) <= _MOST_BYTES:
            break
    path = TARGET / f"{name}.jpg"
    path.write_bytes(data.tobytes())
    sys.stdout.write(f"{path.relative_to(ROOT)}: {picture.shape[1]} x {picture.shape[0]}, ")
    sys.stdout.write(f"{len(data) // 1000} kB, quality {quality}\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
