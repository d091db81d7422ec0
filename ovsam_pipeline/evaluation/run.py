"""One evaluation from settings to numbers, files and pictures: what `ovsam eval` calls.

find the data set → read the truth → label it (or read predictions made before) → measure → write
metrics.json, CSV files, samples, plots and the worst instances → compare with a baseline.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from ovsam.errors import ConfigError, explain
from ovsam_pipeline.errors import OutputError, SourceError
from ovsam_pipeline.evaluation.config import EvalConfig, load_eval_config
from ovsam_pipeline.evaluation.datasets import Dataset, find_dataset
from ovsam_pipeline.evaluation.reading.predictions import read_predictions
from ovsam_pipeline.evaluation.reading.truth import (
    keep_split_classes,
    read_ground_truth,
    with_splits,
)
from ovsam_pipeline.evaluation.reporting.compare import (
    Baseline,
    Comparison,
    check_same,
    compare_runs,
    read_baseline,
)
from ovsam_pipeline.evaluation.reporting.files import (
    CURVES_FILE,
    REPORT_FILE,
    describe_dataset,
    describe_evaluation,
    is_report,
    write_confusions,
    write_curves,
    write_metrics,
    write_per_class,
    write_samples,
)
from ovsam_pipeline.evaluation.scoring.average_precision import DetectionScores, score_detections
from ovsam_pipeline.evaluation.scoring.instances import (
    InstanceScores,
    find_objects,
    measure_instances,
)
from ovsam_pipeline.evaluation.scoring.matching import count_beyond_limit, put_classes_together
from ovsam_pipeline.evaluation.structures import GroundTruth, IouType, Predictions
from ovsam_pipeline.monitoring.exit_codes import ExitCode
from ovsam_pipeline.output.place import check_store, parse_output
from ovsam_pipeline.settings.keywords import EvalKeywords
from ovsam_pipeline.storage.remote_path import RemotePath

if TYPE_CHECKING:
    from ovsam_pipeline.monitoring.report import RunReport
    from ovsam_pipeline.monitoring.stopping import StopRequest
    from ovsam_pipeline.runs.run import LabelResult

logger = logging.getLogger(__name__)

_RESULTS = (
    "metrics.json",
    "per_class.csv",
    "confusions.csv",
    "curves.parquet",
    "examples.json",
    "samples/*.parquet",
    "plots/*.png",
    "worst/*.jpg",
    "worst/index.html",  # of earlier versions
)


@dataclass(frozen=True)
class EvalResult:
    """What an evaluation found and where it is.

    Attributes:
        output: the folder with metrics.json and all other files.
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
    def metrics(self) -> dict[str, Any]:
        measured = {} if self.instances is None else {"instances": self.instances.metrics}
        return measured | {name: scores.metrics for name, scores in self.detection.items()}


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


def evaluate(
    dataset: str | Path, *, progress: bool | None = None, **settings: Unpack[EvalKeywords]
) -> EvalResult:
    """Measure labels against a data set, as `ovsam eval` does.

    Args:
        dataset: "coco", "lvis", "scenes", or a COCO or LVIS JSON file.
        progress: whether labelling shows on stderr how far it is; None does on a terminal alone.
        settings: any other field of `EvalConfig`, e.g. `predictions="labels"`.

    Raises:
        OvsamError: the settings cannot work, data are missing or damaged, or labelling failed.
    """
    from ovsam_pipeline.runs.api import choose_showing

    config = load_eval_config(None, {"dataset": dataset, **settings})
    showing, embedding = choose_showing(progress)
    return run_evaluation(config, showing=showing, embedding=embedding)


