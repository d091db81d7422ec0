"""Boxes in Parquet files: those of `ovsam detect` and `ovsam label`, or of another program.

Needed are the columns image_id, file_name and objects.bbox; docs/detectors.md has the others.
Input: paths. Output: a `BoxTable`. Masks stay on the disk.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ovsam.errors import describe_error
from ovsam_pipeline.detectors.stored.box_table import BoxTable, BoxTableBuilder
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_NO_POINT = (math.nan, math.nan)
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_IMAGE_FIELDS = ("image_id", "file_name")
_STATE_FIELDS = ("status", "error")
_OBJECT_FIELDS = (
    "bbox", "score", "detector_score", "category", "detector_category", "detector_box_xyxy",
    "detector_point_xy", "prompt_id",
)  # fmt: skip


class ParquetBoxes:
    """Reads Parquet files, row group after row group, and numbers class names as they come.

    Class names that are known before, as those of the run that wrote the files, come first.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.builder = BoxTableBuilder()
        self.ids = {name: index for index, name in enumerate(class_names)}
        self.failures: dict[int, str] = {}
        # By position in the files: the table knows the position of each box that it keeps.
        self.points_xy = array("d")
        self.prompt_ids = array("q")

    def read(self, parts: Sequence[AnyPath], conf: float) -> BoxTable:
        """Return the boxes of all parts that score at least `conf`."""
        import pyarrow as pa

        from ovsam_pipeline.output.parts import open_parquet

        for part in parts:
            try:
                with open_parquet(part) as file:
                    # Python objects of 1,024 images at a time, however large a row group is.
                    for batch in file.iter_batches(1024, columns=_choose_columns(file, part)):
                        self._add_batch(batch, part)
            except (pa.ArrowException, OSError) as error:
                raise DatasetError(
                    f"cannot read {part} as Parquet: {describe_error(error)}"
                ) from error
        has_names = set(self.ids) - {""}
        names = {index: name for name, index in self.ids.items()} if has_names else {}
        table = self.builder.build(conf, names, has_categories=False)
        points = np.array(self.points_xy, np.float32).reshape(-1, 2)[table.rows]
        prompt_ids = np.array(self.prompt_ids, np.int64)[table.rows]
        return replace(
            table,
            failures=self.failures,
            points_xy=points if len(points) and np.isfinite(points).all() else None,
            prompt_ids=prompt_ids if (prompt_ids >= 0).any() else None,
        )

    def _add_batch(self, batch: pa.RecordBatch, part: AnyPath) -> None:
        objects = batch.column("objects")
        _check_types(objects.type, part)
        # The list of a failed image is null, and may yet have a length.
        is_given = objects.is_valid().to_numpy(zero_copy_only=False)
        counts = np.diff(objects.offsets.to_numpy()) * is_given
        values = objects.flatten()
        rows = zip(
            np.repeat(self._add_images(batch), counts).tolist(),
            _get_boxes(values),
            _get_first(values, ("detector_score", "score"), 1.0),
            _get_first(values, ("detector_category", "category"), ""),
            _get_first(values, ("detector_point_xy",), _NO_POINT),
            _get_first(values, ("prompt_id",), -1),
            strict=True,
        )
        for image, box, score, category, given, prompt_id in rows:
            point = _to_point(given)
            if point is None:
                self.builder.add_unusable(image, "point not two finite numbers")
            else:
                self.builder.add(image, box, score, self.ids.setdefault(category, len(self.ids)))
            self.points_xy.extend(point or _NO_POINT)
            self.prompt_ids.append(prompt_id)

    def _add_images(self, batch: pa.RecordBatch) -> list[int]:
        """Return the number of each row's image; remember which failed and why."""
        image_ids, names = (batch.column(name).to_pylist() for name in _IMAGE_FIELDS)
        numbers = [self.builder.find_image(*pair) for pair in zip(image_ids, names, strict=True)]
        if set(_STATE_FIELDS) <= set(batch.schema.names):
            states, errors = (batch.column(name).to_pylist() for name in _STATE_FIELDS)
            for number, state, error in zip(numbers, states, errors, strict=True):
                if state == "failed":
                    self.failures[number] = error or "failed"
        return numbers


