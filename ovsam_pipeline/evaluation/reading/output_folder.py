"""An output folder of `ovsam label` or `ovsam detect` → `RawPredictions`, straight from columns.

Letters: R rows of a part, n objects in them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.columns import RawPredictions, index_truth
from ovsam_pipeline.evaluation.reading.segment_checks import check_segmentations
from ovsam_pipeline.evaluation.structures import GroundTruth, ScoreKind
from ovsam_pipeline.output.answered_rows import read_corrections, replace_objects
from ovsam_pipeline.output.folder import is_output, list_parts, read_run_file
from ovsam_pipeline.output.parts import read_part
from ovsam_pipeline.output.reviews import Answers
from ovsam_pipeline.storage.remote_path import AnyPath

_NO_CLASS = -1  # the category id of boxes to which a detector gave none


def read_output_folder(
    folder: AnyPath, truth: GroundTruth, scores: ScoreKind, *, ignore_reviews: bool = False
) -> RawPredictions:
    """Read what `ovsam label` or `ovsam detect` wrote; `ImageIndex` finds the images by name.

    What ranks objects by `scores`: "stored" and "model" are the score of the label, "detector" that
    of the box, "product" both. Boxes of `ovsam detect` have one score. What people answered of
    labels counts in their place, unless `ignore_reviews`.
    """
    if not is_output(folder):
        raise DatasetError(f"expected an output folder of ovsam label, got {folder}")
    run = read_run_file(folder)
    is_detected = run.get("task") == "detect"
    raw = RawPredictions(str(folder), has_boxes=True, has_masks=not is_detected)
    parts = list_parts(folder)
    is_raw = is_detected or ignore_reviews
    corrections = read_corrections(folder, Answers() if is_raw else None)
    found = _find_images(raw, parts, truth)
    answered = np.zeros(truth.num_images, bool)
    class_ids: dict[str | None, int] = {None: _NO_CLASS, "": _NO_CLASS}
    num_failed = num_rows = 0
    # Part by part: all objects of a large output at once would not fit in memory.
    for part in parts:
        table = _read_columns(part, ("file_name", "status", "objects"))
        table = replace_objects(table, corrections.objects)
        images, found = found[: len(table)], found[len(table) :]
        is_failed = np.array([s == "failed" for s in table["status"].to_pylist()], bool)
        num_failed += int((is_failed & (images >= 0)).sum())
        answered[images[(images >= 0) & ~is_failed]] = True
        objects, counts = _flatten(table)
        raw.columns.add(
            image=np.repeat(images, counts),
            # Images that the ground truth lacks have no id in it.
            image_id=np.repeat(_get_ids(truth, images), counts),
            row=np.arange(num_rows, num_rows + len(objects)),
            **_collect_boxes(objects, class_ids)
            if is_detected
            else _collect_labels(objects, scores),
        )
        if not is_detected:
            _take_masks(raw, objects, num_rows)
        num_rows += len(objects)
    raw.problems.add("images of the ground truth failed: not counted as answered", [], num_failed)
    unanswered = int(truth.num_images - answered.sum()) - num_failed
    raw.problems.add("images of the ground truth have no row in the predictions", [], unanswered)
    raw.problems.add(
        "images were reviewed: people's answers are measured (--ignore-reviews: the labels)",
        sorted(corrections.objects),
        len(corrections.objects),
    )
    raw.categories = [(int(c["id"]), str(c["name"])) for c in corrections.categories]
    if is_detected:
        raw.categories = [(number, name or "") for name, number in class_ids.items() if name != ""]
        raw.has_classes = len(class_ids) > 2
    raw.answered_images = answered
    return raw


def _find_images(raw: RawPredictions, parts: Sequence[AnyPath], truth: GroundTruth) -> np.ndarray:
    """Return the position in the truth of each row of all parts, -1 for none: (R,) int64."""
    tables = [_read_columns(part, ("image_id", "file_name")) for part in parts]
    queries = [(row["image_id"], row["file_name"]) for table in tables for row in table.to_pylist()]
    places, raw.images = index_truth(truth).match(queries)
    return np.array([-1 if place is None else place for place in places], np.int64)


def _get_ids(truth: GroundTruth, images: np.ndarray) -> np.ndarray:
    return np.where(images >= 0, truth.image_ids[images], -1) if truth.num_images else images


def _read_columns(part: AnyPath, columns: Sequence[str]) -> pa.Table:
    return read_part(part, lambda file: file.read(columns=list(columns)))


def _flatten(table: pa.Table) -> tuple[pa.StructArray, np.ndarray]:
    """Return all objects of a part, and how many each row has."""
    lists = table["objects"].combine_chunks()
    return lists.flatten(), np.diff(lists.offsets.to_numpy())


def _collect_common(objects: pa.StructArray) -> dict[str, np.ndarray]:
    boxes_xywh = objects.field("bbox").flatten().to_numpy(zero_copy_only=False)
    # Boxes of a detector have no annotation that prompted them.
    prompts = objects.field("prompt_id").fill_null(-1)
    return {
        "bbox": boxes_xywh.astype(np.float64).reshape(len(objects), 4),
        "prompt_id": prompts.to_numpy(zero_copy_only=False),
    }


def _collect_labels(objects: pa.StructArray, scores: ScoreKind) -> dict[str, np.ndarray]:
    def collect(name: str) -> np.ndarray:
        return objects.field(name).to_numpy(zero_copy_only=False)

    label, box = (collect(name).astype(np.float64) for name in ("score", "detector_score"))
    chosen = {"stored": label, "model": label, "detector": box, "product": label * box}[scores]
    return {
        **_collect_common(objects),
        "category_id": collect("category_id"),
        "score": chosen,
        "area": collect("area").astype(np.float64),
    }


def _collect_boxes(
    objects: pa.StructArray, class_ids: dict[str | None, int]
) -> dict[str, np.ndarray]:
    """Return the columns of boxes alone; `class_ids` numbers class names as they come."""
    names = objects.field("detector_category").to_pylist()
    # Two names mean no class: the numbers of the others begin at 0.
    numbers = [class_ids.setdefault(name, len(class_ids) - 2) for name in names]
    return {
        **_collect_common(objects),
        # A detector that found the annotated boxes themselves is measured by AP all the same.
        "prompt_id": np.full(len(objects), -1, np.int64),
        "category_id": np.array(numbers, np.int64),
        "score": objects.field("detector_score").to_numpy(zero_copy_only=False).astype(np.float64),
    }


def _take_masks(raw: RawPredictions, objects: pa.StructArray, first_row: int) -> None:
    masks = objects.field("segmentation").to_pylist()
    readable, sizes_hw = check_segmentations(
        masks, lambda i: f"object {first_row + i}", raw.problems
    )
    raw.columns.add(is_readable=readable, size_hw=sizes_hw.astype(np.int32))
    raw.segments.append_many(masks)
