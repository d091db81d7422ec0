"""Parts → `annotations.json`: COCO instances with compressed RLE, streamed.

Two passes over the parts: the first counts objects an image, so that annotation ids do not depend
on how rows are spread over parts; the second writes. Memory: 16 bytes an image, whatever the number
of objects. Failed images are left out: as images without objects they would teach "nothing here".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ovsam_pipeline.atomic import replace_file
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.parts import iterate_part_rows
from ovsam_pipeline.store import list_parts, read_run_file

__all__ = ["OutputCounts", "count_output", "export_coco"]

# What stands in an annotation where the object has it; rows of earlier versions may lack them.
_OPTIONAL = ("detector_category", "detector_margin", "model_category", "model_score", "prompt_id")


@dataclass(frozen=True)
class OutputCounts:
    """What an output folder holds: images by status, and objects."""

    labelled: int = 0
    empty: int = 0
    failed: int = 0
    objects: int = 0

    @property
    def images(self) -> int:
        """Number of rows."""
        return self.labelled + self.empty + self.failed

    def to_dict(self) -> dict[str, int]:
        """Return plain values for JSON."""
        return {"images": self.images, **asdict(self)}


@dataclass(frozen=True)
class _Tally:
    """Per image, sorted by id: its id, and the id of its first annotation."""

    counts: OutputCounts
    image_ids: np.ndarray
    first_ids: np.ndarray


def export_coco(output: Path, target: Path) -> OutputCounts:
    """Write the labels of an output folder as one COCO instances file; return what it holds.

    Annotation ids count from 1 over the images in order of their id, so the same labels get the
    same ids however often the run was interrupted.

    Args:
        output: folder that `ovsam label` wrote.
        target: the JSON file; replaced when complete.

    Raises:
        OutputError: run.json or a part is missing or damaged, two images have one id, or the file
            cannot be written.
    """
    run = read_run_file(output)
    if "categories" not in run:
        raise OutputError(
            f"expected an output folder of ovsam label, got {output} without run.json"
        )
    if run.get("task") == "detect":
        raise OutputError(
            f"{output} holds boxes of ovsam detect and no labels; run ovsam label --detector "
            f"boxes:{output}"
        )
    tally = _tally_parts(output)
    with replace_file(target) as temporary, temporary.open("w", encoding="utf-8") as stream:
        info = {
            "description": f"labels made by ovsam {run.get('ovsam', '')}".strip(),
            "model": run.get("model", {}),
        }
        stream.write(f'{{"info":{_dump(info)},\n"licenses":[],\n"categories":')
        stream.write(f'{_dump(run["categories"])},\n"images":[')
        _write_list(stream, _iterate_images(output))
        stream.write('],\n"annotations":[')
        _write_list(stream, _iterate_annotations(output, tally))
        stream.write("]}\n")
    return tally.counts


def count_output(output: Path) -> OutputCounts:
    """Return how many images and objects the parts of an output folder hold.

    Raises:
        OutputError: a part is damaged, or two images have one id.
    """
    return _tally_parts(output).counts


def _tally_parts(output: Path) -> _Tally:
    ids: list[np.ndarray] = [np.zeros(0, np.int64)]
    numbers: list[np.ndarray] = [np.zeros(0, np.int64)]
    statuses: dict[str, int] = {}
    for part in list_parts(output):
        try:
            with pq.ParquetFile(part) as stream:
                table = stream.read(columns=["image_id", "status", "objects.list.element.bbox"])
        except (OSError, pa.ArrowException) as error:
            raise OutputError(f"cannot read {part}: {error}") from error
        ids.append(table["image_id"].to_numpy())
        numbers.append(pc.list_value_length(table["objects"]).to_numpy())
        for status in table["status"].to_pylist():
            statuses[status] = statuses.get(status, 0) + 1
    image_ids, counts = np.concatenate(ids), np.concatenate(numbers).astype(np.int64)
    order = np.argsort(image_ids, kind="stable")
    image_ids, counts = image_ids[order], counts[order]
    repeated = np.flatnonzero(image_ids[1:] == image_ids[:-1])
    if len(repeated):
        raise OutputError(f"two rows of {output} have the image id {image_ids[repeated[0]]}")
    totals = OutputCounts(
        **{name: statuses.get(name, 0) for name in ("labelled", "empty", "failed")},
        objects=int(counts.sum()),
    )
    return _Tally(totals, image_ids, 1 + np.cumsum(counts) - counts)


def _iterate_images(output: Path) -> Iterator[dict[str, Any]]:
    columns = ("image_id", "file_name", "width", "height", "status")
    for part in list_parts(output):
        for row in iterate_part_rows(part, columns):
            if row["status"] != "failed":
                yield {
                    "id": row["image_id"],
                    "file_name": row["file_name"],
                    "width": row["width"],
                    "height": row["height"],
                }


def _iterate_annotations(output: Path, tally: _Tally) -> Iterator[dict[str, Any]]:
    for part in list_parts(output):
        for row in iterate_part_rows(part, ("image_id", "objects")):
            index = np.searchsorted(tally.image_ids, row["image_id"])
            first_id = int(tally.first_ids[index])
            for offset, item in enumerate(row["objects"] or ()):
                yield _build_annotation(first_id + offset, row["image_id"], item)


def _build_annotation(annotation_id: int, image_id: int, item: dict[str, Any]) -> dict[str, Any]:
    annotation = {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": item["category_id"],
        "segmentation": item["segmentation"],
        "area": item["area"],
        "bbox": [round(value, 2) for value in item["bbox"]],
        "iscrowd": 0,
        "score": _shorten(item["score"]),
        "detector_score": _shorten(item["detector_score"]),
    }
    for name in _OPTIONAL:
        value = item.get(name)
        if value is not None:
            annotation[name] = _shorten(value) if isinstance(value, float) else value
    return annotation


def _shorten(value: float) -> float:
    """Return the shortest decimal that is this float32: the order and the ties of scores stay."""
    return float(str(np.float32(value)))


def _write_list(stream: IO[str], items: Iterator[dict[str, Any]]) -> None:
    separator = "\n"
    for item in items:
        stream.write(separator + _dump(item))
        separator = ",\n"


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
