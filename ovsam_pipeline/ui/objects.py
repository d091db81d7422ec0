"""A row's objects → what a page draws of them: plain values for JSON, the same in every page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ovsam_pipeline.export.drawing.colours import choose_class_number, choose_colour, to_hex
from ovsam_pipeline.export.review_tasks import make_key
from ovsam_pipeline.output.answered_rows import REVIEWED_BY
from ovsam_pipeline.output.reviews import CurrentAnswer
from ovsam_pipeline.ui.outlines import outline_paths

OPINIONS = (
    "head_score",
    "clip_score",
    "detector_score",
    "detector_category",
    "model_category",
    "model_score",
    "margin",
    "detector_margin",
    "mask_score",
)
# Digits after the point of what was stored with seven in all: JSON is a third as long.
_DIGITS = 4

DrawnObject = dict[str, Any]
"""As JSON: number, key, category, category_id, colour, score, risk, reason, bbox, path, opinions,
reviewed_by, verdict; None where something is not known."""


def draw_objects(
    file_name: str,
    objects: Sequence[Mapping[str, Any]],
    tolerance: float,
    answers: Iterable[CurrentAnswer] = (),
) -> list[DrawnObject]:
    """Return the objects of one image, answers applied, as pages draw them.

    Args:
        file_name: of the image, as in its row.
        objects: of `ovsam label`, or the boxes of `ovsam detect`, which have no path.
        tolerance: how far outlines may be off, in pixels of the image.
        answers: `Answers.of` the file name, for the verdicts.

    `number` is the place in `objects`; `key` is that of `ovsam review`, "" for boxes; `bbox` is
    left, top, width, height in pixels of the upright original image; so is `path`, filled by the
    rule evenodd. A damaged mask has no path, and its object stays.
    """
    keys = list_keys(file_name, objects)
    paths = _outline([item.get("segmentation") for item in objects], tolerance)
    verdicts = find_verdicts(objects, answers)
    return [
        {
            "number": number,
            "key": keys[number],
            **describe_class(item),
            "score": to_number(item.get("score", item.get("detector_score"))),
            "risk": to_number(item.get("risk")),
            "reason": item.get("reason"),
            "bbox": [to_number(value) or 0 for value in item["bbox"]],
            "path": paths[number],
            "opinions": {name: to_number(item.get(name)) for name in OPINIONS},
            "reviewed_by": item.get(REVIEWED_BY),
            "verdict": verdicts[number],
        }
        for number, item in enumerate(objects)
    ]


def find_verdicts(
    objects: Iterable[Mapping[str, Any]], answers: Iterable[CurrentAnswer]
) -> list[str | None]:
    """Return what people said of the objects of one image, answers applied; None where nobody did.

    `answers`: `Answers.of` the image's file name.
    """
    said = {
        (one.answer.category, one.answer.segmentation["counts"]): one.answer.verdict
        for one in answers
        if one.answer.segmentation is not None
    }
    return [
        said.get((item["category"], item["segmentation"]["counts"]))
        if item.get(REVIEWED_BY) is not None
        else None
        for item in objects
    ]


def list_keys(file_name: str, objects: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the key of each object of an image: that of `ovsam review`; "" for boxes."""
    seen: dict[str, int] = {}
    keys = []
    for item in objects:
        mask = item.get("segmentation")
        if mask is None:
            keys.append("")
            continue
        number = seen.get(mask["counts"], 0)
        seen[mask["counts"]] = number + 1
        keys.append(make_key(file_name, mask, number))
    return keys


def describe_class(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the name, the id and the colour of an object's class, or of a box's."""
    name = item.get("category", item.get("detector_category")) or ""
    found = item.get("category_id", item.get("detector_category_id"))
    number = choose_class_number(name, found)
    return {"category": name, "category_id": number, "colour": write_colour(number)}


def write_colour(category_id: int) -> str:
    """Return the colour of a class as "#rrggbb": that of all pictures."""
    return to_hex(choose_colour(category_id))


def to_number(value: Any) -> Any:
    """Return a stored value for JSON: fewer digits, None for what is no finite number."""
    if not isinstance(value, float):
        return value
    return round(value, _DIGITS) if math.isfinite(value) else None


def _outline(masks: Sequence[Any], tolerance: float) -> list[str]:
    """Return the path of each mask; "" where there is none, or a damaged one."""
    there = [mask for mask in masks if mask is not None]
    try:
        paths = iter(outline_paths(there, tolerance))
        return [next(paths) if mask is not None else "" for mask in masks]
    except ValueError:
        return [_outline_one(mask, tolerance) for mask in masks]


def _outline_one(mask: Any, tolerance: float) -> str:
    try:
        return "" if mask is None else outline_paths([mask], tolerance)[0]
    except ValueError:
        return ""
