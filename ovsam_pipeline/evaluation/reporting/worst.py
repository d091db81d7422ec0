"""Cases as pictures, and on a page: annotation, prediction, and what is wrong."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ovsam.errors import OvsamError
from ovsam.masks import to_rle
from ovsam_pipeline.evaluation.reporting.cases import Case, choose_window
from ovsam_pipeline.evaluation.structures import GroundTruth
from ovsam_pipeline.export.drawing.colours import BLACK, Colour
from ovsam_pipeline.export.drawing.shapes import (
    Shape,
    draw_outline,
    encode_jpeg,
    resize_picture,
    shape_of_box,
    shape_of_mask,
)
from ovsam_pipeline.export.drawing.text import (
    draw_text,
    get_line_height,
    shorten_text,
    to_drawable,
    wrap_text,
)
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.read_image import decode_image
from ovsam_pipeline.storage.atomic import write_atomically

# Solid and dashed tell them apart without colours; on their rims both show on any background.
_TRUTH: Colour = (255, 255, 255)
_PREDICTED: Colour = (255, 140, 0)
_LEGEND = "white and solid: annotation; orange and dashed: prediction"
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
_FONT_SIZE, _QUIET = 12, (96, 96, 100)


def draw_cases(
    folder: Path,
    truth: GroundTruth,
    cases: Sequence[Case],
    find_image: Callable[[int], Path | None],
) -> dict[Path, Case]:
    """Draw cases as 01.jpg, 02.jpg, … and return which picture is of which.

    Images that cannot be read are passed over. `find_image` returns the file of an image, given
    its index.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[Path, Case] = {}
    for case in cases:
        image = _read_image(truth, case.image_index, find_image(case.image_index))
        if image is not None:
            path = folder / f"{len(drawn) + 1:02d}.jpg"
            write_atomically(path, _draw(image, truth, case))
            drawn[path] = case
    return drawn


def write_cases(
    folder: Path,
    truth: GroundTruth,
    cases: Sequence[Case],
    find_image: Callable[[int], Path | None],
    heading: tuple[str, str],
) -> list[Path]:
    """Draw cases and list them in index.html; no page where no image could be read.

    `heading`: the title of the page, in which {count} is the number of pictures, and a sentence.
    """
    drawn = draw_cases(folder, truth, cases, find_image)
    rows = [_list_case(truth, case, path.name) for path, case in drawn.items()]
    if rows:
        title, summary = heading
        page = _PAGE.format(
            title=html.escape(title.replace("{count}", str(len(rows)))),
            summary=html.escape(summary),
            legend=_LEGEND,
            rows="\n".join([f"<tr>{''.join(f'<th>{name}</th>' for name in _COLUMNS)}</tr>", *rows]),
        )
        write_atomically(folder / "index.html", page.encode("utf-8"))
    return list(drawn)


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
    shown: list[tuple[Any, np.ndarray, Colour]] = []
    if case.truth_row is not None:
        row = case.truth_row
        item = truth.segments.read(int(truth.segment_rows[row]))
        shown.append((item, truth.boxes_xywh[row], _TRUTH))
    if case.prediction_row is not None:
        row, predictions = case.prediction_row, case.predictions
        item = predictions.segments.read(int(predictions.segment_rows[row]))
        shown.append((item, predictions.boxes_xywh[row], _PREDICTED))
    window = choose_window(np.array([box for _, box, _ in shown]), height, width)
    left, top, right, bottom = window
    scale = _SIDE / max(right - left, bottom - top)
    size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    picture = resize_picture(image[top:bottom, left:right], size)
    for item, box, colour in shown:
        shape = _find_shape(item, box, (height, width), window, size)
        if shape is not None:
            draw_outline(picture, shape, colour, 2, is_dashed=colour == _PREDICTED)
    ids = f"image {truth.image_ids[case.image_index]}"
    if case.truth_row is not None:
        ids += f", annotation {truth.annotation_ids[case.truth_row]}"
    name = truth.file_names[case.image_index] or ""
    return encode_jpeg(_add_lines(picture, case.words, [ids, name, _LEGEND]))


def _find_shape(
    item: Any,
    box_xywh: np.ndarray,
    image_hw: tuple[int, int],
    window: tuple[int, int, int, int],
    size_wh: tuple[int, int],
) -> Shape | None:
    """Return a mask as the picture of a window shows it.

    The box where there is no mask, or one of another size; None where nothing of it is seen.
    """
    if item is not None:
        with suppress(ValueError):
            return shape_of_mask(to_rle(item, *image_hw), image_hw, size_wh, window)
    left, top, right, bottom = window
    scale = np.array(size_wh * 2) / (right - left, bottom - top, right - left, bottom - top)
    corners = np.concatenate([box_xywh[:2], box_xywh[:2] + box_xywh[2:]])
    corners = (corners - (left, top, left, top)) * scale
    corners = np.clip(corners, 0, np.array(size_wh * 2) - 1).round().astype(int)
    x0, y0, x1, y1 = corners.tolist()
    return shape_of_box((x0, y0, x1, y1)) if x0 < x1 and y0 < y1 else None


def _add_lines(picture: np.ndarray, words: str, quiet: list[str]) -> np.ndarray:
    """Return a picture with lines of text under it, white where it is narrower than they are."""
    height, width = picture.shape[:2]
    whole_width, line_height = max(width, _SIDE), get_line_height(_FONT_SIZE) + 3
    room = whole_width - 12
    lines = [
        (shorten_text(line, room, _FONT_SIZE), colour)
        for text, colour in [(words, BLACK), *((text, _QUIET) for text in quiet)]
        for line in wrap_text(to_drawable(text), room, _FONT_SIZE)
    ]
    whole = np.full((height + line_height * len(lines) + 12, whole_width, 3), 255, np.uint8)
    left = (whole_width - width) // 2
    whole[:height, left : left + width] = picture
    for index, (line, colour) in enumerate(lines):
        draw_text(whole, line, (6, height + 6 + line_height * index), _FONT_SIZE, colour)
    return whole
