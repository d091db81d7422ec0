"""One run into an output folder: list → check → plan → load → label → export.

Input: settings, the folder, and what builds a labeller. Output: a `LabelResult`. The order here is
the order of a run: it fails for sources, settings or the folder before it loads, and it loads only
where there is something to label. What labels depend on is known from files; where it is not (a
model of the hub, a download), the run loads before it plans.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ovsam
from ovsam.errors import OvsamError
from ovsam_pipeline.engines.choose import foresee, open_engine
from ovsam_pipeline.engines.engine import Engine, Work
from ovsam_pipeline.engines.idle import IdleEngine
from ovsam_pipeline.engines.supervisor import continue_command, find_death, get_process
from ovsam_pipeline.errors import OutputError, TimeLimitError
from ovsam_pipeline.labelling.labeller import BuildLabeller
from ovsam_pipeline.labelling.rules import find_evaluation_rules
from ovsam_pipeline.monitoring.metrics_file import keep_metrics
from ovsam_pipeline.monitoring.report import RunReport, RunSummary
from ovsam_pipeline.monitoring.run_state import RunState, keep_status
from ovsam_pipeline.monitoring.stopping import StopRequest, stop_after
from ovsam_pipeline.outcomes import count_are, count_things
from ovsam_pipeline.output.annotations_file import (
    ANNOTATIONS_FILE,
    choose_annotations,
    remove_annotations_beside,
)
from ovsam_pipeline.output.folder import (
    OutputFolder,
    check_own_files,
    check_writable,
    is_output,
    read_run_file,
)
from ovsam_pipeline.output.plan import Plan, check_images, plan_run
from ovsam_pipeline.output.reviews import carry_answers, has_newer_answers
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.settings.setting import list_settings
from ovsam_pipeline.sources.listing import list_images
from ovsam_pipeline.sources.spool import ImageSpool
from ovsam_pipeline.storage.remote_path import AnyPath
from ovsam_pipeline.storage.web_file import hide_secrets

if TYPE_CHECKING:
    from ovsam_pipeline.detectors.stored.fit import BoxesFit
    from ovsam_pipeline.export.row_counts import OutputCounts

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
# A listing that takes no longer ends by itself: the run then says what is left.
_GRACE_S = 1.0
# Entered while labelling: the first gives the request to stop, the second shows the report.
Stopping = AbstractContextManager[StopRequest]
Showing = Callable[[RunReport], AbstractContextManager[None]]


@dataclass(frozen=True, repr=False)
class LabelResult:
    """What a run did and where it is.

    Attributes:
        output: the output folder.
        summary: counts of this run.
        plan: what was to do and what was left alone.
        totals: what the output folder holds now.
        annotations: the COCO file of it: annotations.json, or annotations.ovsam.json where somebody
            edited that.
        previews: pictures written.
        dropped: boxes of this run that gave no object, by reason.
        has_labels: whether there are labels, and so a COCO file; else there are boxes alone.
        boxes_fit: how many images a file of boxes knows, by which rule; see `BoxesFit`.
        is_demonstration: whether nano's model or detector worked, which know emoji drawings only.
    """

    output: AnyPath
    summary: RunSummary
    plan: Plan
    totals: OutputCounts
    annotations: AnyPath
    previews: tuple[AnyPath, ...] = ()
    dropped: dict[str, int] = field(default_factory=dict)
    has_labels: bool = True
    is_demonstration: bool = False
    boxes_fit: dict[str, Any] | None = None

    def __repr__(self) -> str:
        """Return the counts and the place in one line."""
        counts, thing = self.summary, "object" if self.has_labels else "box"
        return (
            f"<LabelResult: {count_things(counts.done, 'image')} now ({counts.labelled} labelled, "
            f"{counts.empty} empty, {counts.failed} failed); {self.output} has "
            f"{count_things(self.totals.images, 'image')}, "
            f"{count_things(self.totals.objects, thing)}>"
        )

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
            **_count_plan(self.plan),
            "totals": self.totals.to_dict(),
            "dropped_boxes": self.dropped,
            **({"boxes_fit": self.boxes_fit} if self.boxes_fit else {}),
            "previews": [str(path) for path in self.previews],
        }


def run_labelling(
    config: LabelConfig,
    output: AnyPath,
    build: BuildLabeller,
    stopping: Stopping | None = None,
    showing: Showing | None = None,
    embedding: Progress | None = None,
) -> LabelResult:
    """Label the sources into an output folder; the last three as in `run_label`."""
    config, state = continue_command(config), RunState(output, process=get_process())
    with ExitStack() as stack:
        stack.enter_context(keep_metrics(state, config.metrics_file))
        check_own_files(output)
        found = _list_images(config, output, state)
        listed = stack.enter_context(found.images)
        # What is in a folder that cannot be read is not gone.
        config = config if found.is_whole else replace(config, prune=False)
        fit = _fit_boxes(stack, config, listed)
        state.end_phase("list")
        # A used output is taken before the slow part, so that a second run learns at once; a new
        # one only after it, so that settings which cannot work leave no folder behind.
        is_used = is_output(output)
        folder = _take_output(stack, state) if is_used else None
        images = listed if config.relabel is None else _choose_stored(stack, config, listed)
        if not is_used or config.on_existing == "overwrite":
            # `plan_run` refuses contradicting images too, but a new folder would be there by then,
            # or old results be gone.
            check_images(images)
        start = _Start(stack, config, build, images, state)
        run = _Run(config, start.open(folder, embedding), state, found.image_roots, fit)
        summary = run.label(stopping or nullcontext(StopRequest()), showing)
        if summary.is_outage:
            # A night with --quiet, whose summary nobody reads, ends with code 1: this is why.
            logger.warning(
                "no image could be labelled, and the images are not to blame (%s); the same "
                "command tries again",
                next(iter(summary.reasons)),
            )
        state.end_phase("label")
        return run.export(summary)


@dataclass(frozen=True)
class _Prepared:
    """A run that can begin: who labels, the folder that it holds, and what is to do.

    `wanted` are the images asked for, labelled before or not.
    """

    engine: Engine
    folder: OutputFolder
    wanted: ImageSpool
    plan: Plan


@dataclass(frozen=True)
class _Start:
    """The way from listed images to a run that can begin; what is entered ends with the stack."""

    stack: ExitStack
    config: LabelConfig
    build: BuildLabeller
    images: ImageSpool
    state: RunState

    def open(self, folder: OutputFolder | None, embedding: Progress | None) -> _Prepared:
        """Check everything, plan, and load what labels where the plan has images.

        `folder`: the output, held already; None: a new one, which is taken after loading.
        """
        idle = self._foresee(folder)
        prepared = None
        if folder is not None and idle is not None and self.config.on_existing != "overwrite":
            prepared = self._prepare(idle, folder)
            if not len(prepared.plan.images):
                return prepared
        engine = self._load(idle, embedding)
        if prepared is not None and engine.facts.fingerprint == prepared.engine.facts.fingerprint:
            return replace(prepared, engine=engine)
        return self._prepare(engine, folder or _take_output(self.stack, self.state))

    def _foresee(self, folder: OutputFolder | None) -> IdleEngine | None:
        """Find out without loading what labels will depend on; refuse here what can be refused."""
        made: Mapping[str, Any] = {}
        if folder is None:
            check_writable(self.state.output)
        else:
            folder.refuse_existing(self.config.on_existing)
            made = read_run_file(folder.path)
        return foresee(self.config, self.build, made)

    def _load(self, idle: IdleEngine | None, embedding: Progress | None) -> Engine:
        outlook = None if idle is None else idle.outlook
        if outlook is not None:
            logger.info("loading %s", outlook.facts.describe())
        opening = open_engine(self.config, self.build, embedding, outlook)
        engine = self.stack.enter_context(opening)
        if idle is None:
            logger.info("%s", engine.facts.describe())
        self.state.end_phase("load")
        return engine

    def _prepare(self, engine: Engine, folder: OutputFolder) -> _Prepared:
        """Check that new rows may join the old ones, and plan."""
        config, facts = self.config, engine.facts
        self.state.engine = engine.name
        described = {
            "depends_on": facts.depends_on,
            "resolved": facts.config.to_dict(),
            **facts.provenance,
        }
        folder.prepare(facts.fingerprint, described, config.on_existing)
        if config.relabel is not None:
            from ovsam_pipeline.labelling.stored_regions import locate_regions

            # They are facts on the images, whatever the labels are called.
            carry_answers(locate_regions(config), folder.path)
        wanted = self.images
        if config.only_failed:
            wanted = _choose_failed(self.stack, folder, wanted)
        plan = _plan(self.stack, config, engine, folder, wanted)
        self.state.plan = _count_plan(plan)
        self.state.end_phase("plan")
        return _Prepared(engine, folder, wanted, plan)


@dataclass(frozen=True)
class _Listed:
    """What the sources hold; whether all folders could be read; where images of JSON files are."""

    images: ImageSpool
    is_whole: bool
    image_roots: dict[str, str]


def _list_images(config: LabelConfig, output: AnyPath, state: RunState) -> _Listed:
    """Walk the sources once; what is wrong with them is reported before anything slow."""
    listing = list_images(
        config.sources, image_root=config.image_root, exclude=config.exclude, outputs=(output,)
    )
    images = ImageSpool(_iterate_in_time(listing, config.time_limit, state))
    logger.info("%s found", count_things(len(images), "image"))
    for sentence in listing.describe_left_out():
        logger.info("%s", sentence)
    gaps = listing.left_out.describe_unreadable()
    if gaps:
        logger.warning("%s%s", gaps, "; nothing is pruned" if config.prune else "")
    if listing.num_duplicates:
        num = listing.num_duplicates
        what = "file that is" if num == 1 else "files that are"
        logger.info("%d %s listed more than once: labelled once", num, what)
    for source, root in listing.image_roots.items():
        if config.image_root is None:
            logger.info("images of %s: %s (--image-root names another folder)", source, root)
    return _Listed(images, not gaps, listing.image_roots)


def _iterate_in_time(
    images: Iterable[ImageRecord], limit_s: float | None, state: RunState
) -> Iterator[ImageRecord]:
    """Yield the images; a TimeLimitError where the time of the run is over before the last one."""
    for image in images:
        if limit_s is not None and state.seconds > limit_s + _GRACE_S:
            raise TimeLimitError(
                f"the time limit of {limit_s:g} s was over while the sources were listed: nothing "
                "was labelled; give more time, or fewer sources at once"
            )
        yield image


def _take_output(stack: ExitStack, state: RunState) -> OutputFolder:
    """Lock the output folder until the stack ends, and write the state of the run into it."""
    folder = stack.enter_context(OutputFolder(state.output, state.process))
    state.is_holding = True
    stack.enter_context(keep_status(state))
    return folder


def _choose_stored(stack: ExitStack, config: LabelConfig, listed: ImageSpool) -> ImageSpool:
    """Return the images that the output to relabel has a row of."""
    from ovsam_pipeline.labelling.stored_regions import StoredRegions, locate_regions

    return stack.enter_context(StoredRegions(locate_regions(config)).choose_images(listed))


def _choose_failed(stack: ExitStack, folder: OutputFolder, images: ImageSpool) -> ImageSpool:
    """Return the images whose row failed, or that a retry before did not get to."""
    failed = folder.read_failed()
    chosen = ImageSpool(image for image in images if image.file_name in failed)
    return stack.enter_context(chosen)


def _fit_boxes(stack: ExitStack, config: LabelConfig, images: ImageSpool) -> BoxesFit | None:
    """Compare a file of boxes with the images of the run; refuse one that does not fit.

    It takes no model, so it comes before anything slow, and before an output folder is made.
    """
    from ovsam_pipeline.detectors.build import hold_stored_detector, is_stored
    from ovsam_pipeline.detectors.stored.fit import fit_boxes

    if config.relabel is not None or not is_stored(config.detector):
        return None
    held = hold_stored_detector(config.detector, config.conf, config.max_det)
    fit = fit_boxes(stack.enter_context(held), images, config.min_match)
    # An evaluation reports itself which images have no answers, and may label some images only.
    is_evaluation = find_evaluation_rules(config) is not None
    for sentence in (*fit.describe(), *_list_ignored(config)):
        logger.log(logging.DEBUG if is_evaluation else logging.WARNING, "%s", sentence)
    return fit


def _list_ignored(config: LabelConfig) -> list[str]:
    """Return a sentence on limits that were given and do not apply to annotations."""
    names = ("conf", "iou", "max_det") if config.detector.startswith("gt:") else ()
    declared = list_settings(LabelConfig)
    given = [
        f"{declared[name].flag} {getattr(config, name):g}"
        for name in names
        if getattr(config, name) != declared[name].default
    ]
    if not given:
        return []
    return [f"gt: takes every annotation as a prompt, whatever {' and '.join(given)} may say"]


def _plan(
    stack: ExitStack,
    config: LabelConfig,
    engine: Engine,
    folder: OutputFolder,
    wanted: ImageSpool,
) -> Plan:
    plan = plan_run(
        wanted,
        folder.read_done(engine.facts.fingerprint),
        retry_failed=config.retry_failed,
        prune=config.prune and not config.only_failed,
        output=folder.path,
        read_id=folder.read_image_id,
        read_names=folder.read_names,
    )
    stack.enter_context(plan.images)
    if plan.num_vanished:
        logger.warning(
            "%s listed and not there now: what they were labelled as is kept",
            count_are(plan.num_vanished, "image"),
        )
    for sentence in plan.warnings:
        logger.warning("%s", sentence)
    if config.only_failed:
        # The other rows were not looked for, so their images do not count as deleted.
        return replace(plan, num_deleted=0)
    for sentence in plan.notes:
        logger.info("%s", sentence)
    return plan


class _Run:
    """A run with an output folder that it holds and a plan: labels, then writes the other files."""

    def __init__(
        self,
        config: LabelConfig,
        prepared: _Prepared,
        state: RunState,
        image_roots: dict[str, str],
        boxes_fit: BoxesFit | None,
    ) -> None:
        from ovsam_pipeline.labelling.stats import ShardStats

        self.config, self.state = config, state
        self.engine, self.facts = prepared.engine, prepared.engine.facts
        self.folder, self.plan, self.wanted = prepared.folder, prepared.plan, prepared.wanted
        self.stats = ShardStats()
        self.image_roots = image_roots
        self.boxes_fit = None if boxes_fit is None else boxes_fit.to_dict()
        self._state_before = read_run_file(self.folder.path).get("state")

    def label(self, stopping: Stopping, showing: Showing | None) -> RunSummary:
        """Label the planned images; afterwards each has exactly one row in the parts."""
        self._write_run_file("running", {})
        if self.config.only_failed:
            self.folder.start_retry(image.file_name for image in self.plan.images)
        self.folder.drop_rows(self.plan.stale)
        try:
            summary = self._run_engine(stopping, showing)
        except OvsamError as error:
            # On a full disk this fails as well; the first reason is the one to report.
            with suppress(OutputError):
                self._write_run_file("failed", {"error": str(error)})
            raise
        if self.engine.accepted_parts is not None:
            # A worker that was given up for dead may have written its part after all.
            self.folder.reconcile(self.engine.accepted_parts, self.facts.fingerprint)
        if self.config.only_failed and not summary.left:
            self.folder.end_retry()
        return summary

    def _run_engine(self, stopping: Stopping, showing: Showing | None) -> RunSummary:
        from ovsam_pipeline.output.parts import BOX_SCHEMA, SCHEMA, PartWriter

        num_images = len(self.plan.images)
        max_images, max_seconds = choose_part_limits(self.config, num_images)
        writer = PartWriter(
            self.folder.parts_folder.absolute(),
            self.facts.fingerprint,
            max_images=max_images,
            max_seconds=max_seconds,
            schema=SCHEMA if self.facts.has_labels else BOX_SCHEMA,
            guard=self.folder.check_lock,
        )
        report = self.state.report = RunReport(
            num_images,
            max_failures=self.config.max_failures,
            max_failure_rate=self.config.max_failure_rate,
            num_before=self.plan.num_unchanged,
            # A process that replaces one that died has what that one could not finish.
            only_again=self.plan.is_only_again or bool(find_death()),
        )
        limit_s = self.config.time_limit
        left_s = None if limit_s is None else limit_s - self.state.seconds
        with ExitStack() as stack:
            stop = stack.enter_context(stopping)
            stack.enter_context(stop_after(stop, left_s))
            stack.enter_context(showing(report) if showing else nullcontext())
            return self.engine.label(Work(self.plan, writer, report, stop, self.stats))

    def export(self, summary: RunSummary) -> LabelResult:
        """Bring the files next to the parts up to date: failures, COCO, previews, run.json."""
        from ovsam_pipeline.export.preview import write_previews

        self.folder.write_failures()
        annotations, totals = self._write_annotations(summary)
        previews: list[AnyPath] = []
        if self.config.preview and summary.outcome != "interrupted":
            previews = write_previews(self.folder.path, self.wanted, self.config.preview)
        self.state.end_phase("export")
        self.state.finish(summary)
        dropped = dict(self.stats.dropped)
        self._write_run_file(
            summary.outcome,
            {
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "totals": totals.to_dict(),
                "run": {**summary.to_dict(), **_count_plan(self.plan)},
                "dropped_boxes": dropped,
                "phase_seconds": self.state.phase_seconds,
                "images_per_s": round(summary.done / summary.seconds, 3) if summary.done else 0.0,
                "stage_seconds": {name: round(s, 3) for name, s in self.stats.seconds.items()},
            },
        )
        return LabelResult(
            self.folder.path,
            summary,
            self.plan,
            totals,
            annotations,
            tuple(previews),
            dropped,
            has_labels=self.facts.has_labels,
            boxes_fit=self.boxes_fit,
            is_demonstration=bool(summary.done) and self.facts.is_demonstration,
        )

    def _write_annotations(self, summary: RunSummary) -> tuple[AnyPath, OutputCounts]:
        """Rebuild the COCO file of labels, unless nothing changed since it was written.

        A run that was interrupted is to end soon: it leaves the file to the one after it. Returns
        where the file is, and what the output holds.
        """
        from ovsam_pipeline.export.coco import export_coco
        from ovsam_pipeline.export.row_counts import count_output

        has_changed = bool(summary.done or self.plan.stale) or self._state_before != "finished"
        # To read a whole file from a store, only to tell whether somebody edited it, is too much.
        is_thorough = has_changed or isinstance(self.folder.path, Path)
        target = choose_annotations(self.folder.path, is_thorough=is_thorough)
        has_changed = has_changed or has_newer_answers(self.folder.path, target)
        is_left = not self.facts.has_labels or summary.outcome == "interrupted"
        if is_left or (target.exists() and not has_changed):
            return target, count_output(self.folder.path)
        self.folder.check_lock()
        if target.name == ANNOTATIONS_FILE:
            remove_annotations_beside(self.folder.path)
        return target, export_coco(self.folder.path, target)

    def _write_run_file(self, state: str, more: dict[str, Any]) -> None:
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
                **({"boxes_fit": self.boxes_fit} if self.boxes_fit else {}),
                "engine": self.engine.name,
                "working_folder": str(Path.cwd()),
                "image_roots": hide_all_secrets(self.image_roots),
                "settings": hide_all_secrets(self.config.to_dict()),
                "resolved": hide_all_secrets(facts.config.to_dict()),
                "versions": {
                    "python": platform.python_version(),
                    **{name: _find_version(name) for name in ("torch", "numpy", "pyarrow")},
                },
                "host": platform.node(),
                "process": self.state.process,
                "categories": facts.categories,
            }
        )


def hide_all_secrets(value: Any) -> Any:
    """Return settings without logins, tokens and signatures: run.json is handed on."""
    if isinstance(value, dict):
        return {hide_all_secrets(key): hide_all_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hide_all_secrets(item) for item in value]
    return hide_secrets(value) if isinstance(value, str) else value


def choose_part_limits(config: LabelConfig, num_images: int) -> tuple[int, float]:
    """Return the most images of a part, and the seconds after which it is written all the same.

    A run that dies loses what is in no part yet, so parts are small; but reading costs much the
    same for a small part as for a large one, so a run of millions does not write millions of parts.
    """
    most_images = config.part_images or min(max(64, num_images // 10_000), 1024)
    return most_images, config.part_seconds or (10.0 if num_images < 100_000 else 60.0)


def _count_plan(plan: Plan) -> dict[str, int]:
    return {
        "new": plan.num_new,
        "changed": plan.num_changed,
        "retried": plan.num_retried,
        "unchanged": plan.num_unchanged,
        "failed_before": plan.num_failed_before,
        "vanished": plan.num_vanished,
        "deleted": plan.num_deleted,
        "pruned": plan.num_pruned,
    }


def _find_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
