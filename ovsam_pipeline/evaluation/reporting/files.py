"""The files of an evaluation: metrics.json, CSV files, and samples for later comparisons.

Samples are one row per instance, or one row per prediction and one per annotation: enough to
resample images without the data set.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import ovsam
from ovsam.checked_json import parse_json, refuse_pipe
from ovsam.errors import describe_error
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reporting.cases import group_confusions
from ovsam_pipeline.evaluation.structures import (
    IOU_THRESHOLDS,
    RECALL_THRESHOLDS,
    GroundTruth,
    Predictions,
)
from ovsam_pipeline.output.folder import read_run_file
from ovsam_pipeline.output.place import parse_output
from ovsam_pipeline.storage.atomic import replace_file, write_atomically
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:
    from ovsam_pipeline.evaluation.config import EvalConfig
    from ovsam_pipeline.evaluation.datasets import Dataset
    from ovsam_pipeline.evaluation.scoring.average_precision import DetectionScores
    from ovsam_pipeline.evaluation.scoring.instances import InstanceScores

CURVES_FILE = "curves.parquet"
REPORT_FILE = "report.html"
# How a page begins that ovsam may replace; see `ui/report_page.py`.
REPORT_MARK = "<!-- made by ovsam report: the next one replaces it -->"
# Columns of curves.parquet → the IoU thresholds that they are the mean of.
CURVES = {"precision_50": slice(0, 1), "precision_75": slice(5, 6), "precision": slice(None)}


def describe_evaluation(
    config: EvalConfig,
    dataset: Mapping[str, Any],
    truth: GroundTruth,
    predictions: Predictions,
    measured: Mapping[str, Mapping[str, float | int | None]],
) -> dict[str, Any]:
    """Return the content of metrics.json, without the times.

    `dataset` is from `describe_dataset`; `measured` are metrics by group.
    """
    folder = parse_output(predictions.title)
    # How an output was made belongs to its numbers; a results file does not state it.
    run = read_run_file(folder) if folder.is_dir() else {}
    area_rule: str = config.area_rule
    if area_rule == "auto":
        area_rule = "box" if predictions.has_boxes else "mask"
    return {
        "ovsam": ovsam.__version__,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": dict(dataset),
        "protocol": {
            **config.describe_protocol(),
            "class_agnostic": config.class_agnostic or not predictions.has_classes,
            "predictions": str(predictions.title),
            "area_rule": area_rule,
            "made_with": run.get("depends_on"),
        },
        "counts": {
            "images": truth.num_images,
            "images_answered": int(predictions.answered_images.sum()),
            "images_without_annotations": int(truth.num_images - len(np.unique(truth.image_index))),
            "annotations": len(truth.annotation_ids),
            "crowds": int(truth.is_crowd.sum()),
            "predictions": len(predictions),
        },
        "matching": predictions.images.to_dict(),
        "metrics": {group: dict(values) for group, values in measured.items()},
        "problems": [*truth.problems.describe(), *predictions.problems.describe()],
        "paper": {"table": config.table} if config.table else None,
    }


def describe_dataset(dataset: Dataset, truth: GroundTruth) -> dict[str, Any]:
    """Return the part of metrics.json that two evaluations of the same data have in common."""
    return {
        "name": dataset.name,
        "annotations": str(dataset.annotations),
        "style": "lvis" if truth.is_lvis else "coco",
        "images": truth.num_images,
        "annotations_count": len(truth.annotation_ids),
        "categories": len(truth.categories),
    }


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write metrics.json."""
    text = json.dumps(metrics, ensure_ascii=False, indent=2) + "\n"
    write_atomically(path, text.encode("utf-8"))


def is_report(path: AnyPath) -> bool:
    """Return whether a file begins as a page of ovsam; an OSError where it cannot be read."""
    with path.open("rb") as file:
        return REPORT_MARK.encode() in file.read(len(REPORT_MARK) + 64)


def read_result_file(path: Path, name: str) -> Any:
    """Return the JSON of a file that `ovsam eval` calls `name`; DatasetError where it has none."""
    try:
        refuse_pipe(path)
        return parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"cannot read {path} as {name} of ovsam eval: {describe_error(error)}"
        ) from error


