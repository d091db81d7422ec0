"""Text of many detection results → columns, without an object for each: what makes reading fast.

Only plain results are taken: whole numbers as ids, boxes of four numbers, compressed run lengths.
Anything else is refused as a whole, and the caller reads it one result after another, by the rules.

Letters: n results, b bytes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import json as arrow_json

_FIELDS = pa.schema(
    [
        ("image_id", pa.int64()),
        ("category_id", pa.int64()),
        ("score", pa.float64()),
        ("bbox", pa.list_(pa.float64())),
        (
            "segmentation",
            pa.struct([("size", pa.list_(pa.int64())), ("counts", pa.string())]),
        ),
        ("annotation_id", pa.int64()),
        ("prompt_id", pa.int64()),
    ]
)
_OPTIONS = arrow_json.ParseOptions(
    explicit_schema=_FIELDS, unexpected_field_behavior="ignore", newlines_in_values=True
)


@dataclass(frozen=True, eq=False)
class RunLengths:
    """Compressed run lengths of n masks, one behind the other.

    Attributes:
        codes: (b,) uint8, the characters.
        lengths: (n,) int64, how many of them each mask has.
        sizes_hw: (n, 2) int64, height and width that the masks claim.
    """

    codes: np.ndarray
    lengths: np.ndarray
    sizes_hw: np.ndarray


@dataclass(frozen=True, eq=False)
class ResultBlock:
    """Plain results.

    Attributes:
        image_ids: (n,) int64.
        category_ids: (n,) int64.
        scores: (n,) float64.
        prompt_ids: (n,) int64 ids of the annotations that prompted them, -1 where not known.
        boxes_xywh: (n, 4) float64 pixels, or None where the results have no boxes.
        masks: their masks, or None where they have none.
    """

    image_ids: np.ndarray
    category_ids: np.ndarray
    scores: np.ndarray
    prompt_ids: np.ndarray
    boxes_xywh: np.ndarray | None
    masks: RunLengths | None

    def __len__(self) -> int:
        """Return the number of results n."""
        return len(self.scores)


def parse_results(text: str, separator: str) -> ResultBlock:
    """Parse JSON objects.

    Args:
        text: one object or more.
        separator: what stands between two of them: "}, {".

    Raises:
        ValueError: no JSON, or results that are not plain.
    """
    # The parser wants no comma. Where this hits the inside of an object, that is no JSON any more.
    data = text.replace(separator, "}\n{").encode()
    reading = arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1)
    table = arrow_json.read_json(io.BytesIO(data), read_options=reading, parse_options=_OPTIONS)
    columns = {
        name: column.combine_chunks()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    masks = columns["segmentation"]
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
    _, offsets, codes = counts.buffers()
    stops = np.frombuffer(offsets, np.int32, len(counts) + 1, counts.offset * 4).astype(np.int64)
    held = np.frombuffer(codes, np.uint8) if codes is not None else np.zeros(0, np.uint8)
    return RunLengths(held[stops[0] : stops[-1]], np.diff(stops), sizes_hw)
