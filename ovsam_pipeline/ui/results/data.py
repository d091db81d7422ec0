"""The folder of an evaluation → what its page shows, as plain values for JSON.

`GET api/results` and a self-contained report give (`EvalResults.describe`):

    {"output": folder, "iou_of": "mask"|"box", "images": bool,
     "metrics": metrics.json as it is,
     "classes": {"columns": [names of per_class.csv], "rows": [[text|number|null, …], …]},
     "curves": {TYPE: {"classes": [rows of classes, -1: all together], "recall": [10 numbers],
                       "precision_50": [101 numbers], "precision_75": …, "precision": …,
                       "data": base64 of (n, 3, 101) uint16 LE, 65535 is 1: those of classes}},
     "pairs": [{"truth", "predicted", "count", "examples": how many}], "num_pairs",
     "matrix": {"classes", "counts", "others", "missed"} | null,
     "worst": how many, "notes": [sentences]}

`GET api/results/examples?of=worst|PAIR` gives a list of examples (`EvalResults.list_examples`):

    {"image_id", "file_name", "width", "height", "words", "iou": number|null,
     "truth": DrawnObject|null, "prediction": DrawnObject|null, "annotation_id": number|null,
     "window": [left, top, width, height], "crop": address|null, "picture": address|null}

Boxes, paths and windows are pixels of the upright original image.
"""

from __future__ import annotations

import base64
import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ovsam.decode import IMAGE_SUFFIXES
from ovsam.errors import explain
from ovsam.masks import to_rle
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reporting.cases import choose_window
from ovsam_pipeline.evaluation.reporting.examples import EXAMPLES_FILE, read_examples
from ovsam_pipeline.evaluation.reporting.files import (
    CURVES,
    CURVES_FILE,
    read_curves,
    read_metrics,
)
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath
from ovsam_pipeline.ui.objects import OPINIONS
from ovsam_pipeline.ui.outlines import outline_path

CROP_SIDE = 480
# The annotation and the prediction, as in all pictures of an evaluation.
TRUTH_COLOUR, PREDICTION_COLOUR = "#ffffff", "#ff8c00"
# Of the two sides of an example.
_NEEDED = {
    "truth": ("category", "segmentation", "annotation_id"),
    "prediction": ("category", "segmentation"),
}
_TEXTS = ("name", "split", "frequency")

# Group of examples ("worst" or the number of a pair), number in it → address of its crop.
Address = Callable[[str, int], str | None]


def is_results(path: AnyPath) -> bool:
    """Return whether a path is the folder of an evaluation, or its metrics.json."""
    if isinstance(path, RemotePath):
        return False
    metrics = path if path.name == "metrics.json" else path / "metrics.json"
    return metrics.is_file() and not (metrics.parent / "run.json").exists()


@dataclass(frozen=True)
class ExamplePicture:
    """Where the image of an example is.

    Attributes:
        window: left, top, width, height of the part around the object, in pixels.
        size: width and height when it was measured, None where they were not stated.
    """

    path: Path
    window: tuple[int, int, int, int]
    size: tuple[int, int] | None


