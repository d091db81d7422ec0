"""An output folder of `ovsam label` → `RawPredictions`: part after part, straight from columns.

Letters: R rows of a part, n objects in them.
"""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa

from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.columns import RawPredictions
from ovsam_pipeline.evaluation.reading.segment_checks import check_segmentations
from ovsam_pipeline.evaluation.structures import GroundTruth, ScoreKind
from ovsam_pipeline.output.folder import is_output, list_parts, read_run_file
from ovsam_pipeline.output.parts import read_part
from ovsam_pipeline.storage.remote_path import AnyPath


def read_output_folder(folder: AnyPath, truth: GroundTruth, scores: ScoreKind) -> RawPredictions:
    """Read what `ovsam label` wrote.

    Images are those of the same id and name, else those of the same name, else those with the same
    last part of the name: labels of a plain folder know no ids of a data set.

    What ranks objects by `scores`: "stored" and "model" are the score of the label, "detector" that
    of the box, "product" both.
    """
    if not is_output(folder):
        raise DatasetError(f"expected an output folder of ovsam label, got {folder}")
    raw = RawPredictions(str(folder), has_boxes=True, has_masks=True)
    images = _ImageFinder(truth)
    answered = np.zeros(truth.num_images, bool)
    num_failed = num_rows = 0
    # Part by part: all objects of a large output at once would not fit in memory.
    for part in list_parts(folder):
        table = _read_part(part)
        found = images.find(table)
        is_failed = np.array([s == "failed" for s in table["status"].to_pylist()], bool)
        num_failed += int((is_failed & (found >= 0)).sum())
        answered[found[(found >= 0) & ~is_failed]] = True
        num_rows += _take_objects(raw, table, found, truth, num_rows, scores)
    raw.problems.add("images of the ground truth failed: not counted as answered", [], num_failed)
    unanswered = int(truth.num_images - answered.sum()) - num_failed
    raw.problems.add("images of the ground truth have no row in the predictions", [], unanswered)
    raw.categories = [(int(c["id"]), str(c["name"])) for c in read_run_file(folder)["categories"]]
    raw.answered_images = answered
    return raw


def _read_part(part: AnyPath) -> pa.Table:
    columns = ["image_id", "file_name", "status", "objects"]
    return read_part(part, lambda file: file.read(columns=columns))


def _take_objects(
    raw: RawPredictions,
    table: pa.Table,
    found: np.ndarray,
    truth: GroundTruth,
    first_row: int,
    scores: ScoreKind,
) -> int:
    """Add the objects of a part, whose rows are of images `found`; return how many there are."""
    lists = table["objects"].combine_chunks()
    counts = np.diff(lists.offsets.to_numpy())
    objects = lists.flatten()
    num = len(objects)

    def collect(name: str) -> np.ndarray:
        return objects.field(name).to_numpy(zero_copy_only=False)

    label, box = (collect(name).astype(np.float64) for name in ("score", "detector_score"))
    chosen = {"stored": label, "model": label, "detector": box, "product": label * box}[scores]
    boxes_xywh = objects.field("bbox").flatten().to_numpy(zero_copy_only=False)
    # Images that the ground truth lacks have no id in it: their objects count as of image -1.
    image_ids = np.where(found >= 0, truth.image_ids[found] if truth.num_images else -1, -1)
    # Boxes of a detector have no annotation that prompted them.
    prompts = objects.field("prompt_id").fill_null(-1)
    raw.columns.add(
        image_id=np.repeat(image_ids, counts),
        row=np.arange(first_row, first_row + num),
        category_id=collect("category_id"),
        score=chosen,
        bbox=boxes_xywh.astype(np.float64).reshape(num, 4),
        area=collect("area").astype(np.float64),
        prompt_id=prompts.to_numpy(zero_copy_only=False),
    )
    masks = objects.field("segmentation").to_pylist()
    readable, sizes_hw = check_segmentations(
        masks, lambda i: f"object {first_row + i}", raw.problems
    )
    raw.columns.add(is_readable=readable, size_hw=sizes_hw.astype(np.int32))
    raw.segments.append_many(masks)
    return num


class _ImageFinder:
    """Finds images in the ground truth, by id and name."""

    def __init__(self, truth: GroundTruth) -> None:
        self.index_of_id = {int(n): i for i, n in enumerate(truth.image_ids)}
        self.names = truth.file_names
        self.index_of_name: dict[str, int] = {}
        self.index_of_base: dict[str, int] = {}  # -1 where several images share the last part
        for index, name in enumerate(truth.file_names):
            if name:
                self.index_of_name[name] = index
                base = PurePosixPath(name).name
                self.index_of_base[base] = -1 if base in self.index_of_base else index

    def find(self, table: pa.Table) -> np.ndarray:
        """Return (R,) int64 indices of a part's rows, -1 for images that are not there."""
        pairs = zip(table["image_id"].to_pylist(), table["file_name"].to_pylist(), strict=True)
        return np.array([self._find_one(n, name) for n, name in pairs], np.int64)

    def _find_one(self, image_id: int, name: str) -> int:
        # An id alone proves nothing: ids of a labelled folder are numbers of its own.
        index = self.index_of_id.get(image_id)
        if index is not None and self.names[index] in (None, name):
            return index
        base = PurePosixPath(name).name
        return self.index_of_name.get(name, self.index_of_base.get(base, -1))
