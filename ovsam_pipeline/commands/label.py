"""`ovsam label`: images → masks and labels."""

from __future__ import annotations

import logging
import shlex
from typing import TYPE_CHECKING, Any

import typer

from ovsam_pipeline.commands.options import RunOptions, with_options
from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.terminal.notes import choose_logs, print_note

if TYPE_CHECKING:
    from ovsam_pipeline.monitoring.report import RunSummary
    from ovsam_pipeline.output.plan import Plan
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
        ovsam label photos/ --detector detic --vocabulary "mug,backpack"
        ovsam label s3://bucket/photos/ -o s3://bucket/labels --quiet
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
    print_summary(result, as_json=json, quiet=quiet)
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


def print_summary(result: LabelResult, *, as_json: bool | None, quiet: bool | None) -> None:
    """Print what a run did, as sentences or as one JSON object."""
    from ovsam_pipeline.terminal.app import print_json, print_result, result_is_kept

    with result_is_kept():
        if as_json:
            print_json(result.to_dict())
        else:
            print_result(*format_result(result))
    # Last, as what matters most; no news to a nightly run that asked for nano.
    if result.is_demonstration and not quiet:
        print_note(
            "This is a demonstration: nano knows emoji drawings, not photos; for photos leave out "
            "--model nano and --detector nano",
            level=logging.WARNING,
        )


def format_result(result: LabelResult) -> list[str]:
    """Return the summary of a run line by line."""
    thing = "object" if result.has_labels else "box"
    has_done = result.summary.done or result.summary.left
    lines = _describe_done(result, thing) if has_done else [_describe_nothing_new(result)]
    lines += _describe_images(result.summary) + _describe_rows(result.plan, is_told=not has_done)
    lines += _describe_dropped(result) + _describe_end(result.summary)
    totals = result.totals
    held = f"{count_things(totals.images, 'image')}, {count_things(totals.objects, thing)}"
    lines.append(f"results: {result.output} ({held})")
    lines += _describe_files(result)
    return lines


def _describe_done(result: LabelResult, thing: str) -> list[str]:
    """Return what was labelled now and what before."""
    summary, plan = result.summary, result.plan
    rate = f", {summary.done / summary.seconds:.1f} images/s" if summary.done else ""
    labelled = "labelled" if result.has_labels else "with boxes"
    lines = [
        f"{count_things(summary.done, 'image')} in {summary.seconds:.1f} s{rate}: "
        f"{summary.labelled} {labelled} ({count_things(summary.objects, thing)}), "
        f"{summary.empty} empty, {summary.failed} failed"
    ]
    if before := plan.num_labelled_before:
        done = "labelled" if result.has_labels else "looked at"
        was = "was" if before == 1 else "were"
        lines.append(f"{count_things(before, 'image')} {was} {done} before and did not change")
    return lines


def _describe_nothing_new(result: LabelResult) -> str:
    plan = result.plan
    if not plan.num_listed:  # `--retry-failed OUT`: no images at all would be an error
        return f"nothing to do: no image in {result.output} failed"
    labels, labelled = ("labels", "labelled") if result.has_labels else ("boxes", "looked at")
    if not plan.num_failed_before:
        if plan.num_listed == 1:
            return f"nothing to do: the image has its {labels}"
        return f"nothing to do: all {plan.num_listed} images have their {labels}"
    is_are = "is" if plan.num_labelled_before == 1 else "are"
    done = f"{count_things(plan.num_labelled_before, 'image')} {is_are} {labelled}, "
    tries = "tries it again" if plan.num_failed_before == 1 else "tries them again"
    return (
        f"Nothing new: {done if plan.num_labelled_before else ''}{plan.num_failed_before} failed "
        f"earlier (--retry-failed {tries})"
    )


