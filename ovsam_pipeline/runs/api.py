"""What the commands call, for notebooks and programs: the same work without the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ovsam_pipeline.labelling.labeller import BuildLabeller
from ovsam_pipeline.monitoring.metrics_file import record_failed_start
from ovsam_pipeline.output.place import choose_output
from ovsam_pipeline.runs.run import LabelResult, Showing, Stopping, run_labelling
from ovsam_pipeline.runs.settings import load_label_config
from ovsam_pipeline.settings.label import LabelConfig


def label(*sources: str | Path, output: str | Path | None = None, **settings: Any) -> LabelResult:
    """Label images into an output folder, as `ovsam label` does.

    Args:
        sources: folders, globs, files, lists, COCO JSON files.
        output: folder for the results; None puts it beside the first source.
        settings: any other field of `LabelConfig`, e.g. `vocabulary="coco", conf=0.4`.

    Returns:
        Counts and paths. Failed images are rows with a reason, not exceptions.

    Raises:
        OvsamError: the settings cannot work, or the run as a whole failed.
    """
    return run_label(load_label_config(None, {"sources": sources, "output": output, **settings}))


def detect(*sources: str | Path, output: str | Path | None = None, **settings: Any) -> LabelResult:
    """Find boxes and store them, as `ovsam detect` does; `detector="boxes:OUTPUT"` labels them.

    Args:
        sources: folders, globs, files, lists, COCO JSON files.
        output: folder for the boxes; None puts it beside the first source.
        settings: of `LabelConfig`, e.g. `detector="detic", conf=0.05`.

    Returns:
        Counts and paths. Failed images are rows with a reason, not exceptions.

    Raises:
        OvsamError: the settings cannot work, or the run as a whole failed.
    """
    return run_detect(load_label_config(None, {"sources": sources, "output": output, **settings}))


def run_label(
    config: LabelConfig,
    *,
    stopping: Stopping | None = None,
    showing: Showing | None = None,
    embedding: Callable[[int, int], None] | None = None,
) -> LabelResult:
    """Do what the settings say.

    Args:
        config: the settings.
        stopping: entered while labelling; its event ends the run early but in good order.
        showing: entered while labelling, with the report that is being counted.
        embedding: called with (done, total) while class names are embedded.

    Raises:
        OvsamError: the settings cannot work, or the run as a whole failed.
    """
    from ovsam_pipeline.labelling import build

    build_labeller: BuildLabeller = build.build_labeller
    with record_failed_start(config.metrics_file):
        if config.relabel is not None:
            from ovsam_pipeline.labelling.relabelling import complete_config

            config = complete_config(config)
            build_labeller = build.build_relabeller
        path = choose_output(config.sources, config.output, "_ovsam")
    return run_labelling(config, path, build_labeller, stopping, showing, embedding)


def run_detect(
    config: LabelConfig,
    *,
    stopping: Stopping | None = None,
    showing: Showing | None = None,
) -> LabelResult:
    """Find boxes as the settings say; see `run_label`.

    Raises:
        OvsamError: the settings cannot work, or the run as a whole failed.
    """
    from ovsam_pipeline.labelling import build

    with record_failed_start(config.metrics_file):
        path = choose_output(config.sources, config.output, "_boxes")
    return run_labelling(config, path, build.build_box_finder, stopping, showing)
