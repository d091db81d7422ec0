"""The reference tools on our tables: pycocotools, lvis-api, faster-coco-eval.

Ground truth and predictions go in as the dictionaries that those tools read; `Curves` come out.
Ids are numbered from 1 again, since pycocotools takes an annotation id 0 for "no match".
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Literal

import numpy as np

from ovsam.errors import ConfigError, MissingDependencyError
from ovsam_pipeline.evaluation.scoring.matching import (
    AreaRule,
    compute_prediction_areas,
    select_predictions,
)
from ovsam_pipeline.evaluation.scoring.overlaps import read_prediction_rles
from ovsam_pipeline.evaluation.structures import (
    Curves,
    GroundTruth,
    IouType,
    Predictions,
)


def compute_reference_curves(
    truth: GroundTruth,
    predictions: Predictions,
    iou_type: IouType,
    *,
    engine: Literal["faster-coco-eval", "reference"],
    class_agnostic: bool = False,
    area_rule: AreaRule = "auto",
) -> Curves | None:
    """Run a reference tool; "reference" is pycocotools, or lvis-api for LVIS.

    The tools fail without predictions: then the answer is None, and our own zeros are right.
    """
    if truth.is_lvis and class_agnostic:
        raise ConfigError(
            "lvis-api and faster-coco-eval cannot put the categories of LVIS together; use the "
            "ap-engine fast"
        )
    # LVIS cuts by image, before classes that it lacks are left out: lvis-api never sees those here,
    # and faster-coco-eval cuts by image and category.
    rows = select_predictions(truth, predictions)
    if truth.is_lvis and engine != "reference":
        rows = rows[compute_prediction_areas(truth, predictions, rows, area_rule) > 0]
    with _silence():
        tool = _import_tool(truth, engine)
        if not len(rows):
            return None
        dataset = _build_dataset(truth, iou_type)
        results = _build_results(truth, predictions, rows, iou_type)
        areas = None
        if area_rule != "auto":
            areas = compute_prediction_areas(truth, predictions, rows, area_rule)
        if truth.is_lvis and engine == "reference":
            precision, recall = _run_lvis(tool, dataset, results, iou_type, areas)
        else:
            evaluator = _prepare_coco(tool, dataset, results, iou_type, areas, truth.is_lvis)
            evaluator.params.maxDets = list(truth.max_detections)
            evaluator.params.useCats = 0 if class_agnostic else 1
            evaluator.evaluate()
            evaluator.accumulate()
            precision = np.asarray(evaluator.eval["precision"])[..., -1]
            recall = np.asarray(evaluator.eval["recall"])
        return Curves(precision, recall, truth.max_detections)


def _import_tool(truth: GroundTruth, engine: str) -> ModuleType:
    name = "faster_coco_eval" if engine == "faster-coco-eval" else "pycocotools.cocoeval"
    if engine == "reference" and truth.is_lvis:
        name = "lvis"
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"the engine {engine} needs the package {name}; pip install {name.partition('.')[0]}"
        ) from error


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the tools from printing, logging and warning."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextlib.contextmanager
def _old_float_name() -> Iterator[None]:
    """Give numpy the name `np.float` that lvis 0.5.3 uses and numpy 1.24 dropped."""
    has_name = "float" in vars(np)
    if not has_name:
        setattr(np, "float", float)  # noqa: B010 - mypy knows that the name is gone
    try:
        yield
    finally:
        if not has_name:
            delattr(np, "float")


def _build_dataset(truth: GroundTruth, iou_type: IouType) -> dict[str, Any]:
    """Return the ground truth as the content of a COCO or LVIS file; ids are rows plus 1."""
    num_categories = len(truth.categories)
    lists = {
        "neg_category_ids": truth.negative,
        "not_exhaustive_category_ids": truth.not_exhaustive,
    }
    images = [
        {"id": i + 1, "height": h, "width": w, **{name: [] for name in lists}}
        for i, (h, w) in enumerate(truth.image_sizes_hw.tolist())
    ]
    for name, codes in lists.items():
        for code in codes.tolist():
            images[code // num_categories][name].append(code % num_categories + 1)
    categories = [
        # lvis-api fails without a frequency; its APr, APc and APf are not read.
        {"id": k + 1, "name": name, "frequency": frequency or "f"}
        for k, (name, frequency) in enumerate(
            zip(truth.categories.names, truth.categories.frequencies, strict=True)
        )
    ]
    rows = np.arange(len(truth.areas))
    if truth.is_lvis:
        # lvis-api leaves them out by itself; faster-coco-eval does not.
        rows = rows[truth.areas > 0]
    annotations: list[dict[str, Any]] = [
        {
            "id": row + 1,
            "image_id": int(truth.image_index[row]) + 1,
            "category_id": int(truth.category_index[row]) + 1,
            "area": float(truth.areas[row]),
            "bbox": truth.boxes_xywh[row].tolist(),
            "iscrowd": int(truth.is_crowd[row]),
            "ignore": int(truth.is_ignored[row]),
        }
        for row in rows.tolist()
    ]
    if iou_type == "segm":
        sizes_hw = truth.image_sizes_hw[truth.image_index[rows]]
        rles = truth.segments.read_rles(truth.segment_rows[rows], sizes_hw)
        for item, rle in zip(annotations, rles, strict=True):
            item["segmentation"] = rle
    return {"images": images, "categories": categories, "annotations": annotations}


def _build_results(
    truth: GroundTruth, predictions: Predictions, rows: np.ndarray, iou_type: IouType
) -> list[dict[str, Any]]:
    """Return predictions as the content of a file of results."""
    results: list[dict[str, Any]] = [
        {
            "image_id": int(predictions.image_index[row]) + 1,
            "category_id": int(predictions.category_index[row]) + 1,
            "score": float(predictions.scores[row]),
        }
        for row in rows
    ]
    # The tools take areas from boxes where there are some, so boxes go in only if the file had any.
    if predictions.has_boxes or not predictions.has_masks:
        for item, row in zip(results, rows, strict=True):
            item["bbox"] = predictions.boxes_xywh[row].tolist()
    if iou_type == "segm" or not predictions.has_boxes:
        rles = read_prediction_rles(truth, predictions, rows) if predictions.has_masks else []
        for item, rle in zip(results, rles, strict=False):
            item["segmentation"] = rle
    return results


def _prepare_coco(
    tool: ModuleType,
    dataset: dict[str, Any],
    results: list[dict[str, Any]],
    iou_type: IouType,
    areas: np.ndarray | None,
    is_lvis: bool,
) -> Any:
    """Return the evaluator of pycocotools or faster-coco-eval."""
    if tool.__name__ == "faster_coco_eval":
        truth = tool.COCO(dataset)
        found = truth.loadRes(results)
        evaluator = tool.COCOeval_faster(truth, found, iou_type, lvis_style=is_lvis)
    else:
        truth = importlib.import_module("pycocotools.coco").COCO()
        truth.dataset = dataset
        truth.createIndex()
        found = truth.loadRes(results)
        evaluator = tool.COCOeval(truth, found, iou_type)
    _set_areas(found.dataset["annotations"], areas)
    return evaluator


def _run_lvis(
    tool: ModuleType,
    dataset: dict[str, Any],
    results: list[dict[str, Any]],
    iou_type: IouType,
    areas: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return precision and recall of lvis-api."""
    for position, item in enumerate(results):
        item["position"] = position
    # Its constructor reads nothing but files.
    truth = tool.LVIS.__new__(tool.LVIS)
    truth.logger = logging.getLogger("lvis.lvis")
    truth.dataset = dataset
    truth._create_index()
    found = tool.LVISResults(truth, results)
    kept = found.dataset["annotations"]  # it cuts by image itself
    _set_areas(kept, None if areas is None else areas[[item["position"] for item in kept]])
    evaluator = tool.LVISEval(truth, found, iou_type)
    with _old_float_name():
        evaluator.evaluate()
        evaluator.accumulate()
    recall = np.asarray(evaluator.eval["recall"])[..., None]
    return np.asarray(evaluator.eval["precision"]), recall


def _set_areas(items: list[dict[str, Any]], areas: np.ndarray | None) -> None:
    """Overwrite the areas that a tool took of the predictions by its own rule."""
    if areas is not None:
        for item, area in zip(items, areas.tolist(), strict=True):
            item["area"] = area
