"""Labels → a data set that Hugging Face's `datasets.load_dataset(FOLDER)` opens.

With pictures copied, the form of the hub: Parquet shards with an `Image` column that holds the
files as they are. With pictures linked, an imagefolder: files, and a metadata.parquet beside them.
Without: shards without that column.

    data/train-00000-of-00002.parquet      or      train/NAME.jpg  train/metadata.parquet

A row is an image; `objects` is a struct of lists, one entry an object, as the hub's detection sets
have it. Classes are `ClassLabel`s: their numbers count the categories by ascending id. Masks are
COCO run lengths, which pycocotools decodes as they are. The features stand in the Parquet schema,
where `datasets` reads them.

Source: https://huggingface.co/docs/datasets, "Create an image dataset"; checked with datasets 5.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ovsam.errors import explain
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.image_files import ImageFiles
from ovsam_pipeline.export.labels import LabelledImage, iterate_labelled, read_categories
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.export.safe_names import SafeNames
from ovsam_pipeline.export.splits import assign_splits
from ovsam_pipeline.output.answered_rows import REVIEWED_BY
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import RLE

# What the hub advises: shards of half a gigabyte, row groups that a viewer loads at once.
_SHARD_BYTES, _GROUP_BYTES, _GROUP_ROWS = 500_000_000, 50_000_000, 100
_SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}
_FLOATS = (
    "score", "model_score", "head_score", "clip_score", "detector_score", "mask_score", "margin",
    "risk",
)  # fmt: skip
_TEXTS = ("model_category", "detector_category", "reason", REVIEWED_BY)
_FIELDS = ("category_id", "bbox", "area", "segmentation", *_FLOATS, *_TEXTS[:-1])
_METADATA = "metadata.parquet"


def export_hf(output: AnyPath, target: Path, options: ExportOptions) -> ExportSummary:
    """Write the chosen labels, and the pictures with them, into an empty folder."""
    summary = ExportSummary()
    categories = read_categories(output, options.choice)
    numbers = {category["id"]: number for number, category in enumerate(categories)}
    splits = assign_splits(output, options)
    columns = _Columns([category["name"] for category in categories], options.images)
    files, names = ImageFiles(output, options, summary), SafeNames(("metadata",))
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(_ShardWriter(target, _SPLIT_NAMES[split], columns))
            for split in splits.used
        }
        for image in iterate_labelled(output, options.choice, _FIELDS):
            split = splits.find(image.file_name)
            row = _describe_image(image, numbers)
            with files.counting_missing(image) as is_there:
                if options.images == "copy":
                    row["image"] = {"bytes": files.find(image).read_bytes(), "path": None}
            if options.images == "link":
                row["file_name"] = "".join(names.make(image.file_name))
                is_there = [files.put(image, target / _SPLIT_NAMES[split] / row["file_name"])]
            if is_there[0]:
                writers[split].add(row)
                summary.images += 1
                summary.objects += len(image.objects)
    return summary


def read_hf(output: AnyPath, target: Path, options: ExportOptions) -> Iterator[list[RLE | None]]:
    """Yield the masks of each image as they stand in the files, in the order of the rows."""
    splits = assign_splits(output, options)
    readers = {split: _iterate_rows(target, _SPLIT_NAMES[split]) for split in splits.used}
    waiting = {split: next(reader, None) for split, reader in readers.items()}
    for image in iterate_labelled(output, options.choice, ("category_id",)):
        split = splits.find(image.file_name)
        row = waiting[split]
        if row is not None and row["image_id"] == image.image_id:
            yield row["objects"]["segmentation"]
            waiting[split] = next(readers[split], None)


def _describe_image(image: LabelledImage, numbers: dict[int, int]) -> dict[str, Any]:
    """Return the row of an image without its picture."""
    items = image.objects
    objects: dict[str, list[Any]] = {
        "id": list(range(1, len(items) + 1)),
        "category": [numbers[item["category_id"]] for item in items],
        **{name: [item[name] for item in items] for name in ("category_id", "bbox", "area")},
        "segmentation": [item["segmentation"] for item in items],
        **{name: [item.get(name) for item in items] for name in (*_FLOATS, *_TEXTS)},
    }
    return {
        "image_id": image.image_id,
        "image_name": image.file_name,
        "width": image.width,
        "height": image.height,
        "objects": objects,
    }


class _Columns:
    """The columns of the files: as Arrow has them, and as `datasets` names them."""

    def __init__(self, class_names: list[str], images: str) -> None:
        """Describe the columns for class names and a way of --images."""
        mask_type = pa.struct([("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())])
        item_types = {
            "id": pa.int64(),
            "category": pa.int64(),
            "category_id": pa.int64(),
            "bbox": pa.list_(pa.float32(), 4),
            "area": pa.int64(),
            "segmentation": mask_type,
            **dict.fromkeys(_FLOATS, pa.float32()),
            **dict.fromkeys(_TEXTS, pa.string()),
        }
        first: dict[str, pa.DataType] = {}
        if images == "copy":
            first["image"] = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        if images == "link":
            first["file_name"] = pa.string()
        fields = {
            **first,
            "image_id": pa.int64(),
            "image_name": pa.string(),
            "width": pa.int32(),
            "height": pa.int32(),
            "objects": pa.struct([(name, pa.list_(kind)) for name, kind in item_types.items()]),
        }
        features = {name: _name_feature(kind) for name, kind in fields.items()}
        if images == "copy":
            features["image"] = {"_type": "Image"}
        features["objects"]["category"]["feature"] = {"names": class_names, "_type": "ClassLabel"}
        metadata = json.dumps({"info": {"features": features}}, ensure_ascii=False)
        self.schema = pa.schema(list(fields.items()), metadata={"huggingface": metadata})
        self.is_sharded = images != "link"


def _name_feature(kind: pa.DataType) -> Any:
    """Return a column's type as `datasets` writes it in JSON, in the words of all its versions."""
    if pa.types.is_struct(kind):
        return {field.name: _name_feature(field.type) for field in kind}
    if pa.types.is_fixed_size_list(kind):
        feature = _name_feature(kind.value_type)
        return {"feature": feature, "length": kind.list_size, "_type": "Sequence"}
    if pa.types.is_list(kind):
        feature = _name_feature(kind.value_type)
        # A Sequence of structs would mean a struct of lists.
        is_struct = pa.types.is_struct(kind.value_type)
        return [feature] if is_struct else {"feature": feature, "_type": "Sequence"}
    names = {"float": "float32", "double": "float64"}
    return {"dtype": names.get(str(kind), str(kind)), "_type": "Value"}


