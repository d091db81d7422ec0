"""`ovsam label`: images → masks and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from ovsam_pipeline.commands.options import RunOptions, with_options
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.terminal.notes import choose_logs

if TYPE_CHECKING:
    from ovsam_pipeline.runs.run import LabelResult


@with_options(LabelConfig, RunOptions)
def label(
    config: str | None, quiet: bool | None, log_format: str | None, json: bool | None, **given: Any
) -> None:
    """Find, outline and name the objects of images.

    Results go to OUTPUT/parts (Parquet, one row per image) and OUTPUT/annotations.json (COCO).
    Running the same command again labels only what is new or changed.

    Exit codes: 0 done; 1 the run failed; 2 wrong flags or settings; 3 done, some images failed;
    4 stopped, too many images failed; 6 stopped at the time limit; 75 another run holds the output;
    130 interrupted.

    Examples:
        ovsam label photos/
        ovsam label photos/ -o labels --preview 8
        ovsam label photos/ --detector detic --vocabulary "mug,red backpack"
    """
    settings = load_settings(config, given, quiet=quiet, log_format=log_format)
    from ovsam_pipeline.runs.api import run_label
    from ovsam_pipeline.terminal.app import graceful_stop
    from ovsam_pipeline.terminal.bars import EmbeddingProgress, show_progress

    result = run_label(
        settings,
        stopping=graceful_stop(),
        showing=show_progress,
        embedding=EmbeddingProgress(),
    )
    print_summary(result, as_json=json)
    raise typer.Exit(result.exit_code)


def load_settings(
    config_file: str | None,
    given: dict[str, Any],
    *,
    quiet: bool | None,
    log_format: str | None,
) -> LabelConfig:
    """Return the settings of a run, before torch is loaded: a wrong flag is refused at once."""
    choose_logs(log_format, is_quiet=quiet)
    from ovsam_pipeline.monitoring.metrics_file import record_failed_start
    from ovsam_pipeline.runs.settings import load_label_config

    with record_failed_start(given["metrics_file"]):
        return load_label_config(config_file, given)


def print_summary(result: LabelResult, *, as_json: bool | None) -> None:
    """Print what a run did, as sentences or as one JSON object."""
    from ovsam_pipeline.terminal.app import print_json, print_result

    if as_json:
        print_json(result.to_dict())
    else:
        print_result("\n".join(format_result(result)))


def format_result(result: LabelResult) -> list[str]:
    """Return the summary of a run line by line."""
    summary, plan, totals = result.summary, result.plan, result.totals
    rate = f", {summary.done / summary.seconds:.1f} images/s" if summary.done else ""
    things, labelled = ("objects", "labelled") if result.has_labels else ("boxes", "with boxes")
    lines = [
        f"{summary.done} images in {summary.seconds:.1f} s{rate}: {summary.labelled} {labelled} "
        f"({summary.objects} {things}), {summary.empty} empty, {summary.failed} failed"
    ]
    if not summary.done and not summary.left:
        have = "labels" if result.has_labels else "boxes"
        lines = [f"nothing to do: all {plan.num_listed} images have their {have}"]
        if not plan.num_listed:  # `--retry-failed OUT`: no images at all would be an error
            lines = [f"nothing to do: no image in {result.output} failed"]
    elif plan.num_unchanged:
        done = "labelled" if result.has_labels else "looked at"
        lines.append(f"{plan.num_unchanged} images were {done} before and did not change")
    lines += [f"  {count} failed: {reason}" for reason, count in summary.reasons.items()]
    lines += [f"  {count} read with a warning: {text}" for text, count in summary.warnings.items()]
    if plan.num_failed_before:
        lines.append(
            f"{plan.num_failed_before} failed in an earlier run; --retry-failed tries again"
        )
    if plan.num_pruned:
        lines.append(f"{plan.num_pruned} rows of images no longer in the sources were removed")
    elif plan.num_deleted:
        lines.append(
            f"{plan.num_deleted} rows belong to images that are no longer in the sources; --prune "
            "removes them"
        )
    if summary.outcome == "interrupted":
        lines.append(f"interrupted with {summary.left} images left; run the same command again")
    elif summary.outcome == "time limit":
        lines.append(
            f"stopped at the time limit with {summary.left} images left; run the same command again"
        )
    elif summary.outcome == "over budget":
        lines.append(f"stopped over the failure budget with {summary.left} images left")
    lines.append(f"results: {result.output} ({totals.images} images, {totals.objects} {things})")
    return lines + _describe_files(result)


def _describe_files(result: LabelResult) -> list[str]:
    """Return where the results are and what comes next."""
    lines = [f"  Parquet: {result.output / 'parts'}"]
    if result.has_labels and result.summary.outcome != "interrupted":
        lines.insert(0, f"  COCO: {result.annotations}")
    if result.totals.failed:
        lines.append(f"  failures: {result.output / 'failures.jsonl'}")
    if not result.has_labels:
        lines.append(f"next: ovsam label SOURCE --detector boxes:{result.output}")
    elif result.previews:
        lines.append(f"  pictures: {result.output / 'preview'}")
    else:
        lines.append(f"next: ovsam report {result.output}, or add --preview 8 to look at some")
    return lines
