"""`boxes:FILE`: boxes that another program, or an earlier run, has found.

FILE is a COCO results list, a COCO data set, or a Parquet file or folder as `ovsam` writes them;
`boxes:RESULTS.json#DATASET.json` takes image names and classes from a data set. docs/detectors.md
has the formats.
"""

from __future__ import annotations

import logging
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ovsam_pipeline.detectors.base import compute_fingerprint, hash_file
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.detectors.stored.box_table import BoxTable, BoxTableBuilder, TableDetector
from ovsam_pipeline.detectors.stored.coco_boxes import CocoBoxes
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath, is_remote, parse_path

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

logger = logging.getLogger(__name__)

_IMAGE_FIELDS = ("image_id", "file_name")
_NO_POINT = (math.nan, math.nan)
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_STATE_FIELDS = ("status", "error")
_OBJECT_FIELDS = (
    "bbox", "score", "detector_score", "category", "detector_category", "detector_box_xyxy",
    "detector_point_xy", "prompt_id",
)  # fmt: skip


def build_boxes_detector(settings: DetectorSettings) -> TableDetector:
    """Load the boxes of a file; the argument is FILE or FILE#DATASET.

    Boxes without a score count as 1. Raises a DatasetError where the file does not exist, or has
    none of the formats.
    """
    conf, max_det = settings.conf, settings.max_det
    path, dataset = _split_argument(settings.argument)
    try:
        for given in (path, dataset):
            if given is not None and not given.exists():
                raise DatasetError(f"expected a file of boxes, got {given}, which is not there")
        parts = _list_parquet(path)
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error
    if not parts and path.is_dir():
        raise DatasetError(f"expected Parquet files in {path} or its folder parts, found none")
    run = _read_run(path) if parts else {}
    class_names = tuple(run.get("class_names") or ())
    if parts:
        table = _ParquetBoxes(class_names).read(parts, conf)
    elif isinstance(path, RemotePath):
        raise DatasetError(
            f"expected Parquet files at {path}; a JSON file of boxes is read from this machine: "
            "copy it here"
        )
    else:
        table = _read_json(path, dataset, conf)
    if run:
        _warn_of_limits(path, run, conf, max_det)
        # Not the parts: they grow with the images, and a changed image has another identity.
        contents = ["run", run.get("task", "label"), run["fingerprint"]]
    else:
        files = [*(parts or [path]), *([dataset] if dataset else [])]
        contents = [_hash_content(file) for file in files]
    fingerprint = compute_fingerprint("boxes", contents, conf, max_det, *class_names)
    return TableDetector(settings.spec, fingerprint, table, is_record_of_run=bool(run))


def _hash_content(file: AnyPath) -> str:
    if not isinstance(file, RemotePath):
        return hash_file(file)
    # Size and time stand for the content, which is not fetched only for that.
    return compute_fingerprint(str(file), *file.stat())


def _split_argument(argument: str) -> tuple[AnyPath, Path | None]:
    """Return FILE and DATASET; a # may be part of either, where such files are there."""
    if is_remote(argument):
        return parse_path(argument), None
    whole = Path(argument).expanduser()
    if "#" not in argument or whole.exists():
        return whole, None
    signs = [index for index, letter in enumerate(argument) if letter == "#"]
    for sign in signs:
        first, second = (
            Path(text).expanduser() for text in (argument[:sign], argument[sign + 1 :])
        )
        if argument[sign + 1 :] and first.exists() and second.exists():
            return first, second
    text, _, dataset = argument.partition("#")
    return Path(text).expanduser(), Path(dataset).expanduser() if dataset else None


def _read_json(path: Path, dataset: Path | None, conf: float) -> BoxTable:
    coco = CocoBoxes()
    if dataset is not None:
        coco.read(dataset, with_boxes=False)
        if not coco.is_dataset:
            raise DatasetError(f"expected a COCO data set after #, got a list in {dataset}")
    coco.read(path)
    return coco.builder.build(conf, coco.names, has_categories=True)


