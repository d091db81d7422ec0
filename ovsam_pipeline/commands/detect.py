"""`ovsam detect`: images → boxes, which `ovsam label --detector boxes:OUT` takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import typer

from ovsam_pipeline.commands.label import load_settings, print_summary
from ovsam_pipeline.commands.options import RunOptions, with_options
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.settings.setting import Panel, setting


@dataclass(frozen=True, kw_only=True)
class DetectOptions(LabelConfig):
    """The settings of labelling whose help differs; they are the same settings."""

    output: str | None = setting(
        None,
        Panel.OUTPUT,
        "Output folder.",
        flags=("--output", "-o"),
        metavar="DIR",
        shown="SOURCE_boxes, next to the first source",
    )
    vocabulary: str = setting(
        "auto",
        Panel.MODELS,
        "Class names to look for, where the detector takes any (detic): a built-in name, a file, "
        "or names with commas between.",
        metavar="NAME",
        shown="the detector's own",
    )


# There are no masks and no names to decide about.
_OF_LABELLING = (
    "classes",
    "labels",
    "class_map",
    "allow_unmatched",
    "relabel",
    "iou",
    "min_score",
    "below",
    "preview",
)


@with_options(DetectOptions, RunOptions, without=_OF_LABELLING)
def detect(
    config: str | None, quiet: bool | None, log_format: str | None, json: bool | None, **given: Any
) -> None:
    """Find boxes and store them, to label them later.

    Results go to OUTPUT/parts (Parquet, one row per image); `ovsam label --detector boxes:OUTPUT`
    takes them, with any --conf at or above the one given here, any --iou and --vocabulary.
    Running the same command again looks only at what is new or changed. Exit codes are those of
    `ovsam label`.

    Examples:
        ovsam detect photos/ -o boxes --detector detic --conf 0.05
        ovsam label photos/ --detector boxes:boxes --conf 0.3
    """
    settings = load_settings(config, given, quiet=quiet, log_format=log_format)
    from ovsam_pipeline.runs.api import run_detect
    from ovsam_pipeline.terminal.app import graceful_stop
    from ovsam_pipeline.terminal.bars import show_progress

    result = run_detect(settings, stopping=graceful_stop(), showing=show_progress)
    print_summary(result, as_json=json, quiet=quiet)
    raise typer.Exit(result.exit_code)