@dataclass(frozen=True)
class EvalResults:
    """One evaluation, read whole: metrics.json, per_class.csv, curves and examples.

    Attributes:
        classes: columns of per_class.csv by name, each as long as there are classes.
        curves: from `read_curves`.
        examples: from `read_examples`; None where an earlier version wrote none.
    """

    folder: Path
    metrics: dict[str, Any]
    classes: dict[str, list[Any]]
    curves: dict[str, dict[str, np.ndarray]]
    examples: dict[str, Any] | None

    def describe(self) -> dict[str, Any]:
        """Return what the page shows without its examples; see the module."""
        found = self.examples or {}
        rows = zip(*self.classes.values(), strict=True)
        pairs = found.get("confusions", [])
        return {
            "output": str(self.folder),
            "iou_of": found.get("iou_of", "mask"),
            "images": any(image.get("path") for image in found.get("images", [])),
            "metrics": self.metrics,
            "classes": {"columns": list(self.classes), "rows": [list(row) for row in rows]},
            "curves": {kind: self._describe_curves(kind) for kind in self.curves},
            "pairs": [{**pair, "examples": len(pair["examples"])} for pair in pairs],
            "num_pairs": found.get("num_pairs", 0),
            "matrix": found.get("matrix"),
            "worst": len(found.get("worst", [])),
            "notes": self._list_notes(),
        }

    def count_groups(self) -> dict[str, int]:
        """Return how many examples there are of the worst ("worst") and of each pair ("0", …)."""
        found = self.examples or {}
        pairs = enumerate(found.get("confusions", []))
        return {
            "worst": len(found.get("worst", [])),
            **{str(number): len(pair["examples"]) for number, pair in pairs},
        }

    def list_examples(self, group: str, find_crop: Address, find_whole: Address) -> list[Any]:
        """Return examples of "worst" or of the pair of a number, ready to be drawn.

        Args:
            find_crop: the address of the picture of an example's window. find_whole: of its image.

        Raises:
            DatasetError: there is no such group.
        """
        return [
            self._describe_example(item, find_crop(group, number), find_whole(group, number))
            for number, item in enumerate(self._get_group(group))
        ]

    def find_picture(self, group: str, number: int) -> ExamplePicture:
        """Return where the image of an example is, and which part of it is shown.

        Raises:
            DatasetError: there is no such example, or it is not known where its image is.
        """
        items = self._get_group(group)
        if not 0 <= number < len(items):
            raise DatasetError(f"expected an example below {len(items)}, got {number}")
        image = self._get_image(items[number])
        path = image.get("path")
        if not path or Path(path).suffix.lower() not in IMAGE_SUFFIXES:
            raise DatasetError(f"it is not known where the picture {image.get('file_name')} is")
        width, height = image.get("width"), image.get("height")
        size = (int(width), int(height)) if width and height else None
        return ExamplePicture(Path(path), find_window(items[number], image), size)

    def _get_group(self, group: str) -> Sequence[Any]:
        found = self.examples or {}
        if group == "worst":
            return list(found.get("worst", []))
        pairs = found.get("confusions", [])
        number = (
            int(group) if group.isascii() and group.isdigit() and len(group) < 9 else len(pairs)
        )
        if number >= len(pairs):
            raise DatasetError(
                f'expected examples of "worst" or of a pair below {len(pairs)}, got {group[:40]}'
            )
        return list(pairs[number]["examples"])

    def _get_image(self, item: Mapping[str, Any]) -> dict[str, Any]:
        assert self.examples is not None
        return dict(self.examples["images"][item["image"]])

    def _describe_curves(self, kind: str) -> dict[str, Any]:
        curves = self.curves[kind]
        places = {number: row for row, number in enumerate(self.classes["category_id"])}
        stacked = np.stack([curves[name] for name in CURVES], axis=1)
        shares = np.rint(np.clip(stacked, 0, 1) * 65535).astype("<u2")
        return {
            "classes": [places.get(number, -1) for number in curves["category_id"].tolist()],
            "recall": _round(curves["recall"].mean(axis=0)) if len(stacked) else [],
            **{name: _round(curves[name].mean(axis=0)) for name in CURVES if len(stacked)},
            "data": base64.b64encode(shares.tobytes()).decode("ascii"),
        }

    def _list_notes(self) -> list[str]:
        notes = []
        has_ap = any(kind in self.metrics["metrics"] for kind in ("segm", "bbox"))
        if has_ap and not self.curves:
            notes.append(
                "No curves of precision and recall: an earlier version of ovsam made this folder. "
                "Run ovsam eval again to have them."
            )
        if self.examples is None:
            notes.append(
                "No examples of confusions and of the worst: ovsam eval keeps them unless it is "
                "run with --worst 0."
            )
        return notes

    def _describe_example(
        self, item: Mapping[str, Any], crop: str | None, whole: str | None
    ) -> dict[str, Any]:
        image = self._get_image(item)
        window = find_window(item, image)
        truth, prediction = item["truth"], item["prediction"]
        width, height = measure_image(item, image)
        tolerance = max(window[2:]) / CROP_SIDE / 2
        size = height, width
        return {
            "image_id": image.get("id"),
            "file_name": image.get("file_name"),
            "width": width,
            "height": height,
            "words": item["words"],
            "iou": item["iou"],
            "truth": _draw(truth, 0, TRUTH_COLOUR, size, tolerance),
            "prediction": _draw(prediction, 1, PREDICTION_COLOUR, size, tolerance),
            "annotation_id": truth["annotation_id"] if truth else None,
            "window": window,
            "crop": crop,
            "picture": whole,
        }


def read_results(path: Path) -> EvalResults:
    """Read the folder of an evaluation, or the one of its metrics.json.

    Raises:
        DatasetError: it holds no metrics.json of ours, or a file of it is damaged.
    """
    folder = path.parent if path.name == "metrics.json" else path
    examples = _drop_infinite(read_examples(folder / EXAMPLES_FILE))
    return EvalResults(
        folder,
        _drop_infinite(read_metrics(folder / "metrics.json")),
        _read_classes(folder / "per_class.csv"),
        read_curves(folder / CURVES_FILE),
        _check_examples(examples, folder / EXAMPLES_FILE),
    )