def run_evaluation(
    config: EvalConfig,
    *,
    stopping: AbstractContextManager[StopRequest] | None = None,
    showing: Callable[[RunReport], AbstractContextManager[None]] | None = None,
    embedding: Callable[[int, int], None] | None = None,
) -> EvalResult:
    """Do what the settings ask for.

    `stopping` and `showing` are entered while labelling: a request to stop ends it early but in
    order, and the report is counted meanwhile. `embedding` is called with (done, total) while class
    names are embedded.

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
    output = _make_output(config, dataset)
    with clock.step("read truth"):
        truth = _read_truth(config, dataset)
    baseline = _read_baseline(config, dataset, truth)
    labelled = None
    if config.predictions is not None:
        place = parse_output(config.predictions)
    else:
        from ovsam_pipeline.evaluation.labelling import label_dataset

        with clock.step("label"):
            labelled = label_dataset(
                config, dataset, output, truth,
                stopping=stopping, showing=showing, embedding=embedding,
            )  # fmt: skip
        if labelled.exit_code in (ExitCode.OVER_BUDGET, ExitCode.INTERRUPTED):
            return EvalResult(output, {}, None, labelled, labelled.exit_code)
        place = output / "predictions"
    with clock.step("read predictions"):
        measured, predictions = read_predictions(
            place,
            truth,
            class_map=Path(config.class_map) if config.class_map else None,
            scores=config.scores,
            class_agnostic=config.class_agnostic,
            min_match=config.min_match,
            ignore_reviews=config.ignore_reviews,
        )
    scores = _measure(config, measured, predictions, clock)
    facts = describe_dataset(dataset, truth)
    truth = measured
    metrics = describe_evaluation(config, facts, truth, predictions, scores.metrics)
    _write_results(config, output, dataset, (truth, predictions, scores), clock)
    metrics["seconds"] = clock.seconds
    # The metrics last: where they are, all else is.
    write_metrics(output / "metrics.json", metrics)
    comparison = None
    if baseline is not None:
        comparison = compare_runs(
            output / "metrics.json",
            baseline,
            tolerance=config.tolerance,
            resamples=config.resamples,
            seed=config.seed,
        )
    # A drop is what a caller asked to be told; images that failed may be its reason.
    codes = [result.exit_code for result in (comparison, labelled) if result is not None]
    exit_code = next((code for code in codes if code), 0)
    return EvalResult(output, metrics, comparison, labelled, exit_code)


def _make_output(config: EvalConfig, dataset: Dataset) -> Path:
    """Make the folder of metrics and plots; refuse what cannot be used before anything slow."""
    path = parse_output(config.output or f"eval_{Path(dataset.name).name}")
    if isinstance(path, RemotePath):
        raise ConfigError(
            f"expected -o to be a local folder, got {path}; metrics and plots are written locally, "
            "labels are read from anywhere (--predictions)"
        )
    if config.predictions:
        check_store(parse_output(config.predictions))
    if path.exists() and not path.is_dir():
        raise ConfigError(f"expected a folder as -o, got the file {path}")
    if config.predictions and path.resolve() == parse_output(config.predictions).resolve():
        raise ConfigError(f"the output {path} is the predictions' own folder; give another as -o")
    with explain("cannot make the output folder", path, OutputError):
        path.mkdir(parents=True, exist_ok=True)
    return path


def _read_truth(config: EvalConfig, dataset: Dataset) -> GroundTruth:
    from ovsam.text.vocabulary_files import load_vocabulary

    style: Literal["auto", "lvis"] = "lvis" if dataset.is_lvis else "auto"
    truth = read_ground_truth(dataset.annotations, style=style, limit=config.limit)
    truth = replace(truth, max_det=config.max_det)
    # A file's own classes are split by the file, if at all: see `Categories`.
    if config.split != "none" and (vocabulary := dataset.built_in_vocabulary):
        truth = with_splits(truth, load_vocabulary(vocabulary))
    elif config.split == "none":
        truth = with_splits(truth, None)
    return keep_split_classes(truth) if config.split == "only" else truth


def _read_baseline(config: EvalConfig, dataset: Dataset, truth: GroundTruth) -> Baseline | None:
    """Read and check it before hours of labelling; it may lie where this run writes."""
    if config.baseline is None:
        return None
    baseline = read_baseline(Path(config.baseline))
    # What "auto" means for areas depends on the predictions: `compare_runs` checks it at the end.
    protocol = {k: v for k, v in config.describe_protocol().items() if k != "area_rule"}
    check_same({"dataset": describe_dataset(dataset, truth), "protocol": protocol}, baseline)
    return baseline


def _measure(
    config: EvalConfig, truth: GroundTruth, predictions: Predictions, clock: _Clock
) -> _Scores:
    """Measure instances where predictions name the annotation that prompted them, else AP."""
    scores = _Scores()
    is_prompted = bool((predictions.prompt_ids >= 0).any())
    if is_prompted or (config.predictions is None and config.prompts != "detector"):
        with clock.step("instances"):
            scores.instances = measure_instances(truth, predictions)
        if config.types == "auto":  # AP of prompted masks says little: nothing was detected
            return scores
    class_agnostic = config.class_agnostic or not predictions.has_classes
    if class_agnostic:
        predictions = put_classes_together(truth, predictions)
    count_beyond_limit(truth, predictions, class_agnostic=class_agnostic)
    for iou_type in _choose_types(config, truth, predictions):
        with clock.step(iou_type):
            scores.detection[iou_type] = score_detections(
                truth,
                predictions,
                iou_type,
                engine=config.engine,
                class_agnostic=class_agnostic,
                area_rule=config.area_rule,
            )
    return scores


def _choose_types(
    config: EvalConfig, truth: GroundTruth, predictions: Predictions
) -> tuple[IouType, ...]:
    if config.types == "segm":
        return ("segm",)
    has_masks = truth.has_masks and (predictions.has_masks or not len(predictions))
    if config.types == "both" or (config.types == "auto" and has_masks):
        return ("segm", "bbox")
    return ("bbox",)


def _write_results(
    config: EvalConfig,
    output: Path,
    dataset: Dataset,
    measured: tuple[GroundTruth, Predictions, _Scores],
    clock: _Clock,
) -> None:
    """Write all but metrics.json, in place of what an earlier evaluation left."""
    truth, predictions, scores = measured
    # All goes first: numbers of two runs are never mixed, even where this one writes fewer files.
    with explain("cannot replace the results in", output, OutputError):
        for pattern in _RESULTS:
            for path in output.glob(pattern):
                path.unlink()
        report = output / REPORT_FILE
        if report.is_file() and is_report(report):
            report.unlink()
    write_per_class(output / "per_class.csv", truth, scores.detection, scores.instances)
    if scores.instances is not None:
        write_confusions(output / "confusions.csv", truth, predictions, scores.instances)
    write_samples(output / "samples", truth, scores.detection, scores.instances)
    write_curves(output / CURVES_FILE, truth, scores.detection)
    found, what = scores.instances, "mask"
    if found is None and (config.plots or config.worst):
        found, what = find_objects(truth, predictions), "box"
    if config.plots:
        from ovsam_pipeline.evaluation.reporting.plots import write_plots

        with clock.step("plots"):
            write_plots(output / "plots", truth, predictions, scores.detection, found, what)
    if config.worst:
        with clock.step("worst"):
            compared = None if config.class_agnostic or not predictions.has_classes else found
            _show_worst(config, output, dataset, measured, (compared, what))


def _show_worst(
    config: EvalConfig,
    output: Path,
    dataset: Dataset,
    measured: tuple[GroundTruth, Predictions, _Scores],
    compared: tuple[InstanceScores | None, str],
) -> None:
    """Draw the worst instances, and keep them and examples of confusions for pages of results.

    `compared`: how each annotation was answered (None: without classes), and what of it the IoU is.
    """
    from ovsam_pipeline.evaluation.reporting.cases import choose_worst
    from ovsam_pipeline.evaluation.reporting.examples import EXAMPLES_FILE, write_examples
    from ovsam_pipeline.evaluation.reporting.worst import draw_cases

    truth, predictions, scores = measured
    detection = scores.detection.get("segm") or scores.detection.get("bbox")
    matches = detection.matches if detection else None
    paths = _find_images(dataset)

    def find_image(index: int) -> Path | None:
        return paths.get(int(truth.image_ids[index]))

    worst = choose_worst(truth, predictions, scores.instances, matches, config.worst)
    instances, what = compared
    path = output / EXAMPLES_FILE
    write_examples(path, truth, predictions, instances, worst, find_image, what)
    draw_cases(output / "worst", truth, worst, find_image)


def _find_images(dataset: Dataset) -> dict[int, Path]:
    """Return the files of a data set's images by id; none where they are not on this machine."""
    from ovsam_pipeline.sources.coco_file import read_coco_images

    try:
        images = read_coco_images(dataset.annotations, dataset.image_root)
    except SourceError as error:
        logger.info("no pictures of the worst instances: %s", error)
        return {}
    return {images.get_id(i): Path(str(images.get_place(i))) for i in range(len(images))}
