"""What the commands call, for notebooks and programs: the same work without the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Unpack

from ovsam_pipeline.labelling.labeller import BuildLabeller
from ovsam_pipeline.monitoring.metrics_file import record_failed_start
from ovsam_pipeline.output.place import choose_output
from ovsam_pipeline.runs.run import LabelResult, Showing, Stopping, run_labelling
from ovsam_pipeline.runs.settings import load_label_config
from ovsam_pipeline.settings.keywords import LabelKeywords
from ovsam_pipeline.settings.label import LabelConfig

Embedding = Callable[[int, int], None]


def label(
    *sources: str | Path,
    output: str | Path | None = None,
    progress: bool | None = None,
    **settings: Unpack[LabelKeywords],
) -> LabelResult:
    """Label images into an output folder, as `ovsam label` does.

    Args:
        sources: folders, globs, files, lists, COCO JSON files.
        output: folder for the results; None puts it beside the first source.
        progress: whether to show on stderr how far it is; None does on a terminal alone.
        settings: any other field of `LabelConfig`, e.g. `vocabulary="coco", conf=0.4`.

    Returns:
        Counts and paths. Failed images are rows with a reason, not exceptions.

    Raises:
        OvsamError: the settings cannot work, or the run as a whole failed.
    """
    config = load_label_config(None, {"sources": sources, "output": output, **settings})
    showing, embedding = choose_showing(progress)
    return run_label(config, showing=showing, embedding=embedding)


def detect(
    *sources: str | Path,
    output: str | Path | None = None,
    progress: bool | None = None,
    **settings: Unpack[LabelKeywords],
) -> LabelResult:
    """Find boxes and store them, as `ovsam detect` does; `detector="boxes:OUTPUT"` labels them.

    Args:
        sources: folders, globs, files, lists, COCO JSON files.
        output: folder for the boxes; None puts it beside the first source.
        progress: as in `label`.
        settings: of `LabelConfig`, e.g. `detector="detic", conf=0.05`.

    Returns:
        Counts and paths. Failed images are rows with a reason, not exceptions.

    Raises:
        OvsamError: the settings cannot work, or the run as a whole failed.
    """
    config = load_label_config(None, {"sources": sources, "output": output, **settings})
    return run_detect(config, showing=choose_showing(progress)[0])


def read(output: str | Path, *, masks: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the rows of an output of `label` or `detect`, one image each, as they are stored.

    Args:
        output: the folder or its address.
        masks: adds `mask` to every object: (H, W) bool, pixels of the upright original image.

    Raises:
        OvsamError: it is not the output of a run, or is damaged.
    """
    from ovsam.masks import decode_mask
    from ovsam_pipeline.output.folder import iterate_rows
    from ovsam_pipeline.output.place import find_output

    for row in iterate_rows(find_output(str(output))):
        for item in row["objects"] if masks else ():
            if "segmentation" in item:  # boxes of `detect` have none
                segmentation = item["segmentation"]
                item["mask"] = decode_mask(segmentation, *segmentation["size"]).astype(bool)
        yield row


def choose_showing(progress: bool | None) -> tuple[Showing | None, Embedding | None]:
    """Return what shows the progress of labelling and of embedding class names."""
    from ovsam_pipeline.terminal.bars import EmbeddingProgress, show_progress
    from ovsam_pipeline.terminal.notes import has_bars

    is_shown = has_bars() if progress is None else progress
    return (show_progress, EmbeddingProgress()) if is_shown else (None, None)


def run_label(
    config: LabelConfig,
    *,
    stopping: Stopping | None = None,
    showing: Showing | None = None,
    embedding: Embedding | None = None,
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