class _ShardWriter:
    """Writes the rows of one split: a few row groups at a time are in memory."""

    def __init__(self, target: Path, split: str, columns: _Columns) -> None:
        self._folder = target / ("data" if columns.is_sharded else split)
        self._split, self._columns = split, columns
        self._rows: list[dict[str, Any]] = []
        self._row_bytes = self._shard_bytes = 0
        self._shards: list[Path] = []
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> _ShardWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with explain("cannot write", self._folder, OutputError):
            if kind is None:
                self._flush()
            if self._writer is not None:
                self._writer.close()
            if kind is None:
                self._name_shards()

    def add(self, row: dict[str, Any]) -> None:
        """Take a row."""
        self._rows.append(row)
        self._row_bytes += len((row.get("image") or {}).get("bytes") or b"")
        if len(self._rows) >= _GROUP_ROWS or self._row_bytes >= _GROUP_BYTES:
            with explain("cannot write", self._folder, OutputError):
                self._flush()

    def _flush(self) -> None:
        """Write the rows as a row group; begin a new shard where the last one is full."""
        if self._writer is not None and (not self._rows or self._shard_bytes >= _SHARD_BYTES):
            if not self._rows:
                return
            if self._columns.is_sharded:
                self._writer.close()
                self._writer = None
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{self._split}-{len(self._shards):05d}.writing"
            self._shards.append(path)
            self._writer = pq.ParquetWriter(path, self._columns.schema, compression="zstd")
            self._shard_bytes = 0
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._columns.schema))
        self._shard_bytes += self._row_bytes
        self._rows, self._row_bytes = [], 0

    def _name_shards(self) -> None:
        """Give the shards their names, in which their number stands."""
        if not self._columns.is_sharded:
            self._shards[0].rename(self._folder / _METADATA)
            return
        for number, path in enumerate(self._shards):
            name = f"{self._split}-{number:05d}-of-{len(self._shards):05d}.parquet"
            path.rename(self._folder / name)


def _iterate_rows(target: Path, split: str) -> Iterator[dict[str, Any]]:
    linked = target / split / _METADATA
    paths = [linked] if linked.exists() else sorted((target / "data").glob(f"{split}-*.parquet"))
    for path in paths:
        with explain("cannot read", path, OutputError), pq.ParquetFile(path) as file:
            columns = ["image_id", "objects.segmentation"]
            for batch in file.iter_batches(_GROUP_ROWS, columns=columns):
                yield from batch.to_pylist()