def read_metrics(path: Path) -> dict[str, Any]:
    """Return the content of a metrics.json; DatasetError where it is not there, or not ours."""
    values = read_result_file(path, "metrics.json")
    parts = ("metrics", "dataset", "protocol")
    if not isinstance(values, dict) or not all(isinstance(values.get(p), dict) for p in parts):
        raise DatasetError(f"expected metrics.json of ovsam eval in {path}, got another JSON file")
    return values


def write_per_class(
    path: Path,
    truth: GroundTruth,
    detection: Mapping[str, DetectionScores],
    instances: InstanceScores | None,
) -> None:
    """Write per_class.csv: one line per class; empty cells where a number is undefined."""
    size = len(truth.categories)
    columns: dict[str, list[Any]] = {
        "category_id": truth.categories.ids.tolist(),
        "name": list(truth.categories.names),
        "split": [split or "" for split in truth.categories.splits],
        "frequency": [frequency or "" for frequency in truth.categories.frequencies],
        "annotations": np.bincount(truth.category_index, minlength=size).tolist(),
    }
    if instances is not None:
        columns |= _average_instances(truth, instances)
    for name, scores in detection.items():
        if len(scores.per_category["AP"]) != size:
            continue  # --class-agnostic: all classes together
        columns[f"{name}_predictions"] = scores.per_category["num_predictions"].tolist()
        for metric in ("AP", "AP50", "AR"):
            columns[f"{name}_{metric}"] = _format(scores.per_category[metric])
    _write_csv(path, columns, zip(*columns.values(), strict=True))


def write_confusions(
    path: Path, truth: GroundTruth, predictions: Predictions, instances: InstanceScores
) -> None:
    """Write confusions.csv: one line per pair of confused classes."""
    rows = count_confusions(truth, predictions, instances)
    _write_csv(path, ("truth", "predicted", "instances"), rows)


def count_confusions(
    truth: GroundTruth, predictions: Predictions, instances: InstanceScores
) -> list[tuple[str, str, int]]:
    """Return how often each class was named as which other one, the most frequent first."""
    return [
        (pair.truth, pair.predicted, len(pair.positions))
        for pair in group_confusions(truth, predictions, instances)
    ]


