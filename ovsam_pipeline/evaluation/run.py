"""One evaluation from settings to numbers, files and pictures: what `ovsam eval` calls.

find the data set → read the truth → label it (or read predictions made before) → measure → write
metrics.json, per_class.csv, samples, plots and the worst instances → compare with a baseline.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import ovsam
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.evaluation.config import EvalConfig, load_eval_config
from ovsam_pipeline.evaluation.datasets import Dataset, find_dataset
from ovsam_pipeline.evaluation.output_place import choose_output, find_predictions
from ovsam_pipeline.evaluation.reading.predictions import read_predictions
from ovsam_pipeline.evaluation.reading.truth import read_ground_truth
from ovsam_pipeline.evaluation.reporting.compare import (
    Baseline,
    Comparison,
    check_same,
    compare_runs,
    read_baseline,
)
from ovsam_pipeline.evaluation.reporting.files import write_metrics, write_per_class, write_samples
from ovsam_pipeline.evaluation.scoring.average_precision import DetectionScores, score_detections
from ovsam_pipeline.evaluation.scoring.instances import (
    InstanceScores,
    find_objects,
    measure_instances,
)
from ovsam_pipeline.evaluation.structures import GroundTruth, IouType, Predictions
from ovsam_pipeline.monitoring.exit_codes import ExitCode
from ovsam_pipeline.output.place import parse_output

if TYPE_CHECKING:
    from ovsam_pipeline.monitoring.report import RunReport
    from ovsam_pipeline.monitoring.stopping import StopRequest
    from ovsam_pipeline.runs.run import LabelResult

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvalResult:
    """What an evaluation found and where it is.

    Attributes:
        output: the folder with metrics.json and everything beside it.
        metrics: the content of metrics.json; empty where labelling was stopped before its end.
        comparison: with the baseline, where one was given.
        labelled: the labelling run, where the evaluation made its own predictions.
        exit_code: what the command exits with.
    """

    output: Path
    metrics: dict[str, Any]
    comparison: Comparison | None
    labelled: LabelResult | None
    exit_code: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "output": str(self.output),
            **self.metrics,
            **({"comparison": self.comparison.to_dict()} if self.comparison else {}),
            **({"labelling": self.labelled.to_dict()} if self.labelled else {}),
            "exit_code": self.exit_code,
        }


@dataclass
class _Scores:
    """What was measured, by which protocol."""

    instances: InstanceScores | None = None
    detection: dict[str, DetectionScores] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        measured = {} if self.instances is None else {"instances": dict(self.instances.metrics)}
        return {**measured, **{name: dict(s.metrics) for name, s in self.detection.items()}}


class _Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Charge the block to a step."""
        start_s = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - start_s, 3)


def evaluate(dataset: str | Path, **settings: Any) -> EvalResult:
    """Measure labels against a data set, as `ovsam eval` does.

    Args:
        dataset: "coco", "lvis", "scenes", or a COCO or LVIS JSON file.
        settings: any other field of `EvalConfig`, e.g. `predictions="labels"`.

    Raises:
        OvsamError: the settings cannot work, data are missing or damaged, or labelling failed.
    """
    return run_evaluation(load_eval_config(None, {"dataset": dataset, **settings}))


