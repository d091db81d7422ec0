"""What the commands call, for notebooks and programs: the same work without the terminal."""

from __future__ import annotations

import logging
import os
import platform
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ovsam
from ovsam.errors import ConfigError, OvsamError
from ovsam_pipeline.config import LabelConfig
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.report import RunReport, RunSummary
from ovsam_pipeline.shards import Plan, plan_run
from ovsam_pipeline.sources import list_images

if TYPE_CHECKING:
    from ovsam_pipeline.exporters.coco import OutputCounts
    from ovsam_pipeline.label_shard import ShardStats
    from ovsam_pipeline.labeller import Labeller
    from ovsam_pipeline.records import ImageRecord
    from ovsam_pipeline.store import OutputFolder

__all__ = ["LabelResult", "choose_output", "detect", "label", "run_detect", "run_label"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelResult:
    """What a run did and where it is.

    Attributes:
        output: the output folder.
        summary: counts of this run.
        plan: what was to do and what was left alone.
        totals: what the output folder holds now.
        previews: pictures written.
        dropped: boxes of this run that gave no object, by reason.
        has_labels: whether there are labels, and so a COCO file; else there are boxes alone.
    """

    output: Path
    summary: RunSummary
    plan: Plan
    totals: OutputCounts
    previews: tuple[Path, ...] = ()
    dropped: dict[str, int] = field(default_factory=dict)
    has_labels: bool = True

    @property
    def annotations(self) -> Path:
        """The COCO file."""
        return self.output / "annotations.json"

    @property
    def exit_code(self) -> int:
        """What the command exits with."""
        return self.summary.exit_code

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "output": str(self.output),
            **({"annotations": str(self.annotations)} if self.has_labels else {}),
            **self.summary.to_dict(),
            "listed": self.plan.num_listed,
            **_describe_plan(self.plan),
            "totals": self.totals.to_dict(),
            "dropped_boxes": self.dropped,
            "previews": [str(path) for path in self.previews],
        }


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
    return run_label(_build_config(sources, output, settings))


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
    return run_detect(_build_config(sources, output, settings))


def _build_config(
    sources: tuple[str | Path, ...], output: str | Path | None, settings: dict[str, Any]
) -> LabelConfig:
    unknown = settings.keys() - LabelConfig.__dataclass_fields__.keys()
    if unknown:
        raise ConfigError(f"unknown setting '{min(unknown)}'; see ovsam_pipeline.LabelConfig")
    if isinstance(settings.get("classes"), list):
        settings["classes"] = tuple(settings["classes"])
    return LabelConfig(
        sources=tuple(str(source) for source in sources),
        output=None if output is None else str(output),
        **settings,
    )