def _write_csv(path: Path, header: Iterable[str], rows: Iterable[Sequence[Any]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomically(path, stream.getvalue().encode("utf-8"))


def _average_instances(truth: GroundTruth, instances: InstanceScores) -> dict[str, list[Any]]:
    """Return the mean IoU and accuracy of each class."""
    category = truth.category_index[instances.truth_rows]
    size = len(truth.categories)
    counts = np.bincount(category, minlength=size)
    with np.errstate(invalid="ignore"):  # 0 / 0 of classes without instances
        iou = np.bincount(category, instances.ious, minlength=size) / counts
        accuracy = np.bincount(category, instances.is_right, minlength=size) / counts
    return {
        "instances": counts.tolist(),
        "iou": _format(np.where(counts, iou, -1)),
        "accuracy": _format(np.where(counts, accuracy, -1)),
    }


def _format(values: np.ndarray) -> list[str]:
    # All digits: other programs compare and sort by them.
    return ["" if value < 0 else repr(value) for value in values.tolist()]


def write_samples(
    folder: Path,
    truth: GroundTruth,
    detection: Mapping[str, DetectionScores],
    instances: InstanceScores | None,
) -> None:
    """Write what `--baseline` resamples.

    Files: instances.parquet; bbox.parquet and segm.parquet (predictions, with one bit per IoU
    threshold), bbox-truth.parquet and segm-truth.parquet (annotations to be found).
    """
    folder.mkdir(parents=True, exist_ok=True)
    if instances is not None:
        rows = instances.truth_rows
        category = truth.category_index[rows]
        values = {
            "image_id": truth.image_ids[truth.image_index[rows]],
            "annotation_id": truth.annotation_ids[rows],
            "category_id": truth.categories.ids[category],
            "split": np.array(truth.categories.splits, object)[category],
            "iou": instances.ious,
            "is_right": instances.is_right,
        }
        _write_table(folder / "instances.parquet", values)
    for name, scores in detection.items():
        if (matches := scores.matches) is None:
            continue  # the reference engines do not report matches
        predictions = {
            "image_id": truth.image_ids[matches.image_index],
            "category_index": matches.category_index,
            "rank": matches.ranks,
            "score": matches.scores,
            "matched": _pack(matches.matched[:, 0]),
            "ignored": _pack(matches.ignored[:, 0]),
        }
        _write_table(folder / f"{name}.parquet", predictions)
        annotations = {
            "image_id": truth.image_ids[matches.truth_image_index],
            "category_index": matches.truth_category_index,
        }
        _write_table(folder / f"{name}-truth.parquet", annotations)


def write_curves(path: Path, truth: GroundTruth, detection: Mapping[str, DetectionScores]) -> None:
    """Write curves.parquet: precision over 101 recalls, a row per type of IoU and class.

    Columns: `type`, `category_id` (null: all classes together, `--class-agnostic`), `precision_50`,
    `precision_75` and `precision` (mean over IoU .50:.95), 101 float32 each, and `recall`, one for
    each of the ten IoU thresholds. Classes without annotations to be found have no row.
    """
    kinds = [pa.field(name, pa.list_(pa.float32(), len(RECALL_THRESHOLDS))) for name in CURVES]
    schema = pa.schema(
        [
            pa.field("type", pa.string()),
            pa.field("category_id", pa.int64()),
            *kinds,
            pa.field("recall", pa.list_(pa.float32(), len(IOU_THRESHOLDS))),
        ]
    )
    rows = []
    for name, scores in detection.items():
        precision, recall = scores.curves.precision[..., 0], scores.curves.recall[:, :, 0, -1]
        together = precision.shape[2] != len(truth.categories)
        for index in np.flatnonzero(precision[0, 0] > -1).tolist():
            rows.append(
                {
                    "type": name,
                    "category_id": None if together else int(truth.categories.ids[index]),
                    **{kind: precision[t, :, index].mean(axis=0) for kind, t in CURVES.items()},
                    "recall": recall[:, index],
                }
            )
    with replace_file(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema), temporary, compression="zstd")


def read_curves(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return the columns of curves.parquet by type of IoU; {} where an earlier version wrote none.

    Each type has `category_id` (n,) int64, -1 for all classes together, and the other columns of
    `write_curves`, (n, 101) or (n, 10) float32.

    Raises:
        DatasetError: the file is damaged.
    """
    if not path.exists():
        return {}
    try:
        table = pq.read_table(path)
        types = table["type"].to_numpy(zero_copy_only=False)
        columns = {"category_id": table["category_id"].fill_null(-1).to_numpy()}
        for name in (*CURVES, "recall"):
            column = table[name].combine_chunks()
            columns[name] = column.flatten().to_numpy().reshape(len(table), column.type.list_size)
    except (OSError, pa.ArrowException, KeyError, AttributeError, ValueError) as error:
        raise DatasetError(f"cannot read the curves {path}: {describe_error(error)}") from error
    return {
        str(kind): {name: values[types == kind] for name, values in columns.items()}
        for kind in dict.fromkeys(types.tolist())
    }


def read_samples(folder: Path, name: str) -> dict[str, np.ndarray] | None:
    """Return the columns of a file of samples; None where there is no such file.

    `matched` and `ignored` come as (N, 10) bool. A damaged file is a DatasetError.
    """
    path = folder / f"{name}.parquet"
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"cannot read the samples {path}: {describe_error(error)}") from error
    columns = {key: table[key].to_numpy(zero_copy_only=False) for key in table.column_names}
    for key in ("matched", "ignored"):
        if key in columns:
            bits = columns[key].astype(np.int64)[:, None] >> np.arange(len(IOU_THRESHOLDS))
            columns[key] = (bits & 1).astype(bool)
    return columns


def _pack(flags: np.ndarray) -> np.ndarray:
    """Return (N,) uint16 with a bit for each of (N, T) flags."""
    return (flags.astype(np.uint16) << np.arange(flags.shape[1], dtype=np.uint16)).sum(
        axis=1, dtype=np.uint16
    )


def _write_table(path: Path, columns: dict[str, np.ndarray]) -> None:
    with replace_file(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")
