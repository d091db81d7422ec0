"""A COCO results file, or a data set whose annotations have scores → `RawPredictions`.

Plain results (whole numbers as ids, boxes of four numbers, compressed run lengths) are parsed to
columns many at once, without a Python object for each: that is what makes reading fast. A block
with anything else in it is read one result after another, by the rules for odd values.

Letters: n results of a block.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import json as arrow_json

from ovsam.coco_json import iterate_json_blocks
from ovsam.errors import explain_json, show_value
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.columns import (
    RawPredictions,
    read_boxes,
    read_category,
    read_ids,
    read_numbers,
)
from ovsam_pipeline.evaluation.reading.segment_checks import check_run_lengths, check_segmentations
from ovsam_pipeline.evaluation.reading.segment_store import RunLengths
from ovsam_pipeline.evaluation.structures import GroundTruth, ScoreKind

_FIELDS = pa.schema(
    {
        "image_id": pa.int64(),
        "category_id": pa.int64(),
        "score": pa.float64(),
        "bbox": pa.list_(pa.float64()),
        "segmentation": pa.struct({"size": pa.list_(pa.int64()), "counts": pa.string()}),
        "annotation_id": pa.int64(),
        "prompt_id": pa.int64(),
    }
)
# Other fields are skipped without being parsed to columns.
_OPTIONS = arrow_json.ParseOptions(
    explicit_schema=_FIELDS, unexpected_field_behavior="ignore", newlines_in_values=True
)


def read_results_file(path: Path, truth: GroundTruth, scores: ScoreKind) -> RawPredictions:
    """Read `.json` or `.json.gz`; `truth` is for images that are named by their file."""
    reader = _Reader(path, truth)
    parsers = dict.fromkeys(("[]", "annotations[]"), parse_results)
    with explain_json(path, DatasetError):
        for key, value in iterate_json_blocks(path, parsers):
            reader.take(key, value)
    if not reader.keys & {"", "annotations"}:
        raise DatasetError(
            f"expected a list of results or a data set with scored annotations in {path}, got an "
            "object without annotations"
        )
    if scores != "stored":
        reader.raw.problems.add(
            f"predictions have one score: --scores {scores} does not apply to a results file",
            [],
            reader.num_read,
        )
    return reader.raw


class _Reader:
    """Collects results, whatever else the file holds."""

    def __init__(self, path: Path, truth: GroundTruth) -> None:
        self.path = path
        self.truth = truth
        self.keys: set[str] = set()
        self.raw = RawPredictions(str(path))
        self.num_read = 0
        self._id_of_name: dict[str, int] | None = None

    def take(self, key: str, value: Any) -> None:
        """Take one value of the top level, or a block of a list (its key ends in "[]")."""
        self.keys.add(key)
        if isinstance(value, ResultBlock):
            self._take_block(value)
        elif key in ("[]", "annotations[]"):
            self._take_results(value)
        elif key == "categories[]":
            self.raw.categories += [read_category(entry, self.path) for entry in value]

    def _choose_kinds(self, has_boxes: bool, has_masks: bool) -> None:
        """Note whether results have boxes and masks: those of the first, as the reference tools."""
        self.raw.has_boxes, self.raw.has_masks = has_boxes, has_masks
        if not (has_boxes or has_masks):
            raise DatasetError(
                f"expected bbox or segmentation in result 0 of {self.path}, got neither"
            )

    def _take_block(self, block: ResultBlock) -> None:
        """Take plain results."""
        first, num, raw = self.num_read, len(block.scores), self.raw
        if not first:
            self._choose_kinds(block.boxes_xywh is not None, block.masks is not None)
        raw.columns.add(
            image_id=block.image_ids,
            category_id=block.category_ids,
            score=block.scores,
            prompt_id=block.prompt_ids,
            row=np.arange(first, first + num),
        )
        if raw.has_boxes:
            boxes = block.boxes_xywh
            raw.columns.add(bbox=np.full((num, 4), np.nan) if boxes is None else boxes)
        if raw.has_masks and block.masks is None:  # results of another kind further on in the file
            self._take_masks([None] * num, block.image_ids.tolist())
        elif raw.has_masks and block.masks is not None:
            readable, masks = check_run_lengths(
                block.masks,
                lambda i: f"result {first + i} (image {block.image_ids[i]})",
                raw.problems,
            )
            raw.columns.add(is_readable=readable, size_hw=masks.sizes_hw.astype(np.int32))
            raw.segments.append_run_lengths(masks)
        self.num_read += num

    def _take_results(self, results: Sequence[Any]) -> None:
        """Take results of any kind, as `_take_block` does plain ones."""
        first, raw = self.num_read, self.raw
        wrong = next((item for item in results if not isinstance(item, dict)), None)
        if wrong is not None:
            raise DatasetError(
                f"expected objects as results in {self.path}, got {show_value(wrong)}"
            )

        def collect(name: str) -> list[Any]:
            return [item.get(name) for item in results]

        def place(index: int) -> str:
            return f"result {first + index} of {self.path}"

        if not first:
            self._choose_kinds(bool(results[0].get("bbox")), bool(results[0].get("segmentation")))
        images = [self._to_image_id(value) for value in collect("image_id")]
        prompts = [item.get("annotation_id", item.get("prompt_id")) for item in results]
        prompts = [-1 if number is None else number for number in prompts]
        # Scores have no default: a result without one is an error, not a zero.
        raw.columns.add(
            image_id=read_ids(images, place, "image_id", raw.problems),
            category_id=read_ids(collect("category_id"), place, "category_id", raw.problems),
            score=read_numbers(collect("score"), place, "score"),
            prompt_id=read_ids(prompts, place, "annotation_id", raw.problems),
            row=np.arange(first, first + len(results)),
        )
        if raw.has_boxes:
            raw.columns.add(bbox=read_boxes(collect("bbox")))
        if raw.has_masks:
            self._take_masks(collect("segmentation"), images)
        self.num_read += len(results)

    def _take_masks(self, segmentations: list[Any], images: Sequence[Any]) -> None:
        def name(index: int) -> str:
            return f"result {self.num_read + index} (image {images[index]})"

        kind = "predictions have no segmentation, though others have: kept with an empty mask"
        without = np.array([not item for item in segmentations], bool)
        self.raw.problems.add_where(kind, without, name)
        readable, sizes_hw = check_segmentations(segmentations, name, self.raw.problems)
        self.raw.columns.add(is_readable=readable, size_hw=sizes_hw.astype(np.int32))
        self.raw.segments.append_many(segmentations)

    def _to_image_id(self, value: Any) -> Any:
        """Return the id of an image that is named by its file, anything else as it is."""
        if not isinstance(value, str) or value.strip().isdecimal():
            return value
        if self._id_of_name is None:
            self._id_of_name = {}
            names = zip(self.truth.file_names, self.truth.image_ids.tolist(), strict=True)
            for name, image_id in names:
                path = PurePosixPath(name or "")
                # As tools write them: the whole name, without folders, without its ending.
                for text in (name, path.name, path.stem) if name else ():
                    self._id_of_name.setdefault(text, image_id)
        self.raw.problems.add("image_ids are written as file names", [show_value(value)])
        return self._id_of_name.get(value, -1)


@dataclass(frozen=True, eq=False)
class ResultBlock:
    """Columns of plain results: (n,) int64 ids and float64 scores; -1 for no prompt."""

    image_ids: np.ndarray
    category_ids: np.ndarray
    scores: np.ndarray
    prompt_ids: np.ndarray
    boxes_xywh: np.ndarray | None  # (n, 4) float64 pixels; None where no result has a box
    masks: RunLengths | None  # None where no result has one


def parse_results(text: str, separator: str) -> ResultBlock:
    """Parse the text of JSON objects, `separator` ("}, {") between them, to columns."""
    # Arrow reads objects without commas between them. Where the separator is part of a text inside
    # an object, the replacement breaks that object, and the parser refuses the block.
    data = text.replace(separator, "}\n{").encode()
    reading = arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1)
    table = arrow_json.read_json(io.BytesIO(data), read_options=reading, parse_options=_OPTIONS)
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    masks = columns["segmentation"]
    # Other tools write annotation_id, exports of ovsam prompt_id.
    prompts = columns["annotation_id"]
    prompts = columns["prompt_id"] if prompts.null_count == len(prompts) else prompts
    return ResultBlock(
        _to_numbers(columns["image_id"]),
        _to_numbers(columns["category_id"]),
        _to_numbers(columns["score"]),
        _to_numbers(prompts.fill_null(-1)),
        _to_rows(columns["bbox"], 4),
        None if masks.null_count == len(masks) else _to_run_lengths(masks),
    )


def _to_numbers(column: pa.Array) -> np.ndarray:
    if column.null_count:
        raise ValueError("a value is missing")
    return column.to_numpy()


def _to_rows(column: pa.ListArray, width: int) -> np.ndarray | None:
    """Return (n, width) numbers, None where no result has any."""
    if column.null_count == len(column):
        return None
    if column.null_count or not (np.diff(column.offsets.to_numpy()) == width).all():
        raise ValueError(f"a list is not of {width} numbers")
    return _to_numbers(column.flatten()).reshape(-1, width)


def _to_run_lengths(column: pa.StructArray) -> RunLengths:
    sizes_hw = _to_rows(column.field("size"), 2)
    counts = column.field("counts")
    if column.null_count or counts.null_count or sizes_hw is None:
        raise ValueError("a mask is missing")
    # The buffers themselves: one Python object per text would cost more than parsing them.
    _, offsets, codes = counts.buffers()
    stops = np.frombuffer(offsets, np.int32, len(counts) + 1, counts.offset * 4).astype(np.int64)
    held = np.frombuffer(codes, np.uint8) if codes is not None else np.zeros(0, np.uint8)
    return RunLengths(held[stops[0] : stops[-1]], np.diff(stops), sizes_hw)