def run_evaluation(
    config: EvalConfig,
    *,
    stopping: AbstractContextManager[StopRequest] | None = None,
    showing: Callable[[RunReport], AbstractContextManager[None]] | None = None,
    embedding: Callable[[int, int], None] | None = None,
) -> EvalResult:
    """Do what the settings say.

    Args:
        config: the settings.
        stopping: entered while labelling; its event ends that early but in good order.
        showing: entered while labelling, with the report that is being counted.
        embedding: called with (done, total) while class names are embedded.

    Raises:
        OvsamError: the settings cannot work, data are missing or damaged, or labelling failed.
    """
    clock = _Clock()
    dataset = find_dataset(
        config.dataset,
        data_root=config.data_root,
        image_root=config.image_root,
        needs_images=config.predictions is None,
    )
    output = choose_output(config, dataset)
    with clock.step("read truth"):
        truth = _read_truth(config, dataset)
    baseline = _read_baseline(config, dataset, truth)
    labelled = None
    if config.predictions is None:
        from ovsam_pipeline.evaluation.labelling import label_dataset

        with clock.step("label"):
            labelled = label_dataset(
                config,
                dataset,
                output,
                truth,
                stopping=stopping,
                showing=showing,
                embedding=embedding,
            )
        if labelled.exit_code in (ExitCode.OVER_BUDGET, ExitCode.INTERRUPTED):
            return EvalResult(output, {}, None, labelled, labelled.exit_code)
    with clock.step("read predictions"):
        predictions = read_predictions(
            find_predictions(config, output),
            truth,
            class_map=Path(config.class_map) if config.class_map else None,
            scores=config.scores,
        )
    scores = _measure(config, truth, predictions, clock)
    metrics = _describe(config, dataset, truth, predictions, scores)
    _write(config, output, metrics, (truth, predictions, scores), clock, dataset)
    comparison = None
    if baseline is not None:
        comparison = compare_runs(
            output / "metrics.json",
            baseline,
            tolerance=config.tolerance,
            resamples=config.resamples,
            seed=config.seed,
        )
    codes = [result.exit_code for result in (comparison, labelled) if result is not None]
    exit_code = next((code for code in codes if code), 0)
    return EvalResult(output, metrics, comparison, labelled, exit_code)


def _read_baseline(config: EvalConfig, dataset: Dataset, truth: GroundTruth) -> Baseline | None:
    """Read and check it before hours of labelling; it may lie where this run writes."""
    if config.baseline is None:
        return None
    baseline = read_baseline(Path(config.baseline))
    protocol = {k: v for k, v in config.describe_protocol().items() if k != "area_rule"}
    check_same({"dataset": _describe_data(dataset, truth), "protocol": protocol}, baseline)
    return baseline


def _read_truth(config: EvalConfig, dataset: Dataset) -> GroundTruth:
    from ovsam.text.vocabulary_files import load_vocabulary
    from ovsam_pipeline.evaluation.reading.truth import keep_split_classes, with_splits

    style: Literal["auto", "lvis"] = "lvis" if dataset.is_lvis else "auto"
    truth = read_ground_truth(dataset.annotations, style=style, limit=config.limit)
    # A file's own classes are split by the file, if at all: see `Categories`.
    if config.split != "none" and (vocabulary := dataset.built_in_vocabulary):
        truth = with_splits(truth, load_vocabulary(vocabulary))
    elif config.split == "none":
        truth = with_splits(truth, None)
    return keep_split_classes(truth) if config.split == "only" else truth


def _measure(
    config: EvalConfig, truth: GroundTruth, predictions: Predictions, clock: _Clock
) -> _Scores:
    """Instances where predictions name the annotation that prompted them, else AP."""
    scores = _Scores()
    is_prompted = bool((predictions.prompt_ids >= 0).any())
    if is_prompted or (config.predictions is None and config.prompts != "detector"):
        with clock.step("instances"):
            scores.instances = measure_instances(truth, predictions)
        if config.types == "auto":
            return scores
    for iou_type in _choose_types(config, truth, predictions):
        with clock.step(iou_type):
            scores.detection[iou_type] = score_detections(
                truth,
                predictions,
                iou_type,
                engine=config.engine,
                class_agnostic=config.class_agnostic,
                area_rule=config.area_rule,
            )
    return scores


def _choose_types(
    config: EvalConfig, truth: GroundTruth, predictions: Predictions
) -> tuple[IouType, ...]:
    if config.types == "segm":
        return ("segm",)
    if config.types == "bbox":
        return ("bbox",)
    if config.types == "both":
        return ("segm", "bbox")
    has_masks = truth.has_masks and (predictions.has_masks or not len(predictions))
    return ("segm", "bbox") if has_masks else ("bbox",)


