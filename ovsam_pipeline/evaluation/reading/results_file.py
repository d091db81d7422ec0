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
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import json as arrow_json

from ovsam.coco_fields import to_id, to_text
from ovsam.coco_json import get_image_file_name, iterate_json_blocks
from ovsam.errors import explain_json, show_value
from ovsam_pipeline.detectors.image_match import BY_ID, ImageIndex, Query
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.columns import (
    RawPredictions,
    index_truth,
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
        "file_name": pa.string(),
    }
)
# Other fields are skipped without being parsed to columns.
_OPTIONS = arrow_json.ParseOptions(
    explicit_schema=_FIELDS, unexpected_field_behavior="ignore", newlines_in_values=True
)


def read_results_file(path: Path, truth: GroundTruth, scores: ScoreKind) -> RawPredictions:
    """Read `.json` or `.json.gz`, and find its images in the ground truth.

    An image is that of `file_name` in the result, or in the file's own list of images; else that of
    `image_id`.
    """
    reader = _Reader(path)
    parsers = dict.fromkeys(("[]", "annotations[]"), parse_results)
    with explain_json(path, DatasetError):
        for key, value in iterate_json_blocks(path, parsers):
            reader.take(key, value)
    if not reader.keys & {"", "annotations"}:
        raise DatasetError(
            f"expected a list of results or a data set with scored annotations in {path}, got an "
            "object without annotations"
        )
    reader.find_images(truth)
    if scores != "stored":
        reader.raw.problems.add(
            f"predictions have one score: --scores {scores} does not apply to a results file",
            [],
            reader.num_read,
        )
    return reader.raw


class _Reader:
    """Collects results, whatever else the file holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: set[str] = set()
        self.raw = RawPredictions(str(path))
        self.num_read = 0
        self._listed: dict[int, str] = {}
        self._queries: dict[Query, int] = {}

    def take(self, key: str, value: Any) -> None:
        """Take one value of the top level, or a block of a list (its key ends in "[]")."""
        self.keys.add(key)
        if isinstance(value, ResultBlock):
            self._take_block(value)
        elif key in ("[]", "annotations[]"):
            self._take_results(value)
        elif key == "images[]":
            self._take_images(value)
        elif key == "categories[]":
            self.raw.categories += [read_category(entry, self.path) for entry in value]

    def _take_images(self, images: Sequence[Any]) -> None:
        """Note the names of the images that the file lists."""
        for image in images:
            number = to_id(image.get("id")) if isinstance(image, dict) else None
            name = to_text(get_image_file_name(image)[0]) if number is not None else None
            if number is not None and name is not None:
                self._listed[number] = name

    def find_images(self, truth: GroundTruth) -> None:
        """Find the images of all results in the ground truth."""
        raw, index = self.raw, index_truth(truth)
        ids, query = raw.columns.join("image_id"), raw.columns.join("query")
        # Plain ids are looked up once each, and not once for every result.
        plain_ids, inverse = np.unique(ids[query < 0], return_inverse=True)
        plain = [(image_id, self._listed.get(image_id)) for image_id in plain_ids.tolist()]
        named = [
            (image_id, name if name is not None or image_id is None else self._get_listed(image_id))
            for image_id, name in self._queries
        ]
        queries = [*plain, *named]
        found, raw.images = index.match(queries)
        if not raw.images.matched and all(name is None for _, name in queries):
            by_number = index.match(queries, index.find_by_number)
            found, raw.images = by_number if by_number[1].matched else (found, raw.images)
        places = np.array([-1 if place is None else place for place in found], np.int64)
        image = np.empty(len(ids), np.int64)
        image[query < 0] = places[: len(plain)][inverse]
        image[query >= 0] = places[len(plain) :][query[query >= 0]]
        raw.columns.add(image=image)
        self._count_two_meanings(index, plain)

    def _get_listed(self, image_id: int | str) -> str | None:
        number = to_id(image_id)
        return None if number is None else self._listed.get(number)

    def _count_two_meanings(self, index: ImageIndex, plain: Sequence[Query]) -> None:
        """Tell of ids that are numbers in the names of other images: either may be meant."""
        ids = [image_id for image_id, name in plain if name is None]
        other = [
            i for i in ids if index.find_by_number(i).place not in (None, index.find(i, None).place)
        ]
        if self.raw.images.counts[BY_ID] and len(other) * 2 >= len(ids):
            self.raw.problems.add(
                "image_ids are numbers in the names of other images, too: taken as ids (give "
                "file_name in the results to be sure)",
                [f"image_id {image_id}" for image_id in other],
            )

    def _add_queries(self, ids: Sequence[Any], names: Sequence[str | None]) -> np.ndarray:
        """Return the position of each result's query, -1 for one by a whole number alone."""
        positions = np.full(len(ids), -1, np.int64)
        for row, (image_id, name) in enumerate(zip(ids, names, strict=True)):
            if name is not None or isinstance(image_id, str):
                query = (image_id, name)
                positions[row] = self._queries.setdefault(query, len(self._queries))
        return positions

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
            query=self._find_block_queries(block),
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

    def _find_block_queries(self, block: ResultBlock) -> np.ndarray:
        if block.file_names is None:
            return np.full(len(block.scores), -1, np.int64)
        return self._add_queries(block.image_ids.tolist(), block.file_names)

    def _take_results(self, results: Sequence[Any]) -> None:
        """Take results of any kind, as `_take_block` does plain ones."""
        first, raw = self.num_read, self.raw
        for wrong in (item for item in results if not isinstance(item, dict)):
            raise DatasetError(
                f"expected objects as results in {self.path}, got {show_value(wrong)}"
            )

        def collect(name: str) -> list[Any]:
            return [item.get(name) for item in results]

        def place(index: int) -> str:
            return f"result {first + index} of {self.path}"

        if not first:
            self._choose_kinds(bool(results[0].get("bbox")), bool(results[0].get("segmentation")))
        names = [to_text(name) for name in collect("file_name")]
        images = [
            -1 if value is None and name is not None else value
            for value, name in zip(collect("image_id"), names, strict=True)
        ]
        numbers = read_ids(images, place, "image_id", raw.problems)
        texts = [
            value if isinstance(value, str) else int(number)
            for value, number in zip(images, numbers, strict=True)
        ]
        prompts = [item.get("annotation_id", item.get("prompt_id")) for item in results]
        prompts = [-1 if number is None else number for number in prompts]
        # Scores have no default: a result without one is an error, not a zero.
        raw.columns.add(
            image_id=numbers,
            query=self._add_queries(texts, names),
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


@dataclass(frozen=True, eq=False)
class ResultBlock:
    """Columns of plain results: (n,) int64 ids and float64 scores; -1 for no prompt."""

    image_ids: np.ndarray
    category_ids: np.ndarray
    scores: np.ndarray
    prompt_ids: np.ndarray
    file_names: list[str | None] | None  # None where no result has one
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
    masks, names = columns["segmentation"], columns["file_name"]
    # Other tools write annotation_id, exports of ovsam prompt_id.
    prompts = columns["annotation_id"]
    prompts = columns["prompt_id"] if prompts.null_count == len(prompts) else prompts
    return ResultBlock(
        _to_numbers(columns["image_id"]),
        _to_numbers(columns["category_id"]),
        _to_numbers(columns["score"]),
        _to_numbers(prompts.fill_null(-1)),
        None if names.null_count == len(names) else names.to_pylist(),
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