class _ParquetBoxes:
    """The boxes of Parquet files, row group after row group; class names are numbered as they come.

    Args:
        class_names: names that are known before; they come first, in this order.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.builder = BoxTableBuilder()
        self.ids = {name: index for index, name in enumerate(class_names)}
        self.failures: dict[int, str] = {}
        # By position in the files: the table knows the position of each box that it keeps.
        self.points_xy = array("d")
        self.prompt_ids = array("q")

    def read(self, parts: Sequence[AnyPath], conf: float) -> BoxTable:
        """Return the boxes of all parts; see `build_boxes_detector`."""
        import pyarrow as pa

        from ovsam_pipeline.output.parts import open_part

        for part in parts:
            try:
                with open_part(part) as file:
                    for batch in file.iter_batches(1024, columns=_choose_columns(file, part)):
                        self._add_batch(batch, part)
            except (pa.ArrowException, OSError) as error:
                raise DatasetError(f"cannot read {part} as Parquet: {error}") from error
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
        is_given = objects.is_valid().to_numpy(zero_copy_only=False)
        counts = np.diff(objects.offsets.to_numpy()) * is_given
        values = objects.flatten()
        available = {field.name for field in objects.type.value_type}
        boxes = _get_boxes(values, available)
        scores = _get_first(values, available, ("detector_score", "score"), 1.0)
        categories = _get_first(values, available, ("detector_category", "category"), "")
        points = _get_first(values, available, ("detector_point_xy",), _NO_POINT)
        prompt_ids = _get_first(values, available, ("prompt_id",), -1)
        position = 0
        for index, count in zip(self._add_images(batch), counts.tolist(), strict=True):
            for row in range(position, position + count):
                point = _to_point(points[row])
                if point is None:
                    self.builder.drop(index, "point not two finite numbers")
                else:
                    category_id = self.ids.setdefault(categories[row], len(self.ids))
                    self.builder.add(index, boxes[row], scores[row], category_id)
                # Kept in step with the rows of the file, dropped ones too.
                self.points_xy.extend(point or _NO_POINT)
                self.prompt_ids.append(prompt_ids[row])
            position += count

    def _add_images(self, batch: pa.RecordBatch) -> list[int]:
        """Return the number of each row's image; remember which failed and why."""
        image_ids, names = (batch.column(name).to_pylist() for name in _IMAGE_FIELDS)
        numbers = [self.builder.images.add(*pair) for pair in zip(image_ids, names, strict=True)]
        if set(_STATE_FIELDS) <= set(batch.schema.names):
            states, errors = (batch.column(name).to_pylist() for name in _STATE_FIELDS)
            for number, state, error in zip(numbers, states, errors, strict=True):
                if state == "failed":
                    self.failures[number] = error or "failed"
        return numbers


def _read_run(path: AnyPath) -> dict[str, Any]:
    """Return what the run that made this output folder wrote of itself; else nothing."""
    from ovsam_pipeline.output.folder import read_run_file

    folder = path.parent if path.name == "parts" else path
    run = read_run_file(folder) if path.is_dir() else {}
    if "ovsam" not in run or not isinstance(run.get("fingerprint"), str):
        return {}
    if run.get("state") != "finished":
        logger.warning(
            "the boxes in %s are not complete (%s): run the same ovsam %s again",
            folder, run.get("state"), run.get("task", "label"),
        )  # fmt: skip
    return run


def _warn_of_limits(path: AnyPath, run: Mapping[str, Any], conf: float, max_det: int) -> None:
    """Say when more boxes are asked for than were stored."""
    settings = run.get("depends_on") or {}
    if str((run.get("detector") or {}).get("name")).startswith("gt:"):
        return  # every annotation, whatever the settings
    stored_conf, stored_max = settings.get("conf", conf), settings.get("max_det", max_det)
    limits = []
    if conf < stored_conf:
        limits.append(f"begin at --conf {stored_conf:g}, so --conf {conf:g} finds no more")
    if max_det > stored_max:
        limits.append(f"were made with --max-det {stored_max}, not {max_det}")
    if limits:
        logger.warning("the boxes stored in %s %s", path, " and ".join(limits))


def _list_parquet(path: AnyPath) -> list[AnyPath]:
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    folder = path / "parts" if (path / "parts").is_dir() else path
    return sorted(folder.glob("*.parquet"), key=lambda part: part.name)


def _choose_columns(file: pq.ParquetFile, part: AnyPath) -> list[str]:
    """Return the leaf columns that are needed: masks stay on the disk.

    Raises:
        DatasetError: a column is missing.
    """
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


def _get_boxes(values: pa.StructArray, available: set[str]) -> list[Any]:
    """Return left, top, width, height: of the box that the detector gave, else of `bbox`."""
    boxes = values.field("bbox").to_pylist()
    if "detector_box_xyxy" not in available:
        return boxes
    prompts = values.field("detector_box_xyxy").to_pylist()
    # In float64 the difference is exact enough to give back the same float32 corners.
    return [
        box if xyxy is None else _to_xywh(xyxy) for box, xyxy in zip(boxes, prompts, strict=True)
    ]


def _get_first(
    values: pa.StructArray, available: set[str], names: tuple[str, ...], default: Any
) -> list[Any]:
    """Return the first of the named fields that the rows have, nulls as the default."""
    for name in names:
        if name in available:
            column = values.field(name).to_pylist()
            return [default if value is None else value for value in column]
    return [default] * len(values)


def _to_xywh(xyxy: Any) -> tuple[float, ...] | None:
    """Return left, top, width, height; None, which is dropped and counted, of anything else."""
    try:
        left, top, right, bottom = (float(value) for value in xyxy)
    except (TypeError, ValueError):
        return None
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
    is_sound = all(abs(value) <= _LARGEST_FLOAT32 for value in (x, y))
    return (x, y) if is_sound else None


def _check_types(objects: pa.DataType, part: AnyPath) -> None:
    """Refuse columns in which no row could be meant.

    Raises:
        DatasetError: objects are no list, class names no text, or annotation ids no whole numbers.
    """
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