def _describe(
    config: EvalConfig,
    dataset: Dataset,
    truth: GroundTruth,
    predictions: Predictions,
    scores: _Scores,
) -> dict[str, Any]:
    """Return the content of metrics.json, without the times."""
    from ovsam_pipeline.output.folder import read_run_file

    folder = parse_output(predictions.title)
    run = read_run_file(folder) if folder.is_dir() else {}
    return {
        "ovsam": ovsam.__version__,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": _describe_data(dataset, truth),
        "protocol": {
            **config.describe_protocol(),
            "predictions": str(predictions.title),
            "area_rule": _resolve_area_rule(config, predictions),
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
        "metrics": scores.metrics,
        "problems": [*truth.problems.describe(), *predictions.problems.describe()],
        "paper": {"table": config.table} if config.table else None,
    }


def _describe_data(dataset: Dataset, truth: GroundTruth) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "annotations": str(dataset.annotations),
        "style": "lvis" if truth.is_lvis else "coco",
        "images": truth.num_images,
        "annotations_count": len(truth.annotation_ids),
        "categories": len(truth.categories),
    }


def _resolve_area_rule(config: EvalConfig, predictions: Predictions) -> str:
    if config.area_rule != "auto":
        return config.area_rule
    return "box" if predictions.has_boxes else "mask"


def _write(
    config: EvalConfig,
    output: Path,
    metrics: dict[str, Any],
    measured: tuple[GroundTruth, Predictions, _Scores],
    clock: _Clock,
    dataset: Dataset,
) -> None:
    """Write all files; the metrics last, so that their presence means that all is there."""
    truth, predictions, scores = measured
    _remove_results(output)
    write_per_class(output / "per_class.csv", truth, scores.detection, scores.instances)
    write_samples(output / "samples", truth, scores.detection, scores.instances)
    if config.plots:
        from ovsam_pipeline.evaluation.reporting.plots import write_plots

        with clock.step("plots"):
            found, what = scores.instances, "mask"
            if found is None:
                found, what = find_objects(truth, predictions), "box"
            write_plots(output / "plots", truth, predictions, scores.detection, found, what)
    if config.worst:
        with clock.step("worst"):
            _draw_worst(config, output, measured, dataset)
    metrics["seconds"] = clock.seconds
    write_metrics(output / "metrics.json", metrics)


def _remove_results(output: Path) -> None:
    """Remove what an earlier evaluation left: numbers of two runs do not stand side by side.

    Raises:
        OutputError: the file system refuses.
    """
    own = ("metrics.json", "per_class.csv", "samples/*.parquet", "plots/*.png", "worst/*.jpg")
    try:
        for pattern in own:
            for path in output.glob(pattern):
                path.unlink()
    except OSError as error:
        raise OutputError(f"cannot replace the results in {output}: {error}") from error


def _draw_worst(
    config: EvalConfig,
    output: Path,
    measured: tuple[GroundTruth, Predictions, _Scores],
    dataset: Dataset,
) -> None:
    from ovsam_pipeline.errors import SourceError
    from ovsam_pipeline.evaluation.reporting.worst import write_worst
    from ovsam_pipeline.sources.coco_file import read_coco_images

    truth, predictions, scores = measured
    try:
        images = read_coco_images(dataset.annotations, dataset.image_root)
    except SourceError as error:
        logger.info("no pictures of the worst instances: %s", error)
        return
    paths = {images.get_id(i): Path(str(images.get_place(i))) for i in range(len(images))}
    detection = scores.detection.get("segm") or scores.detection.get("bbox")
    write_worst(
        output / "worst",
        truth,
        predictions,
        scores.instances,
        detection.matches if detection else None,
        lambda index: paths.get(int(truth.image_ids[index])),
        count=config.worst,
    )
