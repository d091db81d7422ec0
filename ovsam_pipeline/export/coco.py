"""Parts → `annotations.json`: COCO instances with compressed RLE, streamed.

Two passes over the parts: the first writes images and counts their objects (`row_counts.py`), so
that annotation ids do not depend on how rows are spread over parts; the second writes annotations.
Columns become text as a whole (`json_text.py`). Failed images are left out: as images without
objects they would teach "nothing here". What people answered is laid over the rows of their images.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.json_text import (
    encode_name_field,
    encode_numbers,
    encode_texts,
    join_lines,
    prefix_field,
    round_to_cents,
)
from ovsam_pipeline.export.labels import read_labels_run
from ovsam_pipeline.export.row_counts import COUNTED_COLUMNS, OutputCounts, RowCounts, count_objects
from ovsam_pipeline.output.annotations_file import SealedStream
from ovsam_pipeline.output.answered_rows import (
    REVIEWED_BY,
    Corrections,
    read_corrections,
    replace_objects,
)
from ovsam_pipeline.output.folder import list_parts
from ovsam_pipeline.output.part_tables import iterate_tables
from ovsam_pipeline.storage.atomic import replace_file
from ovsam_pipeline.storage.remote_path import AnyPath

_REQUIRED = ("category_id", "segmentation", "area", "bbox", "score", "detector_score")
# Left out of an annotation where the row has a null, or no such column.
OPTIONAL_FIELDS = (
    "margin", "mask_score", "detector_category", "detector_margin", "model_category", "model_score",
    "prompt_id", "head_score", "clip_score", "risk", "reason", REVIEWED_BY,
)  # fmt: skip
_IMAGE_FIELDS = ("file_name", "width", "height")
_OBJECT_COLUMNS = (
    "image_id",
    *(f"objects.list.element.{n}" for n in (*_REQUIRED, *OPTIONAL_FIELDS)),
)


def export_coco(output: AnyPath, target: AnyPath) -> OutputCounts:
    """Write the labels of an output folder as one COCO instances file; return what it holds.

    The target is replaced when the file is complete; the caller sees to it that it may be.
    Annotation ids count from 1 over the images in order of their id, so the same labels get the
    same ids however often the run was interrupted.
    """
    run = read_labels_run(output)
    parts, corrections = list_parts(output), read_corrections(output)
    counts = RowCounts()
    with replace_file(target) as temporary, temporary.open("wb") as file:
        stream = SealedStream(file)
        head = f'{{"info":{_dump(describe_run(run))},\n"licenses":[]'
        stream.write(f'{head},\n"categories":{_dump(corrections.categories)},\n"images":['.encode())
        _write_list(stream, _iterate_images(parts, corrections, counts))
        stream.write(b'],\n"annotations":[')
        first_ids = counts.number_annotations(output)
        _write_list(stream, _iterate_annotations(parts, corrections, first_ids))
        stream.write(b"]")
        stream.seal()
    return counts.summarise()


def describe_run(run: dict[str, Any]) -> dict[str, Any]:
    """Return `info` of a COCO file with the labels of a run, by its run.json."""
    description = f"labels made by ovsam {run.get('ovsam', '')}".strip()
    return {"description": description, "model": run.get("model", {})}


def _iterate_images(
    parts: Sequence[AnyPath], corrections: Corrections, counts: RowCounts
) -> Iterator[memoryview]:
    """Yield the images as lines of text; count all rows, the failed ones too."""
    for labelled in iterate_tables(parts, (*COUNTED_COLUMNS, *_IMAGE_FIELDS)):
        table = replace_objects(labelled, corrections.objects)
        counts.add(table)
        seen = table.filter(pc.not_equal(table["status"], "failed")).combine_chunks()
        columns = {name: _get_only_chunk(seen[name]) for name in ("image_id", *_IMAGE_FIELDS)}
        width, height = (_or_null(encode_numbers(columns[name])) for name in ("width", "height"))
        yield join_lines(
            '{"id":', encode_numbers(columns["image_id"]),
            ',"file_name":"', encode_texts(columns["file_name"]),
            '","width":', width,
            ',"height":', height, "}",
        )  # fmt: skip


def _iterate_annotations(
    parts: Sequence[AnyPath], corrections: Corrections, first_ids: np.ndarray
) -> Iterator[memoryview]:
    """Yield the annotations as lines of text; `first_ids` has the first id of each row: (N,)."""
    row = 0
    names = ("file_name",) if corrections else ()
    for labelled in iterate_tables(parts, (*names, *_OBJECT_COLUMNS)):
        table = replace_objects(labelled, corrections.objects)
        lengths = count_objects(table)
        starts = first_ids[row : row + len(lengths)]
        row += len(lengths)
        if len(starts) < len(lengths):
            break
        # An object's id is the first of its row plus its place in the row; over the whole table
        # that place is its number minus the number of objects in the rows before.
        before = np.cumsum(lengths) - lengths
        ids = np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
        image_ids = np.repeat(table["image_id"].to_numpy(), lengths)
        objects = pc.list_flatten(_get_only_chunk(table["objects"]))
        yield _format_annotations(ids, image_ids, objects)
    if row != len(first_ids):
        raise OutputError(
            "the parts changed during the export; export again when the run that writes them has "
            "ended"
        )


def _format_annotations(
    ids: np.ndarray, image_ids: np.ndarray, objects: pa.StructArray
) -> memoryview:
    columns = {field.name: pc.struct_field(objects, field.name) for field in objects.type}
    numbers = {
        name: _or_null(encode_numbers(columns[name]))
        for name in ("category_id", "area", "score", "detector_score")
    }
    sides = _split(pc.struct_field(columns["segmentation"], "size"))
    height, width = (encode_numbers(pa.array(side)) for side in sides)
    box = [encode_numbers(pa.array(round_to_cents(side))) for side in _split(columns["bbox"])]
    return join_lines(
        '{"id":', encode_numbers(pa.array(ids)),
        ',"image_id":', encode_numbers(pa.array(image_ids)),
        ',"category_id":', numbers["category_id"],
        ',"segmentation":{"size":[', height, ",", width,
        '],"counts":"', encode_texts(pc.struct_field(columns["segmentation"], "counts")),
        '"},"area":', numbers["area"],
        ',"bbox":[', box[0], ",", box[1], ",", box[2], ",", box[3],
        '],"iscrowd":0,"score":', numbers["score"],
        ',"detector_score":', numbers["detector_score"],
        *(_encode_optional(name, columns[name]) for name in OPTIONAL_FIELDS if name in columns),
        "}",
    )  # fmt: skip


def _encode_optional(name: str, values: pa.Array) -> pa.StringArray:
    if pa.types.is_string(values.type):
        return encode_name_field(name, values)
    return prefix_field(name, encode_numbers(values))


def _split(lists: pa.FixedSizeListArray) -> np.ndarray:
    """Return N lists of one length as an array: (length, N)."""
    numbers = lists.flatten().to_numpy().reshape(-1, lists.type.list_size)
    return np.ascontiguousarray(numbers.T)


def _or_null(texts: pa.StringArray) -> pa.StringArray:
    return pc.fill_null(texts, "null")


def _get_only_chunk(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array: tables have one chunk, or none where they have no rows."""
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _write_list(stream: SealedStream, blocks: Iterator[memoryview]) -> None:
    """Write blocks of lines that each begin with a comma; leave out the first comma."""
    is_first = True
    for block in blocks:
        stream.write(block[1:] if is_first else block)
        is_first = is_first and not block


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
