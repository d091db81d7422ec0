"""The worst instances as pictures on a page: annotation, prediction, and what is wrong."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ovsam.errors import OvsamError
from ovsam.masks import decode_mask
from ovsam_pipeline.evaluation.reporting.cases import Case
from ovsam_pipeline.evaluation.structures import GroundTruth
from ovsam_pipeline.export.drawing import (
    draw_outline,
    draw_text,
    encode_jpeg,
    find_outline,
    shorten_text,
    wrap_text,
)
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.read_image import decode_image
from ovsam_pipeline.storage.atomic import write_atomically

if TYPE_CHECKING:
    from ovsam_pipeline.evaluation.scoring.instances import InstanceScores

# On their black rims these two show on any background, and to people who see few colours.
_TRUTH, _PREDICTED = (255, 255, 255), (255, 140, 0)
_LEGEND = "white: annotation, orange: prediction"
_COLUMNS = ("picture", "what is wrong", "image id", "annotation id", "file")
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px sans-serif; margin: 2em; }} td, th {{ padding: 6px 12px; text-align: left; }}
tr {{ border-bottom: 1px solid #bbb; }} table {{ border-collapse: collapse; }}
img {{ max-width: 480px; }}
</style></head><body>
<h1>{title}</h1>
<p>{summary}<br>In the pictures, {legend}.</p>
<table>
{rows}
</table></body></html>
"""
_SIDE = 480
_MARGIN = 0.4
_LEAST_MARGIN = 16
_LINE = 18
_TEXT_SCALE = 0.42


def write_worst(
    folder: Path,
    truth: GroundTruth,
    worst: Sequence[Case],
    instances: InstanceScores | None,
    find_image: Callable[[int], Path | None],
) -> list[Path]:
    """Draw the worst instances as 01.jpg, 02.jpg, …, and list them in index.html.

    Images that cannot be read are passed over, and where none can be, there is no page.

    `worst` is from `choose_worst`, `instances` are of a run that prompts with annotations.
    `find_image` returns the file of an image, given its index. Returns the pictures.
    """
    heading = "The {count} worst instances", _summarise(truth, instances)
    return write_cases(folder, truth, worst, find_image, heading)


def write_cases(
    folder: Path,
    truth: GroundTruth,
    cases: Sequence[Case],
    find_image: Callable[[int], Path | None],
    heading: tuple[str, str],
) -> list[Path]:
    """Draw cases as 01.jpg, 02.jpg, … and list them in index.html; see `write_worst`.

    `heading`: the title of the page, in which {count} is the number of pictures, and a sentence.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    rows: list[str] = []
    for case in cases:
        image = _read_image(truth, case.image_index, find_image(case.image_index))
        if image is None:
            continue
        path = folder / f"{len(paths) + 1:02d}.jpg"
        write_atomically(path, _draw(image, truth, case))
        paths.append(path)
        rows.append(_list_case(truth, case, path.name))
    if paths:
        title, summary = heading
        page = _PAGE.format(
            title=html.escape(title.replace("{count}", str(len(paths)))),
            summary=html.escape(summary),
            legend=_LEGEND,
            rows="\n".join([f"<tr>{''.join(f'<th>{name}</th>' for name in _COLUMNS)}</tr>", *rows]),
        )
        write_atomically(folder / "index.html", page.encode("utf-8"))
    return paths


def _summarise(truth: GroundTruth, instances: InstanceScores | None) -> str:
    """Return how the worst compare with all."""
    if instances is None:
        return f"{len(truth.annotation_ids)} annotations: half mistakes, half misses."
    return (
        f"{len(instances.ious)} instances: mean IoU {instances.ious.mean():.3f}, "
        f"accuracy {instances.is_right.mean():.3f}; those of lowest IoU come first."
    )


def _list_case(truth: GroundTruth, case: Case, picture: str) -> str:
    """Return a row of the page."""
    annotation = "" if case.truth_row is None else str(truth.annotation_ids[case.truth_row])
    image = str(truth.image_ids[case.image_index])
    texts = (case.words, image, annotation, truth.file_names[case.image_index] or "")
    cells = [f'<a href="{picture}"><img src="{picture}" alt=""></a>', *map(html.escape, texts)]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _read_image(truth: GroundTruth, index: int, path: Path | None) -> np.ndarray | None:
    if path is None:
        return None
    record = ImageRecord(int(truth.image_ids[index]), truth.file_names[index] or path.name, path)
    try:
        return decode_image(record)
    except OvsamError:
        return None


def _draw(image: np.ndarray, truth: GroundTruth, case: Case) -> bytes:
    """Return a JPEG: the surroundings of the object with both outlines, and lines of text."""
    height, width = image.shape[:2]
    shown = []
    if case.truth_row is not None:
        row = case.truth_row
        item = truth.segments.read(int(truth.segment_rows[row]))
        shown.append((item, truth.boxes_xywh[row], _TRUTH))
    if case.prediction_row is not None:
        row, predictions = case.prediction_row, case.predictions
        item = predictions.segments.read(int(predictions.segment_rows[row]))
        shown.append((item, predictions.boxes_xywh[row], _PREDICTED))
    left, top, right, bottom = _choose_window(np.array([box for _, box, _ in shown]), height, width)
    scale = _SIDE / max(right - left, bottom - top)
    size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    picture = cv2.resize(image[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
    for item, box, colour in shown:
        mask = _decode(item, box, height, width)[top:bottom, left:right]
        outline = find_outline(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST))
        draw_outline(picture, outline, colour, 2)
    ids = f"image {truth.image_ids[case.image_index]}"
    if case.truth_row is not None:
        ids += f", annotation {truth.annotation_ids[case.truth_row]}"
    name = truth.file_names[case.image_index] or ""
    return encode_jpeg(_add_lines(picture, [case.words, ids, name, _LEGEND]))


def _choose_window(boxes_xywh: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom around all boxes with a margin, inside the image."""
    boxes_xywh = boxes_xywh[(boxes_xywh[:, 2:] > 0).all(axis=1)]
    if not len(boxes_xywh):
        return 0, 0, width, height
    low = boxes_xywh[:, :2].min(axis=0)
    high = (boxes_xywh[:, :2] + boxes_xywh[:, 2:]).max(axis=0)
    margin = max(_LEAST_MARGIN, _MARGIN * float((high - low).max()))
    left, top = np.clip(np.floor(low - margin), 0, (width - 1, height - 1)).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high + margin), 1, (width, height)).astype(int).tolist()
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _decode(item: Any, box_xywh: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the (H, W) uint8 mask; the box where there is no mask, or one of another size."""
    if item is not None:
        with suppress(ValueError):
            return np.ascontiguousarray(decode_mask(item, height, width))
    mask = np.zeros((height, width), np.uint8)
    left, top, right, bottom = (round(v) for v in (*box_xywh[:2], *(box_xywh[:2] + box_xywh[2:])))
    mask[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = 1
    return mask


def _add_lines(picture: np.ndarray, lines: list[str]) -> np.ndarray:
    """Return a picture with lines of text under it, white where it is narrower than they are."""
    height, width = picture.shape[:2]
    whole_width = max(width, _SIDE)
    room = whole_width - 12
    lines = [part for line in lines for part in wrap_text(line, room, _TEXT_SCALE)]
    whole = np.full((height + _LINE * len(lines) + 8, whole_width, 3), 255, np.uint8)
    whole[:height, :width] = picture
    for index, line in enumerate(lines):
        text = shorten_text(line, room, _TEXT_SCALE)
        draw_text(whole, text, (6, height + _LINE * (index + 1)), _TEXT_SCALE)
    return whole