def _drop_infinite(value: Any) -> Any:
    """Return a value with None for each number that is none: Python reads NaN, no browser does."""
    if isinstance(value, dict):
        return {key: _drop_infinite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_drop_infinite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def find_window(item: Mapping[str, Any], image: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Return left, top, width, height around truth and prediction, with a margin, in the image."""
    width, height = measure_image(item, image)
    boxes = [item[side]["bbox"] for side in ("truth", "prediction") if item[side]]
    corners = choose_window(np.array(boxes, np.float64).reshape(-1, 4), height, width)
    left, top, right, bottom = corners
    return left, top, right - left, bottom - top


def measure_image(item: Mapping[str, Any], image: Mapping[str, Any]) -> tuple[int, int]:
    """Return width and height of an example's image; where unstated, as large as its boxes are."""
    if image.get("width") and image.get("height"):
        return int(image["width"]), int(image["height"])
    shapes = [item[side] for side in ("truth", "prediction") if item[side]]
    sizes = [shape["segmentation"]["size"] for shape in shapes if _has_runs(shape)]
    if sizes:
        return int(sizes[0][1]), int(sizes[0][0])
    ends = [[box[0] + box[2], box[1] + box[3]] for box in (shape["bbox"] for shape in shapes)]
    right, bottom = np.ceil(np.max([*ends, [1, 1]], axis=0)).astype(int).tolist()
    return right, bottom


def _has_runs(shape: Mapping[str, Any]) -> bool:
    return isinstance(shape["segmentation"], dict)


def _draw(
    shape: Mapping[str, Any] | None,
    number: int,
    colour: str,
    size_hw: tuple[int, int],
    tolerance: float,
) -> dict[str, Any] | None:
    """Return one side of an example as the pages draw objects; see `ui/objects.py`."""
    if shape is None:
        return None
    return {
        "number": number,
        "key": "prediction" if number else "truth",
        "category": shape["category"],
        "category_id": 0,
        "colour": colour,
        "score": shape.get("score"),
        "risk": None,
        "reason": None,
        "bbox": shape["bbox"],
        "path": _outline(shape["segmentation"], size_hw, tolerance),
        "opinions": dict.fromkeys(OPINIONS),
        "reviewed_by": None,
        "verdict": None,
    }


def _outline(segmentation: Any, size_hw: tuple[int, int], tolerance: float) -> str:
    """Return the path of a mask; "" where there is none, or a damaged one: the box is drawn."""
    if segmentation is None:
        return ""
    try:
        rle = to_rle(segmentation, *size_hw)
        counts = rle["counts"]
        text = counts.decode("ascii") if isinstance(counts, bytes) else counts
        return outline_path({"size": rle["size"], "counts": text}, tolerance)
    except (ValueError, TypeError):
        return ""


def _read_classes(path: Path) -> dict[str, list[Any]]:
    """Return per_class.csv as columns of texts, numbers and None."""
    with explain("cannot read", path, DatasetError):
        content = path.read_bytes()
    try:
        # Names keep the ends of lines that are in them.
        lines = list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"cannot read {path} as a table: {error}") from error
    header, rows = (lines[0], lines[1:]) if lines else ([], [])
    if "category_id" not in header or any(len(row) != len(header) for row in rows):
        raise DatasetError(f"expected per_class.csv of ovsam eval in {path}, got another table")
    return {
        name: [_read_cell(name, row[place], path) for row in rows]
        for place, name in enumerate(header)
    }


def _read_cell(name: str, text: str, path: Path) -> Any:
    if name in _TEXTS or not text:
        return text or None
    try:
        number = int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError as error:
        raise DatasetError(f"expected a number as {name} in {path}, got {text[:40]}") from error
    return number if math.isfinite(number) else None


def _check_examples(found: dict[str, Any] | None, path: Path) -> dict[str, Any] | None:
    """Refuse a file whose examples are not as ours are."""
    try:
        for item in _iterate_examples(found or {}):
            assert found is not None
            image = found["images"][item["image"]]
            find_window(item, image)
            Path(image.get("path") or "")
            item["iou"], str(item["words"])
            for side, needed in _NEEDED.items():
                [item[side][name] for name in needed if item[side]]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(
            f"expected {EXAMPLES_FILE} of ovsam eval in {path}, got another file ({error!r}); run "
            "ovsam eval again"
        ) from error
    return found


def _iterate_examples(found: Mapping[str, Any]) -> Sequence[Any]:
    pairs = found.get("confusions", [])
    return [*found.get("worst", []), *(item for pair in pairs for item in pair["examples"])]


def _round(values: np.ndarray) -> list[float]:
    return [round(value, 4) for value in values.tolist()]