def _choose_columns(file: pq.ParquetFile, part: AnyPath) -> list[str]:
    """Return the paths of the leaf columns to read: "objects.list.element.score"."""
    columns = file.schema_arrow
    for name in ("objects", *_IMAGE_FIELDS, *_STATE_FIELDS):
        if columns.names.count(name) > 1:
            raise DatasetError(f"expected columns of different names in {part}, got two {name}")
        if name in columns.names and not _may_hold(name, columns.field(name).type):
            kind = columns.field(name).type
            raise DatasetError(f"expected ids or texts in the column {name} of {part}, got {kind}")
    schema = file.schema
    paths = [schema.column(i).path for i in range(len(schema.names))]
    chosen: list[str] = []
    found: set[str] = set()
    for path in paths:
        fields = path.split(".")
        is_object = fields[0] == "objects" and len(fields) > 3
        name = fields[3] if is_object else fields[0]
        if name in (_OBJECT_FIELDS if is_object else (*_IMAGE_FIELDS, *_STATE_FIELDS)):
            chosen.append(path)
            found.add(name)
    if missing := {*_IMAGE_FIELDS, "bbox"} - found:
        raise DatasetError(
            f"expected the columns image_id, file_name and objects.bbox in {part}, got none for "
            f"{', '.join(sorted(missing))}"
        )
    return chosen


def _may_hold(name: str, kind: pa.DataType) -> bool:
    """Whether a column of this type can be what the name says; lists are looked at later."""
    import pyarrow.types as types

    if types.is_dictionary(kind):
        kind = kind.value_type
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind)
    return name == "objects" or is_text or (name == "image_id" and types.is_integer(kind))


def _check_types(objects: pa.DataType, part: AnyPath) -> None:
    """Refuse columns whose type no row could be right in; wrong values are dropped row by row."""
    import pyarrow.types as types

    if not (types.is_list(objects) or types.is_large_list(objects)):
        raise DatasetError(f"expected lists in the column objects of {part}, got {objects}")
    for field in objects.value_type:
        kind = field.type.value_type if types.is_dictionary(field.type) else field.type
        is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
        if field.name in ("category", "detector_category"):
            is_right, wanted = is_text, "text"
        elif field.name == "prompt_id":
            is_right, wanted = types.is_signed_integer(kind), "whole numbers"
        else:
            continue
        if not is_right and not types.is_null(kind):
            raise DatasetError(
                f"expected {wanted} in objects.{field.name} of {part}, got {field.type}"
            )


def _get_boxes(values: pa.StructArray) -> list[Any]:
    """Return left, top, width, height: of the box that the detector gave, else of `bbox`."""
    boxes = values.field("bbox").to_pylist()
    corners = _get_first(values, ("detector_box_xyxy",), None)
    # In float64 the difference is exact enough to give back the same float32 corners.
    return [
        box if xyxy is None else _to_xywh(xyxy) for box, xyxy in zip(boxes, corners, strict=True)
    ]


def _get_first(values: pa.StructArray, names: tuple[str, ...], default: Any) -> list[Any]:
    """Return the first of the named fields that the rows have, nulls as the default."""
    for name in names:
        if values.type.get_field_index(name) >= 0:
            column = values.field(name).to_pylist()
            return [default if value is None else value for value in column]
    return [default] * len(values)


def _to_xywh(xyxy: Any) -> tuple[float, ...]:
    """Return left, top, width, height; (), which is dropped and counted, of anything else."""
    try:
        left, top, right, bottom = (float(value) for value in xyxy)
    except (TypeError, ValueError):
        return ()
    return left, top, right - left, bottom - top


def _to_point(values: Any) -> tuple[float, float] | None:
    """Return x and y; `_NO_POINT` stays what it is; None of anything else."""
    if values is _NO_POINT:
        return _NO_POINT
    try:
        x, y = (float(value) for value in values)
    except (TypeError, ValueError):
        return None
    # Beyond float32 they would become infinite in the table.
    is_finite = all(abs(value) <= _LARGEST_FLOAT32 for value in (x, y))
    return (x, y) if is_finite else None
