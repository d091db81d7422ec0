"""One run into an output folder: list, open what labels, plan, label, bring the files up to date.

Input: settings, the folder, and what builds a labeller. Output: a `LabelResult`. The order here is
the order of a run: whatever is wrong with sources, settings or the folder is said before a row is
written.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ovsam
from ovsam.errors import OvsamError
from ovsam_pipeline.engines.choose import open_engine
from ovsam_pipeline.engines.engine import Engine, Work
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.labelling.labeller import BuildLabeller
from ovsam_pipeline.labelling.rules import find_evaluation_rules
from ovsam_pipeline.monitoring.metrics_file import keep_metrics
from ovsam_pipeline.monitoring.report import RunReport, RunSummary
from ovsam_pipeline.monitoring.run_state import RunState, keep_status
from ovsam_pipeline.monitoring.stopping import StopRequest, stop_after
from ovsam_pipeline.output.place import parse_output
from ovsam_pipeline.output.plan import Plan, check_images, plan_run
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.sources.listing import list_images
from ovsam_pipeline.sources.spool import ImageSpool
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:
    from ovsam_pipeline.export.row_counts import OutputCounts
    from ovsam_pipeline.labelling.stats import ShardStats
    from ovsam_pipeline.output.folder import OutputFolder

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

    output: AnyPath
    summary: RunSummary
    plan: Plan
    totals: OutputCounts
    previews: tuple[AnyPath, ...] = ()
    dropped: dict[str, int] = field(default_factory=dict)
    has_labels: bool = True

    @property
    def annotations(self) -> AnyPath:
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


def fill_output(
    config: LabelConfig,
    path: AnyPath,
    build: BuildLabeller,
    stopping: AbstractContextManager[StopRequest] | None,
    showing: Callable[[RunReport], AbstractContextManager[None]] | None,
    embedding: Callable[[int, int], None] | None = None,
) -> LabelResult:
    """List the images, take the output folder, open what labels, and run.

    Args:
        config: the settings.
        path: the output folder.
        build: settings → Labeller.
        stopping: as in `api.run_label`.
        showing: as in `api.run_label`.
        embedding: as in `api.run_label`.

    Raises:
        OvsamError: the settings cannot work, or the run as a whole failed.
    """
    from ovsam_pipeline.output.folder import PREVIEW_FOLDER, check_own_files, is_output

    state = RunState(path)
    with ExitStack() as stack:
        stack.enter_context(keep_metrics(state, config.metrics_file))
        check_own_files(path)
        images = stack.enter_context(_list_all(config, path))
        state.end_phase("list")
        # A used output is taken before the slow part, so that a second run learns at once.
        held = _hold(stack, state) if is_output(path) else None
        engine = stack.enter_context(open_engine(config, build, embedding))
        state.engine = engine.name
        state.end_phase("load")
        if config.relabel is not None:
            images = stack.enter_context(_keep_stored(config.relabel, images))
        # An evaluation tells itself which images have answers, and may look at some images only.
        is_evaluation = find_evaluation_rules(config) is not None
        level = logging.DEBUG if is_evaluation else logging.WARNING
        for sentence in engine.check_images(images):
            logger.log(level, "%s", sentence)
        if held is None or config.on_existing == "overwrite":
            # Images that contradict each other are refused before anything is written.
            check_images(images)
        folder = held or _hold(stack, state)
        facts = engine.facts
        folder.prepare(facts.fingerprint, facts.depends_on, config.on_existing)
        if config.only_failed:
            failed = folder.read_failed()
            images = stack.enter_context(ImageSpool(i for i in images if i.file_name in failed))
        plan = plan_run(
            images,
            folder.read_done(facts.fingerprint),
            retry_failed=config.retry_failed,
            prune=config.prune and not config.only_failed,
            previews=path.absolute() / PREVIEW_FOLDER,
        )
        stack.enter_context(plan.images)
        if config.only_failed:  # the others were not looked for
            plan = replace(plan, num_deleted=0)
        state.plan = _describe_plan(plan)
        state.end_phase("plan")
        run = _Run(config, engine, folder, plan, state)
        return run.execute(images, stopping or nullcontext(StopRequest()), showing)


def _hold(stack: ExitStack, state: RunState) -> OutputFolder:
    """Take the output folder until the stack ends, and let others see the run in it."""
    from ovsam_pipeline.output.folder import OutputFolder

    folder = stack.enter_context(OutputFolder(state.output))
    state.is_holding = True
    stack.enter_context(keep_status(state))
    return folder


def _list_all(config: LabelConfig, output: AnyPath) -> ImageSpool:
    """Go through the sources once; what is wrong with them is said before anything slow."""
    listing = list_images(config.sources, image_root=config.image_root, exclude=(output,))
    images = ImageSpool(listing)
    if listing.num_ignored:
        logger.info("%s", listing.describe_ignored())
    if listing.num_duplicates:
        num = listing.num_duplicates
        what = "file that is" if num == 1 else "files that are"
        logger.info("%d %s listed more than once: labelled once", num, what)
    return images


def _keep_stored(relabel: str, images: ImageSpool) -> ImageSpool:
    """Return the images that the output to relabel has regions of."""
    from ovsam_pipeline.labelling.stored_regions import StoredRegions

    return ImageSpool(StoredRegions(parse_output(relabel)).choose_images(images))


class _Run:
    """One run into an output folder that is held and compared with the sources."""

    def __init__(
        self,
        config: LabelConfig,
        engine: Engine,
        folder: OutputFolder,
        plan: Plan,
        state: RunState,
    ) -> None:
        self.config = config
        self.engine = engine
        self.facts = engine.facts
        self.folder = folder
        self.plan = plan
        self.state = state

    def execute(
        self,
        images: ImageSpool,
        stopping: AbstractContextManager[StopRequest],
        showing: Callable[[RunReport], AbstractContextManager[None]] | None,
    ) -> LabelResult:
        """Label, then bring the files beside the parts up to date."""
        from ovsam_pipeline.export.preview import write_previews
        from ovsam_pipeline.labelling.stats import ShardStats

        stats = ShardStats()
        self._write_run_file("running", {})
        if self.config.only_failed:
            self.folder.start_retry(image.file_name for image in self.plan.images)
        self.folder.drop_rows(self.plan.stale)
        try:
            summary = self._label(stats, stopping, showing)
        except OvsamError as error:
            # On a full disk this fails as well; the first reason is the one to tell.
            with suppress(OutputError):
                self._write_run_file("failed", {"error": str(error)})
            raise
        if self.engine.accepted_parts is not None:
            # A worker that was given up for dead may have written its part after all.
            self.folder.reconcile(self.engine.accepted_parts, self.facts.fingerprint)
        if self.config.only_failed and not summary.left:
            self.folder.end_retry()
        self.state.end_phase("label")
        self.folder.write_failures()
        totals = self._write_annotations(summary)
        previews: list[AnyPath] = []
        if self.config.preview and summary.outcome != "interrupted":
            previews = write_previews(self.folder.path, images, self.config.preview)
        self.state.end_phase("export")
        result = LabelResult(
            self.folder.path,
            summary,
            self.plan,
            totals,
            tuple(previews),
            dict(stats.dropped),
            has_labels=self.facts.has_labels,
        )
        self.state.finish(summary)
        self._write_run_file(
            summary.outcome,
            {
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "totals": totals.to_dict(),
                "run": {**summary.to_dict(), **_describe_plan(self.plan)},
                "dropped_boxes": dict(stats.dropped),
                "phase_seconds": self.state.phase_seconds,
                "images_per_s": round(summary.done / summary.seconds, 3) if summary.done else 0.0,
                "stage_seconds": {name: round(s, 3) for name, s in stats.seconds.items()},
            },
        )
        return result

    def _label(
        self,
        stats: ShardStats,
        stopping: AbstractContextManager[StopRequest],
        showing: Callable[[RunReport], AbstractContextManager[None]] | None,
    ) -> RunSummary:
        from ovsam_pipeline.output.parts import BOX_SCHEMA, SCHEMA, PartWriter

        max_images, max_seconds = choose_part_limits(self.config, len(self.plan.images))
        writer = PartWriter(
            self.folder.parts_folder.absolute(),
            self.facts.fingerprint,
            max_images=max_images,
            max_seconds=max_seconds,
            schema=SCHEMA if self.facts.has_labels else BOX_SCHEMA,
            guard=self.folder.check_lock,
        )
        report = RunReport(
            len(self.plan.images),
            max_failures=self.config.max_failures,
            max_failure_rate=self.config.max_failure_rate,
        )
        self.state.report = report
        limit_s = self.config.time_limit
        left_s = None if limit_s is None else limit_s - self.state.seconds
        with ExitStack() as stack:
            stop = stack.enter_context(stopping)
            stack.enter_context(stop_after(stop, left_s))
            stack.enter_context(showing(report) if showing else nullcontext())
            return self.engine.label(Work(self.plan, writer, report, stop, stats))

    def _write_annotations(self, summary: RunSummary) -> OutputCounts:
        """Rebuild the COCO file of labels; an interrupted run leaves that to the one after it."""
        from ovsam_pipeline.export.coco import export_coco
        from ovsam_pipeline.export.row_counts import count_output

        target = self.folder.path / "annotations.json"
        is_current = target.exists() and not summary.done and not self.plan.stale
        is_left = not self.facts.has_labels or summary.outcome == "interrupted"
        if is_left or (is_current and self._last_state == "finished"):
            return count_output(self.folder.path)
        self.folder.check_lock()
        return export_coco(self.folder.path, target)

    def _write_run_file(self, state: str, more: dict[str, Any]) -> None:
        from ovsam_pipeline.output.folder import read_run_file

        if state == "running":
            self._last_state = read_run_file(self.folder.path).get("state")
        facts = self.facts
        self.folder.write_run_file(
            {
                "ovsam": ovsam.__version__,
                "state": state,
                "started": self.state.started.isoformat(timespec="seconds"),
                **more,
                "fingerprint": facts.fingerprint,
                "depends_on": dict(facts.depends_on),
                **facts.provenance,
                "engine": self.engine.name,
                "working_folder": str(Path.cwd()),
                "settings": self.config.to_dict(),
                "resolved": facts.config.to_dict(),
                "versions": {
                    "python": platform.python_version(),
                    **{name: _find_version(name) for name in ("torch", "numpy", "pyarrow")},
                },
                "host": platform.node(),
                "process": os.getpid(),
                "categories": facts.categories,
            }
        )


def choose_part_limits(config: LabelConfig, num_images: int) -> tuple[int, float]:
    """Return the most images of a part, and the seconds after which it is written all the same.

    A run that dies loses what is in no part yet, so parts are small; but reading costs much the
    same for a small part as for a large one, so a run of millions does not write millions of parts.
    """
    most_images = config.part_images or min(max(64, num_images // 10_000), 1024)
    return most_images, config.part_seconds or (10.0 if num_images < 100_000 else 60.0)


def _describe_plan(plan: Plan) -> dict[str, int]:
    return {
        "new": plan.num_new,
        "changed": plan.num_changed,
        "retried": plan.num_retried,
        "unchanged": plan.num_unchanged,
        "failed_before": plan.num_failed_before,
        "deleted": plan.num_deleted,
        "pruned": plan.num_pruned,
    }


def _find_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
