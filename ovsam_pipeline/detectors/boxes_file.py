"""`boxes:FILE`: boxes that another program, or an earlier run, has found.

FILE is a COCO results list, a COCO data set, or a Parquet file or folder as `ovsam` writes them;
`boxes:RESULTS.json#DATASET.json` takes image names and classes from a data set. docs/detectors.md
has the formats.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ovsam_pipeline.detectors.base import compute_fingerprint, hash_file
from ovsam_pipeline.detectors.box_table import BoxTable, BoxTableBuilder, TableDetector
from ovsam_pipeline.detectors.coco_boxes import CocoBoxes
from ovsam_pipeline.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["build_boxes_detector"]

_IMAGE_FIELDS = ("image_id", "file_name")
_OBJECT_FIELDS = (
    "bbox", "score", "detector_score", "category", "detector_category", "category_id",
)  # fmt: skip


def build_boxes_detector(argument: str, *, conf: float, max_det: int) -> TableDetector:
    """Load the boxes of a file.

    Args:
        argument: FILE or FILE#DATASET.
        conf: boxes that score less are left out; boxes without a score count as 1.
        max_det: boxes that the run keeps an image.

    Raises:
        DatasetError: the file is not there, or is none of the formats.
    """
    first, _, second = argument.partition("#")
    path, dataset = Path(first).expanduser(), Path(second).expanduser() if second else None
    for given in (path, dataset):
        if given is not None and not given.exists():
            raise DatasetError(f"expected a file of boxes, got {given}, which is not there")
    parts = _list_parquet(path)
    if not parts and path.is_dir():
        raise DatasetError(f"expected Parquet files in {path} or its folder parts, found none")
    table = _read_parquet(parts, conf) if parts else _read_json(path, dataset, conf)
    files = [*(parts or [path]), *([dataset] if dataset else [])]
    hashes = [hash_file(file) for file in files]
    fingerprint = compute_fingerprint("boxes", hashes, conf, max_det)
    return TableDetector(f"boxes:{argument}", fingerprint, table, max_det)


def _read_json(path: Path, dataset: Path | None, conf: float) -> BoxTable:
    coco = CocoBoxes()
    if dataset is not None:
        coco.read(dataset, with_boxes=False)
        if not coco.is_dataset:
            raise DatasetError(f"expected a COCO data set after #, got a list in {dataset}")
    coco.read(path)
    return coco.builder.build(conf, coco.names, has_categories=True)


def _list_parquet(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    folder = path / "parts" if (path / "parts").is_dir() else path
    return sorted(folder.glob("*.parquet"))


def _read_parquet(parts: list[Path], conf: float) -> BoxTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    builder = BoxTableBuilder()
    ids: dict[str, int] = {}
    for part in parts:
        try:
            with pq.ParquetFile(part) as file:
                for batch in file.iter_batches(1024, columns=_choose_columns(file, part)):
                    _add_batch(builder, ids, batch)
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(f"cannot read {part} as Parquet: {error}") from error
    has_names = set(ids) - {""}
    names = {index: name for name, index in ids.items()} if has_names else {}
    return builder.build(conf, names, has_categories=False)


def _choose_columns(file: pq.ParquetFile, part: Path) -> list[str]:
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
        if name in (_OBJECT_FIELDS if is_object else _IMAGE_FIELDS):
            chosen.append(path)
            found.add(name)
    if missing := {*_IMAGE_FIELDS, "bbox"} - found:
        raise DatasetError(
            f"expected the columns image_id, file_name and objects.bbox in {part}, got none for "
            f"{', '.join(sorted(missing))}"
        )
    return chosen


def _add_batch(builder: BoxTableBuilder, ids: dict[str, int], batch: pa.RecordBatch) -> None:
    """Add the boxes of some rows; class names are numbered as they come."""
    objects = batch.column("objects")
    counts = np.diff(objects.offsets.to_numpy()) * objects.is_valid().to_numpy(zero_copy_only=False)
    values = objects.flatten()
    available = {field.name for field in objects.type.value_type}
    boxes = values.field("bbox").to_pylist()
    scores = _get_first(values, available, ("detector_score", "score"), 1.0)
    categories = _get_first(values, available, ("detector_category", "category"), None)
    image_ids, names = (batch.column(name).to_pylist() for name in _IMAGE_FIELDS)
    position = 0
    for image_id, name, count in zip(image_ids, names, counts.tolist(), strict=True):
        image_index = builder.images.add(image_id, name)
        for row in range(position, position + count):
            category = categories[row]
            category_id = ids.setdefault(category or "", len(ids))
            builder.add(image_index, boxes[row], scores[row], category_id)
        position += count


def _get_first(
    values: pa.StructArray, available: set[str], names: tuple[str, ...], default: Any
) -> list[Any]:
    """Return the first of the named fields that the rows have, nulls as the default."""
    for name in names:
        if name in available:
            column = values.field(name).to_pylist()
            return [default if value is None else value for value in column]
    return [default] * len(values)
