"""Label in this process: the engine for one machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext

from ovsam_pipeline.engines.engine import Work
from ovsam_pipeline.engines.gpu_usage import update_gpu
from ovsam_pipeline.engines.journal import Journal, choose_journal, describe_images
from ovsam_pipeline.engines.supervisor import beat, end_for_another, find_death, get_command
from ovsam_pipeline.errors import ShardError
from ovsam_pipeline.labelling.label_images import label_images
from ovsam_pipeline.labelling.labeller import Labeller
from ovsam_pipeline.labelling.run_ahead import poll_ahead
from ovsam_pipeline.monitoring.repeating import repeat
from ovsam_pipeline.monitoring.report import RunSummary, WorkerState
from ovsam_pipeline.outcomes import WORKER_DIED
from ovsam_pipeline.records import ImageRecord, LabelRecord

logger = logging.getLogger(__name__)

_GPU_EVERY_S = 5.0
# How often a run that gets no row looks whether rows wait to be committed, or it has to stop.
_LOOK_EVERY_S = 1.0
# After a wish to stop: images in hand that take longer are left to the next run.
_STOP_S = 10.0
_LEAVE_S = 1.0
_AWAY_S = 60.0
# Processes in a row that die without having labelled an image.
_MOST_VAIN = 3
_UNKNOWN_DEATH = "killed, out of memory, or a crash in a library"


class LocalEngine:
    """The engine of one machine: labels in the process that calls it."""

    name = "local"
    accepted_parts: set[str] | None = None

    def __init__(self, labeller: Labeller) -> None:
        self.facts = labeller.facts
        self._labeller = labeller

    def label(self, work: Work) -> RunSummary:
        """See `Engine.label`."""
        journal = Journal(
            choose_journal(work.writer.folder.parent), get_command(), find_death() or _UNKNOWN_DEATH
        )
        worker = WorkerState("this process", "labelling", stage_seconds=work.stats.seconds)
        work.report.workers[worker.name] = worker
        try:
            with _watch_gpu(worker, self.facts.config.device), beat():
                _report_death(journal)
                self._label_all(work, journal)
        finally:
            # Also on Ctrl-C in a notebook: what was labelled is kept.
            start_s = time.perf_counter()
            work.writer.commit()
            work.stats.add_time("write", start_s)
            worker.state = "idle"
            journal.close()
        return work.report.conclude(work.stop)

    def _label_all(self, work: Work, journal: Journal) -> None:
        """Label the images; those at which a process may have died come last, one at a time."""
        suspects: dict[str, ImageRecord] = {}
        lost: list[ImageRecord] = []

        def choose_others() -> Iterator[ImageRecord]:
            for image in work.plan.images:
                if image.identity in journal.given_up:
                    lost.append(image)
                elif image.identity in journal.suspects:
                    suspects[image.identity] = image
                else:
                    yield image

        if not self._label_some(work, journal, choose_others()):
            return
        for image in lost:
            reason = (
                f"{WORKER_DIED} while it was labelled alone: {journal.given_up[image.identity]}"
            )
            _take_row(work, LabelRecord.failed(image, reason))
        for identity in [each for each in journal.suspects if each in suspects]:
            work.writer.commit()
            image = suspects[identity]
            if work.stop.is_set() or not self._label_some(work, journal, [image], is_alone=True):
                return

    def _label_some(
        self, work: Work, journal: Journal, images: Iterable[ImageRecord], *, is_alone: bool = False
    ) -> bool:
        """Label images; return whether the run goes on. One that hangs does not hold it up."""
        in_hand = journal.watch(images, is_alone=is_alone)
        labelled = label_images(in_hand, self._labeller, work.stop, work.stats)
        heard_s = looked_s = time.monotonic()
        stopped_s: float | None = None
        # The first image of a process may take longer: libraries are loaded, kernels compiled.
        patience_s = 2 * self.facts.config.image_timeout
        with closing(poll_ahead(labelled, 2, _LOOK_EVERY_S, _LEAVE_S)) as rows:
            for row in rows:
                before_s, looked_s = looked_s, time.monotonic()
                if row is not None:
                    journal.release(row.identity)
                    _take_row(work, row)
                    heard_s, patience_s = looked_s, self.facts.config.image_timeout
                    if work.report.is_over_budget:
                        return False
                    continue
                work.writer.commit_old()
                if looked_s - before_s > _AWAY_S:  # the process was stopped, or its machine slept
                    heard_s = looked_s
                if work.stop.is_set():
                    stopped_s = stopped_s or looked_s
                    if looked_s - stopped_s > _STOP_S:
                        journal.blame(f"stopped, {_STOP_S:.0f} s before", is_alone=False)
                        return False
                elif looked_s - heard_s > patience_s:
                    self._give_up(journal, patience_s)
        return not work.stop.is_set()

    def _give_up(self, journal: Journal, seconds: float) -> None:
        """End this process, as a thread that hangs cannot be ended."""
        names = describe_images(journal.in_hand)
        journal.blame(f"it did not end within {seconds:.0f} s")
        end_for_another()
        raise ShardError(
            f"no image was finished for {seconds:.0f} s: {names}. What is labelled is kept; the "
            "same command labels the other images first, and these last, one at a time"
        )


def _take_row(work: Work, row: LabelRecord) -> None:
    start_s = time.perf_counter()
    work.writer.add(row)
    work.stats.add_time("write", start_s)
    work.report.add(row)
    work.report.workers["this process"].done = work.report.done


def _report_death(journal: Journal) -> None:
    """Say that a process died before; a ShardError where they die whatever the images are."""
    if journal.num_vain >= _MOST_VAIN:
        raise ShardError(
            f"{journal.num_vain} processes in a row died ({journal.death}) before they had "
            "labelled an image, so the images are not the cause; look at the machine's memory, or "
            "label one image with --device cpu. What is labelled is kept"
        )
    if journal.died:
        names = describe_images(journal.died)
        if journal.died[0] in journal.given_up:
            what = f"{names} was alone in hand, and becomes a failed row"
        else:
            what = f"in hand were {names}: they are labelled last, one at a time"
        logger.warning("the process before ended early (%s); %s", journal.death, what)


def _watch_gpu(worker: WorkerState, device: str) -> AbstractContextManager[None]:
    """Keep the state of a GPU worker up to date; on a CPU there is nothing to see."""
    if not device.startswith("cuda"):
        return nullcontext()
    return repeat(
        lambda: update_gpu(worker, device), lambda _: _GPU_EVERY_S, join_timeout_s=_GPU_EVERY_S
    )
