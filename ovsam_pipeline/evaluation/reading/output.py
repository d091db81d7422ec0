"""An output folder of `ovsam label` → `Predictions`: part after part, straight from the columns."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ovsam_pipeline.errors import DatasetError, OutputError
from ovsam_pipeline.evaluation.reading.class_map import map_by_id, map_classes
from ovsam_pipeline.evaluation.reading.prediction_table import Columns, build_predictions
from ovsam_pipeline.evaluation.reading.segment_checks import check_segmentations
from ovsam_pipeline.evaluation.structures import GroundTruth, Predictions, Problems
from ovsam_pipeline.output.folder import is_output, list_parts, read_run_file
from ovsam_pipeline.output.parts import open_part
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:
    from ovsam_pipeline.evaluation.structures import ScoreKind


def read_output(
    folder: AnyPath,
    truth: GroundTruth,
    *,
    class_map: Path | None = None,
    scores: ScoreKind = "stored",
) -> Predictions:
    """Read what `ovsam label` wrote.

    Images are those of the same id and name, else those of the same name, else those whose name
    ends alike: labels of a folder know no ids of a data set.

    Args:
        folder: the output folder.
        truth: the ground truth.
        class_map: file of predicted name → name in the ground truth.
        scores: "stored" and "model" are the score of the label, "detector" that of the box,
            "product" both.

    Raises:
        DatasetError: no output folder, or nothing in it is of the ground truth.
        OutputError: run.json or a part cannot be read.
    """
    if not is_output(folder):
        raise DatasetError(f"expected an output folder of ovsam label, got {folder}")
    columns, problems = Columns(), Problems()
    columns.has_boxes = columns.has_masks = True
    images = _ImageFinder(truth)
    answered = np.zeros(truth.num_images, bool)
    num_failed = num_rows = 0
    for part in list_parts(folder):
        table = _read_part(part)
        found = images.find(table)
        is_failed = np.array([s == "failed" for s in table["status"].to_pylist()], bool)
        num_failed += int((is_failed & (found >= 0)).sum())
        answered[found[(found >= 0) & ~is_failed]] = True
        num_rows += _take_objects(table, found, truth, (columns, problems), num_rows, scores)
    problems.add("images of the ground truth failed: not counted as answered", [], num_failed)
    unanswered = int(truth.num_images - answered.sum()) - num_failed
    problems.add("images of the ground truth have no row in the predictions", [], unanswered)
    categories = [(int(c["id"]), str(c["name"])) for c in read_run_file(folder)["categories"]]
    own = map_by_id(truth.categories)
    is_own = class_map is None and all(own.names.get(n) == name for n, name in categories)
    return build_predictions(
        str(folder),
        truth,
        columns,
        own if is_own else map_classes(categories, truth.categories, class_map),
        problems,
        answered,
    )


def _read_part(part: AnyPath) -> pa.Table:
    try:
        with open_part(part) as stream:
            return stream.read(columns=["image_id", "file_name", "status", "objects"])
    except (OSError, pa.ArrowException) as error:
        raise OutputError(f"cannot read {part}: {error}") from error


def _take_objects(
    table: pa.Table,
    found: np.ndarray,
    truth: GroundTruth,
    into: tuple[Columns, Problems],
    first_row: int,
    scores: ScoreKind,
) -> int:
    """Add the objects of a part; return how many there are."""
    columns, problems = into
    lists = table["objects"].combine_chunks()
    counts = np.diff(lists.offsets.to_numpy())
    objects = lists.flatten()
    num = len(objects)
    image_ids = np.where(found >= 0, truth.image_ids[found] if truth.num_images else -1, -1)
    columns.add("image_id", np.repeat(image_ids, counts))
    columns.add("row", np.arange(first_row, first_row + num))
    columns.add("category_id", objects.field("category_id").to_numpy(zero_copy_only=False))
    label = objects.field("score").to_numpy(zero_copy_only=False).astype(np.float64)
    box = objects.field("detector_score").to_numpy(zero_copy_only=False).astype(np.float64)
    chosen = {"stored": label, "model": label, "detector": box, "product": label * box}[scores]
    columns.add("score", chosen)
    columns.add("bbox", _flatten_boxes(objects.field("bbox"), num))
    columns.add("area", objects.field("area").to_numpy(zero_copy_only=False).astype(np.float64))
    columns.add("prompt_id", _read_prompts(objects, num))
    masks = objects.field("segmentation").to_pylist()
    readable, sizes_hw = check_segmentations(masks, lambda i: f"object {first_row + i}", problems)
    columns.add("is_readable", readable)
    columns.add("size_hw", sizes_hw.astype(np.int32))
    columns.segments.append_many(masks)
    return num


def _flatten_boxes(boxes: Any, num: int) -> np.ndarray:
    return boxes.flatten().to_numpy(zero_copy_only=False).astype(np.float64).reshape(num, 4)


def _read_prompts(objects: Any, num: int) -> np.ndarray:
    """Return (n,) int64; -1 for boxes that are no annotations, and in outputs made before."""
    if objects.type.get_field_index("prompt_id") < 0:
        return np.full(num, -1, np.int64)
    return objects.field("prompt_id").fill_null(-1).to_numpy(zero_copy_only=False)


class _ImageFinder:
    """Places of images in the ground truth."""

    def __init__(self, truth: GroundTruth) -> None:
        self.index_of_id = {int(n): i for i, n in enumerate(truth.image_ids)}
        self.names = truth.file_names
        self.index_of_name: dict[str, int] = {}
        self.index_of_base: dict[str, int | None] = {}
        for index, name in enumerate(truth.file_names):
            if name:
                self.index_of_name[name] = index
                base = PurePosixPath(name).name
                self.index_of_base[base] = None if base in self.index_of_base else index

    def find(self, table: pa.Table) -> np.ndarray:
        """Return (R,) int64 places of a part's rows, -1 for images that are not there."""
        pairs = zip(table["image_id"].to_pylist(), table["file_name"].to_pylist(), strict=True)
        return np.array([self._find_one(n, name) for n, name in pairs], np.int64)

    def _find_one(self, image_id: int, name: str) -> int:
        index = self.index_of_id.get(image_id)
        if index is not None and self.names[index] in (None, name):
            return index
        if name in self.index_of_name:
            return self.index_of_name[name]
        base = self.index_of_base.get(PurePosixPath(name).name)
        return -1 if base is None else base