def _describe_images(summary: RunSummary) -> list[str]:
    """Return why images of this run failed or were read with a warning, with one file of each."""
    lines = []
    for what, counts in (("failed", summary.reasons), ("read with a warning", summary.warnings)):
        for text, count in counts.items():
            example = summary.examples.get(text)
            named = f" ({'e.g. ' if count > 1 else ''}{example})" if example else ""
            lines.append(f"  {count} {what}: {text}{named}")
    if summary.transient:
        failed = "all" if summary.transient == summary.failed > 1 else str(summary.transient)
        lines.append(
            f"{failed} of these failed for no fault of the image: the same command tries again"
        )
    return lines


def _describe_dropped(result: LabelResult) -> list[str]:
    """Return how many boxes gave no object, and why; nobody can know without being told."""
    from ovsam_pipeline.detectors.box_rules import BEYOND_MAX_DET, describe_dropped

    if not result.dropped:
        return []
    num = sum(result.dropped.values())
    what = (
        "gave no object"
        if result.has_labels
        else ("is not stored" if num == 1 else "are not stored")
    )
    line = f"{count_things(num, 'box')} {what}: {describe_dropped(result.dropped)}"
    hint = "; a higher --max-det keeps more" if BEYOND_MAX_DET in result.dropped else ""
    return [line + hint]


def _describe_rows(plan: Plan, *, is_told: bool) -> list[str]:
    """Return what became of rows that this run did not make.

    `is_told` is whether the failures of earlier runs are told already.
    """
    lines = []
    if plan.num_failed_before and not is_told:
        lines.append(
            f"{plan.num_failed_before} failed in an earlier run; --retry-failed tries again"
        )
    if plan.num_pruned == 1:
        lines.append("1 row of an image no longer in the sources was removed")
    elif plan.num_pruned:
        lines.append(f"{plan.num_pruned} rows of images no longer in the sources were removed")
    elif plan.warnings:  # kept in spite of --prune, which was said
        pass
    elif plan.num_deleted == 1:
        lines.append(
            "1 row belongs to an image that is no longer in the sources; --prune removes it"
        )
    elif plan.num_deleted:
        lines.append(
            f"{plan.num_deleted} rows belong to images that are no longer in the sources; --prune "
            "removes them"
        )
    return lines


def _describe_end(summary: RunSummary) -> list[str]:
    """Return why a run ended before all was done."""
    left = f"with {count_things(summary.left, 'image')} left"
    sentences = {
        "interrupted": f"interrupted {left}; run the same command again",
        "time limit": f"stopped at the time limit {left}; run the same command again",
        "over budget": f"too many images failed: {summary.failed} of {summary.done}, more than "
        f"--max-failure-rate allows; stopped {left}",
    }
    return [sentences[summary.outcome]] if summary.outcome in sentences else []


def _describe_files(result: LabelResult) -> list[str]:
    """Return where the results are and what comes next."""
    from ovsam_pipeline.output.annotations_file import ANNOTATIONS_FILE

    typed = shlex.quote(str(result.output))
    lines = [f"  Parquet: {result.output / 'parts'}"]
    if result.has_labels and result.summary.outcome != "interrupted":
        edited = result.output / ANNOTATIONS_FILE
        is_edited = result.annotations.name != ANNOTATIONS_FILE
        kept = f" ({edited} was edited, and stays as it is)" if is_edited else ""
        lines.insert(0, f"  COCO: {result.annotations}{kept}")
    elif result.has_labels:
        lines.append(f"  COCO: not written yet; ovsam export {typed} writes it")
    if result.totals.failed:
        lines.append(f"  failures: {result.output / 'failures.jsonl'}")
    if not result.has_labels:
        looks = f"ovsam view {typed} (boxes, in a browser)"
        return [*lines, f"next: {looks}, ovsam label SOURCE --detector boxes:{typed}"]
    if result.previews:
        lines.append(f"  pictures: {result.output / 'preview'}")
    has_pictures = result.totals.images > result.totals.failed  # failed images have none
    looks = f"ovsam view {typed} (pictures, in a browser), " if has_pictures else ""
    lines.append(f"next: {looks}ovsam report {typed} (counts)")
    return lines
