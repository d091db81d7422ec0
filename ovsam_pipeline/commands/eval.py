"""`ovsam eval`: how good are these labels?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from ovsam_pipeline.commands import eval_options as flags
from ovsam_pipeline.commands import label_options as shared
from ovsam_pipeline.terminal.notes import choose_logs

if TYPE_CHECKING:
    from ovsam_pipeline.evaluation.run import EvalResult


def evaluate(
    dataset: flags.Dataset = None,
    predictions: flags.Predictions = None,
    protocol: flags.Protocol = None,
    prompts: flags.Prompts = None,
    labels: shared.Labels = None,
    scores: flags.Scores = None,
    output: flags.Output = None,
    data_root: flags.DataRoot = None,
    image_root: shared.ImageRoot = None,
    types: flags.Types = None,
    engine: flags.Engine = None,
    area_rule: flags.AreaRule = None,
    class_agnostic: flags.ClassAgnostic = None,
    class_map: flags.ClassMap = None,
    split: flags.Split = None,
    released_points: flags.ReleasedPoints = None,
    limit: flags.Limit = None,
    baseline: flags.Baseline = None,
    tolerance: flags.Tolerance = None,
    resamples: flags.Resamples = None,
    plots: flags.Plots = None,
    worst: flags.Worst = None,
    model: shared.Model = None,
    detector: flags.Detector = None,
    vocabulary: flags.Vocabulary = None,
    conf: flags.Conf = None,
    iou: flags.Iou = None,
    max_det: flags.MaxDet = None,
    device: shared.Device = None,
    dtype: shared.Dtype = None,
    batch: shared.Batch = None,
    workers: shared.Workers = None,
    address: shared.Address = None,
    num_gpus: shared.NumGpus = None,
    num_actors: shared.NumActors = None,
    gpus_per_actor: shared.GpusPerActor = None,
    cpus_per_actor: shared.CpusPerActor = None,
    on_existing: shared.OnExisting = None,
    retry_failed: shared.RetryFailed = None,
    max_failures: shared.MaxFailures = None,
    max_failure_rate: shared.MaxFailureRate = None,
    quiet: shared.Quiet = False,
    log_format: shared.LogFormat = "text",
    json: shared.Json = False,
) -> None:
    """Measure labels against a data set: IoU, accuracy, AP, by the paper's protocols.

    Writes OUTPUT/metrics.json, per_class.csv, plots/ and worst/. Without --predictions the data
    set is labelled first, into OUTPUT/predictions; the same command goes on where it stopped.

    Exit codes: as `ovsam label`; 5 when a number dropped below --baseline by more than --tolerance.
    """
    given: dict[str, Any] = dict(locals())
    choose_logs(given.pop("log_format"), is_quiet=given.pop("quiet"))
    preset, as_json = given.pop("protocol"), given.pop("json")
    _run(preset, given, as_json=as_json)


def _run(preset: str | None, given: dict[str, Any], *, as_json: bool) -> None:
    from ovsam_pipeline.evaluation.config import load_eval_config
    from ovsam_pipeline.terminal.app import graceful_stop, print_json
    from ovsam_pipeline.terminal.bars import EmbeddingProgress, show_progress

    config = load_eval_config(preset, given)
    from ovsam_pipeline.evaluation.run import run_evaluation

    result = run_evaluation(
        config,
        stopping=graceful_stop(),
        showing=show_progress,
        embedding=EmbeddingProgress(),
    )
    if as_json:
        print_json(result.to_dict())
    else:
        _print_result(result)
    raise typer.Exit(result.exit_code)


def _print_result(result: EvalResult) -> None:
    from ovsam_pipeline.evaluation.reporting.tables import build_tables
    from ovsam_pipeline.terminal.app import print_result, print_tables

    if not result.metrics:
        assert result.labelled is not None
        left = result.labelled.summary.left
        print_result(f"stopped with {left} images left to label; run the same command again")
        return
    print_tables(build_tables(result.metrics))
    if result.comparison is not None:
        print_tables([result.comparison.build_table()])
    print_result(f"results: {result.output / 'metrics.json'}")
    for name, what in (("plots", "plots"), ("worst", "worst instances")):
        if any((result.output / name).glob("*")):
            print_result(f"  {what}: {result.output / name}")