def run_label(
    config: LabelConfig,
    *,
    stopping: AbstractContextManager[threading.Event] | None = None,
    showing: Callable[[RunReport], AbstractContextManager[None]] | None = None,
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
    from ovsam_pipeline import labeller, relabelling

    build = labeller.build_labeller
    if config.relabel is not None:
        config, build = relabelling.complete_config(config), relabelling.build_relabeller
    path = choose_output(config)
    return _fill_output(config, path, lambda: build(config, embedding), stopping, showing)


def run_detect(
    config: LabelConfig,
    *,
    stopping: AbstractContextManager[threading.Event] | None = None,
    showing: Callable[[RunReport], AbstractContextManager[None]] | None = None,
) -> LabelResult:
    """Find boxes as the settings say; see `run_label`.

    Raises:
        OvsamError: the settings cannot work, or the run as a whole failed.
    """
    from ovsam_pipeline import box_finder

    path = choose_output(config, "_boxes")
    build = box_finder.build_box_finder
    return _fill_output(config, path, lambda: build(config), stopping, showing)


def _fill_output(
    config: LabelConfig,
    path: Path,
    build: Callable[[], Labeller],
    stopping: AbstractContextManager[threading.Event] | None,
    showing: Callable[[RunReport], AbstractContextManager[None]] | None,
) -> LabelResult:
    """List the images, take the output folder, load what works on them, and run."""
    from ovsam_pipeline.detectors.build import check_detector_images
    from ovsam_pipeline.store import OutputFolder, check_own_files, is_output

    check_own_files(path)
    listing = list_images(config.sources, image_root=config.image_root, exclude=(path,))
    images = tuple(listing)
    if listing.num_ignored:
        logger.info("%s", listing.describe_ignored())
    if listing.num_duplicates:
        num = listing.num_duplicates
        what = "file that is" if num == 1 else "files that are"
        logger.info("%d %s listed more than once: labelled once", num, what)
    with ExitStack() as stack:
        # A used output is taken before the slow part, so that a second run learns at once.
        held = stack.enter_context(OutputFolder(path)) if is_output(path) else None
        labeller = build()
        if labeller.stored is not None:
            images = labeller.stored.choose_images(images)
        # An evaluation tells itself which images have answers, and may look at some images only.
        level = logging.WARNING if config.protocol == "label" else logging.DEBUG
        for sentence in check_detector_images(labeller.detector, images):
            logger.log(level, "%s", sentence)
        if held is None or config.on_existing == "overwrite":
            # Images that contradict each other are refused before anything is written.
            plan_run(images, {})
        folder = held or stack.enter_context(OutputFolder(path))
        folder.prepare(labeller.fingerprint, labeller.depends_on, config.on_existing)
        plan = plan_run(
            images,
            folder.read_done(labeller.fingerprint),
            retry_failed=config.retry_failed,
            output_folder=path.absolute(),
        )
        run = _Run(config, labeller, folder, plan)
        return run.execute(images, stopping or nullcontext(threading.Event()), showing)


def choose_output(config: LabelConfig, ending: str = "_ovsam") -> Path:
    """Return the output folder: as given, or beside the first source with `ending` behind its name.

    Raises:
        ConfigError: the output is one of the sources.
    """
    if config.output is not None:
        path = Path(config.output).expanduser()
    else:
        first = Path(config.sources[0]).expanduser()
        while any(sign in str(first) for sign in "*?["):
            first = first.parent
        first = first.resolve()
        path = first.parent / f"{first.stem if first.suffix else first.name}{ending}"
    if path.exists() and not path.is_dir():
        raise ConfigError(f"expected -o to be a folder, and {path} is a file")
    if any(Path(source).resolve() == path.resolve() for source in config.sources):
        raise ConfigError(f"the output {path} is one of the sources; give another folder as -o")
    return path


class _Run:
    """One run into an output folder that is held and compared with the sources."""

    def __init__(
        self, config: LabelConfig, labeller: Labeller, folder: OutputFolder, plan: Plan
    ) -> None:
        self.config = config
        self.labeller = labeller
        self.folder = folder
        self.plan = plan
        self.started = datetime.now(UTC)

    def execute(
        self,
        images: tuple[ImageRecord, ...],
        stopping: AbstractContextManager[threading.Event],
        showing: Callable[[RunReport], AbstractContextManager[None]] | None,
    ) -> LabelResult:
        """Label, then bring the files beside the parts up to date."""
        from ovsam_pipeline.label_shard import ShardStats
        from ovsam_pipeline.preview import write_previews

        stats = ShardStats()
        self._write_run_file("running", {})
        self.folder.drop_rows(self.plan.stale)
        try:
            summary = self._label(stats, stopping, showing)
        except OvsamError as error:
            # On a full disk this fails as well; the first reason is the one to tell.
            with suppress(OutputError):
                self._write_run_file("failed", {"error": str(error)})
            raise
        self.folder.write_failures()
        totals = self._write_annotations(summary)
        previews: list[Path] = []
        if self.config.preview and summary.outcome != "interrupted":
            previews = write_previews(self.folder.path, images, self.config.preview)
        result = LabelResult(
            self.folder.path,
            summary,
            self.plan,
            totals,
            tuple(previews),
            dict(stats.dropped),
            has_labels=self.labeller.predictor is not None,
        )
        self._write_run_file(
            summary.outcome,
            {
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "totals": totals.to_dict(),
                "run": {**summary.to_dict(), **_describe_plan(self.plan)},
                "dropped_boxes": dict(stats.dropped),
                "stage_seconds": {name: round(s, 3) for name, s in stats.seconds.items()},
            },
        )
        return result

    def _label(
        self,
        stats: ShardStats,
        stopping: AbstractContextManager[threading.Event],
        showing: Callable[[RunReport], AbstractContextManager[None]] | None,
    ) -> RunSummary:
        from ovsam_pipeline.parts import BOX_SCHEMA, SCHEMA
        from ovsam_pipeline.run_local import run_local
        from ovsam_pipeline.store import PartWriter

        writer = PartWriter(
            self.folder.parts_folder,
            self.labeller.fingerprint,
            max_images=self.config.part_images,
            max_seconds=self.config.part_seconds,
            schema=BOX_SCHEMA if self.labeller.predictor is None else SCHEMA,
        )
        report = RunReport(
            len(self.plan.images),
            max_failures=self.config.max_failures,
            max_failure_rate=self.config.max_failure_rate,
        )
        with stopping as stop, showing(report) if showing else nullcontext():
            return run_local(self.plan, self.labeller, writer, report, stop=stop, stats=stats)

    def _write_annotations(self, summary: RunSummary) -> OutputCounts:
        """Rebuild the COCO file of labels; an interrupted run leaves that to the one after it."""
        from ovsam_pipeline.exporters.coco import count_output, export_coco

        target = self.folder.path / "annotations.json"
        is_current = target.exists() and not summary.done and not self.plan.stale
        is_left = self.labeller.predictor is None or summary.outcome == "interrupted"
        if is_left or (is_current and self._last_state == "finished"):
            return count_output(self.folder.path)
        return export_coco(self.folder.path, target)

    def _write_run_file(self, state: str, more: dict[str, Any]) -> None:
        from ovsam_pipeline.store import read_run_file

        if state == "running":
            self._last_state = read_run_file(self.folder.path).get("state")
        labeller = self.labeller
        self.folder.write_run_file(
            {
                "ovsam": ovsam.__version__,
                "state": state,
                "started": self.started.isoformat(timespec="seconds"),
                **more,
                "fingerprint": labeller.fingerprint,
                "depends_on": dict(labeller.depends_on),
                **labeller.provenance,
                "working_folder": str(Path.cwd()),
                "settings": self.config.to_dict(),
                "resolved": labeller.config.to_dict(),
                "versions": {
                    "python": platform.python_version(),
                    **{name: _find_version(name) for name in ("torch", "numpy", "pyarrow")},
                },
                "host": platform.node(),
                "process": os.getpid(),
                "categories": labeller.categories,
            }
        )


def _describe_plan(plan: Plan) -> dict[str, int]:
    return {
        "new": plan.num_new,
        "changed": plan.num_changed,
        "retried": plan.num_retried,
        "unchanged": plan.num_unchanged,
        "failed_before": plan.num_failed_before,
        "removed_from_sources": plan.num_removed,
    }


def _find_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
