"""Labels → a table with one line an object, for spreadsheets, R and pandas.

UTF-8 with a byte order mark, without which Excel takes it for the machine's old encoding; lines end
as RFC 4180 has it. Names are text of others, and spreadsheets run what looks like a formula: such a
cell gets an apostrophe before it. What is not known is an empty cell.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from ovsam_pipeline.export.labels import LabelledImage, iterate_labelled, read_categories
from ovsam_pipeline.export.mask_crops import crop_mask
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.export.shape import measure_shape
from ovsam_pipeline.output.answered_rows import REVIEWED_BY
from ovsam_pipeline.output.checked_labels import Calibration, need_calibration
from ovsam_pipeline.output.folder import read_run_file
from ovsam_pipeline.storage.atomic import replace_file
from ovsam_pipeline.storage.remote_path import AnyPath

# Columns of the rows that stand in the table as they are.
_TEXTS = ("category", "model_category", "detector_category", "reason", REVIEWED_BY)
_NUMBERS = (
    "score", "model_score", "head_score", "clip_score", "detector_score", "mask_score", "margin",
    "detector_margin", "risk",
)  # fmt: skip
COLUMNS = (
    "file_name", "image_id", "image_width", "image_height", "object", "category", "category_id",
    *_NUMBERS, "model_category", "detector_category", "reason", REVIEWED_BY,
    "area", "area_share", "box_left", "box_top", "box_width", "box_height",
    "centre_x", "centre_y", "length", "width", "orientation",
)  # fmt: skip
# With --calibrated: the probability that the name is right, and that the whole label is.
_CALIBRATED = ("calibrated_score", "right_probability")
_FIELDS = (
    "category", "category_id", *_NUMBERS, "model_category", "detector_category", "reason", "area",
    "bbox", "segmentation",
)  # fmt: skip
# What begins like a formula, also behind blanks and apostrophes; the full-width signs are formulas
# in Chinese and Japanese versions. Whoever wants the names back removes one apostrophe from these.
_FORMULA = re.compile("^['\\s]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|^'*[\t\r\n]")
_DIGITS = 6


def export_csv(output: AnyPath, target: AnyPath, options: ExportOptions) -> ExportSummary:
    """Write one line for each chosen object into a file, which is replaced when it is complete."""
    read_categories(output, options.choice)  # refuses what is no output, and unknown classes
    calibration = None
    if options.calibrated:
        calibration = need_calibration(output, read_run_file(output).get("fingerprint", ""))
    summary = ExportSummary()
    with replace_file(target) as temporary, temporary.open("wb") as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        table = csv.writer(text)
        table.writerow((*COLUMNS, *(_CALIBRATED if calibration else ())))
        for image in iterate_labelled(output, options.choice, _FIELDS):
            lines = zip(_list_lines(image), image.objects, strict=True)
            table.writerows([*line, *_calibrate(item, calibration)] for line, item in lines)
            summary.images += 1
            summary.objects += len(image.objects)
        text.flush()
    return summary


def neutralise(text: str | None) -> str:
    """Return a text as a cell that no spreadsheet runs; "" for None."""
    text = "" if text is None else text.replace("\0", "\ufffd")
    return f"'{text}" if _FORMULA.match(text) else text


def restore(text: str) -> str:
    """Return the text of a cell that `neutralise` made, also after a spreadsheet wrote it again."""
    return text[1:] if text[:1] == "'" and _FORMULA.match(text[1:]) else text


def _list_lines(image: LabelledImage) -> Iterator[list[Any]]:
    name = neutralise(image.file_name)
    for number, item in enumerate(image.objects, start=1):
        values = {
            "file_name": name,
            "image_id": image.image_id,
            "image_width": image.width,
            "image_height": image.height,
            "object": number,
            "category_id": item["category_id"],
            "area": item["area"],
            "area_share": round(item["area"] / (image.width * image.height), _DIGITS),
            **{key: neutralise(item.get(key)) for key in _TEXTS},
            **{key: _shorten(item.get(key)) for key in _NUMBERS},
            **dict(zip(_BOX, map(_shorten, item["bbox"]), strict=True)),
            **_measure(item),
        }
        yield [values.get(column, "") for column in COLUMNS]


_BOX = ("box_left", "box_top", "box_width", "box_height")


def _measure(item: dict[str, Any]) -> dict[str, float]:
    """Return centre, length, width and orientation; nothing for an empty mask."""
    shape = measure_shape(crop_mask(item["segmentation"]))
    return {} if shape is None else {k: round(v, _DIGITS) for k, v in shape._asdict().items()}


def _calibrate(item: dict[str, Any], calibration: Calibration | None) -> list[Any]:
    """Return the cells of _CALIBRATED; empty ones where a map or a number is not known."""
    if calibration is None:
        return []
    risk = item.get("risk")
    chance = None if risk is None else 1 - risk
    inputs = ((item.get("score"), calibration.name), (chance, calibration.label))
    return [
        "" if value is None or fitted is None else round(float(fitted.map.apply(value)), _DIGITS)
        for value, fitted in inputs
    ]


def _shorten(value: float | None) -> str:
    """Return the shortest decimal of a float32, which Python holds as a longer float64."""
    return "" if value is None else str(np.float32(value))
