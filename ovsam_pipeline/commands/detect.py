"""`ovsam detect`: images → boxes, which `ovsam label --detector boxes:OUT` takes."""

from __future__ import annotations

from typing import Any

import typer

from ovsam_pipeline.commands import label_options as flags
from ovsam_pipeline.terminal.notes import choose_logs


def detect(
    sources: flags.Sources = None,
    image_root: flags.ImageRoot = None,
    output: flags.BoxesOutput = None,
    detector: flags.Detector = None,
    vocabulary: flags.DetectorVocabulary = None,
    model: flags.Model = None,
    conf: flags.Conf = None,
    max_det: flags.MaxDet = None,
    engine: flags.Engine = None,
    address: flags.Address = None,
    num_gpus: flags.NumGpus = None,
    num_actors: flags.NumActors = None,
    gpus_per_actor: flags.GpusPerActor = None,
    cpus_per_actor: flags.CpusPerActor = None,
    image_timeout: flags.ImageTimeout = None,
    device: flags.Device = None,
    dtype: flags.Dtype = None,
    compile: flags.Compile = None,
    batch: flags.Batch = None,
    workers: flags.Workers = None,
    on_existing: flags.OnExisting = None,
    retry_failed: flags.RetryFailed = None,
    prune: flags.Prune = None,
    time_limit: flags.TimeLimit = None,
    max_failures: flags.MaxFailures = None,
    max_failure_rate: flags.MaxFailureRate = None,
    metrics_file: flags.MetricsFile = None,
    part_images: flags.PartImages = None,
    part_seconds: flags.PartSeconds = None,
    config: flags.ConfigFile = None,
    quiet: flags.Quiet = False,
    log_format: flags.LogFormat = "text",
    json: flags.Json = False,
) -> None:
    """Find the boxes of images and store them, to be labelled without detecting again.

    Results go to OUTPUT/parts (Parquet, one row an image); `ovsam label --detector boxes:OUTPUT`
    takes them, with any --conf at or above the one given here, any --iou and --vocabulary.
    Running the same command again looks only at what is new or changed. Exit codes are those of
    `ovsam label`.
    """
    given: dict[str, Any] = dict(locals())
    choose_logs(given.pop("log_format"), is_quiet=given.pop("quiet"))
    config_file, as_json = given.pop("config"), given.pop("json")
    given["sources"] = tuple(sources) if sources else None
    _run(config_file, given, as_json=as_json)


def _run(config_file: str | None, given: dict[str, Any], *, as_json: bool) -> None:
    from ovsam_pipeline.commands.label import print_summary
    from ovsam_pipeline.monitoring.metrics_file import record_failed_start
    from ovsam_pipeline.runs.settings import load_label_config
    from ovsam_pipeline.terminal.app import graceful_stop
    from ovsam_pipeline.terminal.bars import show_progress

    with record_failed_start(given["metrics_file"]):
        config = load_label_config(config_file, given)
    # torch is loaded from here on; a wrong flag was refused before.
    from ovsam_pipeline.runs.api import run_detect

    result = run_detect(config, stopping=graceful_stop(), showing=show_progress)
    print_summary(result, as_json=as_json)
    raise typer.Exit(result.exit_code)
