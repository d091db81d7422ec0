"""The driver's loop of a cluster run: wait for answers of workers, handle them, keep all busy.

Input: a `Work`, and a pool of workers that answer later. Output: counts in the report, parts in the
output folder.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from ovsam.errors import OvsamError
from ovsam_pipeline.engines.cluster.node_setup import (
    Probe,
    check_facts,
    check_version,
    put_probe,
)
from ovsam_pipeline.engines.cluster.pool import (
    NODE_LOST,
    Answer,
    Loaded,
    Opened,
    PoolWorker,
    WorkerDiedError,
    WorkerPool,
)
from ovsam_pipeline.engines.cluster.schedule import Schedule, Shard
from ovsam_pipeline.engines.engine import Work
from ovsam_pipeline.engines.worker import ShardResult
from ovsam_pipeline.errors import ShardError
from ovsam_pipeline.monitoring.report import RunSummary, WorkerState
from ovsam_pipeline.output.parts import compute_part_name, tally_part
from ovsam_pipeline.records import LabelRecord

logger = logging.getLogger(__name__)

_RESIZE_EVERY_S = 5.0
_ASK_EVERY_S, _WATCH_EVERY_S = 3.0, 0.5
# Of a thousand workers the driver would otherwise do little but ask.
_MOST_QUESTIONS_A_SECOND = 50
# After a longer gap the driver itself was stopped, or its machine slept.
_AWAY_S = 60.0
# After a stop: long enough for the current image, even on a CPU.
_STOP_TIMEOUT_S = 60.0
# In a row, without a shard that was labelled in between.
_MOST_VAIN_STARTS = 5
# What `labelling` chooses where --batch is not given.
_BATCH_OF_A_GPU = 8
_LONGEST_PAUSE_S = 300.0
_LOG_WAITING_EVERY_S = 60.0
# While nothing has been labelled; afterwards single images are the more likely cause.
_MOST_LOST = 10


def label_on_pool(work: Work, pool: WorkerPool) -> RunSummary:
    """Label the images of a run on the workers of a pool."""
    with put_probe(work.writer.folder.parent) as probe:
        run = ClusterRun(work, pool, probe)
        try:
            run.run()
        finally:
            # Also when the run fails: rows of images that were given up are the driver's.
            run.commit()
    return work.report.conclude(work.stop)


class ClusterRun:
    """One run on the workers of a pool."""

    def __init__(self, work: Work, pool: WorkerPool, probe: Probe) -> None:
        self.work, self.pool, self.probe = work, pool, probe
        self.writer, self.report = work.writer, work.report
        batch = pool.facts.config.batch or (_BATCH_OF_A_GPU if pool.size.gpus else 1)
        num_images = len(work.plan.images)
        self.schedule = Schedule(work.plan.images, num_images, work.writer.max_images, batch)
        self.needs_work: list[PoolWorker] = []
        self.num_failed_starts = self.num_vain_starts = self.num_lost = 0
        self.stop_deadline_s: float | None = None
        self.resized_s = self.watched_s = self.start_workers_after_s = 0.0
        self.worked_s = time.monotonic()

    def run(self) -> None:
        """Loop until every image has a row, or the run is stopped."""
        self.pool.begin_run(self.writer, self.probe)
        for worker in self.pool.workers:
            if worker.info is not None:
                self.pool.open_output(worker)
        while not self.schedule.is_over:
            now_s = time.monotonic()
            self.writer.check()
            if self.stop_deadline_s is None and self._must_stop():
                self._stop(now_s)
            if self.stop_deadline_s is not None and now_s > self.stop_deadline_s:
                for worker in list(self.pool.workers):  # or they would write after the run's end
                    self.pool.stop_worker(worker)
                return
            self._resize(now_s)
            self._assign_work(now_s)
            for answer in self.pool.wait():
                self._handle_answer(answer)
            self._watch(time.monotonic())

    def commit(self) -> None:
        """Commit the rows of images that were given up."""
        self._accept(self.writer.commit())

    def _handle_answer(self, answer: Answer) -> None:
        worker, value = answer.worker, answer.value
        if worker.is_stopped:  # because of an answer that came together with this one
            return
        if not worker.is_working:
            self._handle_start(worker, value)
        elif isinstance(value, WorkerDiedError):
            self._lose(worker, str(value))
        elif isinstance(value, WorkerState):
            worker.is_asked = False
            self._record_state(worker, value)
        elif isinstance(value, ShardResult):
            self._finish(worker, value)
        elif isinstance(value, OvsamError):
            raise value

    def _handle_start(self, worker: PoolWorker, value: object) -> None:
        """Continue the start of a worker; one that fails ends the run only if no other can work."""
        try:
            if isinstance(value, Loaded):
                self._register(worker, value)
            elif isinstance(value, Opened):
                self._admit(worker)
            elif isinstance(value, Exception):
                raise value
        except (OvsamError, WorkerDiedError) as error:
            self.pool.stop_worker(worker)
            self.num_failed_starts += 1
            self.num_vain_starts += 1
            if all(other.info is None for other in self.pool.workers):
                self._give_up_starting(error)
            pause_s = min(_LONGEST_PAUSE_S, 2.0 ** min(self.num_failed_starts, 30))
            self.start_workers_after_s = time.monotonic() + pause_s
            num_loaded = sum(other.info is not None for other in self.pool.workers)
            logger.warning(
                "a worker cannot start, the next try is in %.0f s (workers now: %d): %s",
                pause_s,
                num_loaded,
                error,
            )

    def _register(self, worker: PoolWorker, loaded: Loaded) -> None:
        worker.register(loaded)
        info = loaded.info
        self.pool.log_notes(info.notes)
        check_version(info.host, info.version)
        check_facts(info.host, self.pool.facts, info.facts)
        self.pool.open_output(worker)

    def _admit(self, worker: PoolWorker) -> None:
        assert worker.info is not None
        self.probe.check(worker.info.host, worker.info.process)
        self.num_failed_starts = self.num_vain_starts = 0
        worker.is_working = True
        self.schedule.add_worker(worker.name, time.monotonic())
        self.report.workers[worker.name] = WorkerState(worker.name, "idle")
        self.needs_work.append(worker)

    def _give_up_starting(self, error: Exception) -> None:
        if isinstance(error, OvsamError):  # settings or files: the next worker would fail the same
            raise error
        if self.num_vain_starts >= _MOST_VAIN_STARTS:
            raise ShardError(
                f"{self.num_vain_starts} workers in a row died while they loaded the model "
                f"({error}); what is labelled is kept, and the same command goes on. A worker may "
                "need more memory: fewer --num-actors, or more --cpus-per-actor"
            ) from error

    def _finish(self, worker: PoolWorker, result: ShardResult) -> None:
        now_s = time.monotonic()
        self.schedule.finish(worker.name, result.number, result.seconds, now_s)
        self.num_vain_starts = 0
        self.needs_work.append(worker)
        self._record_state(worker, result.state)
        self._accept(result.part)
        self.pool.log_notes(result.notes)
        for stage, seconds in result.stage_seconds.items():
            self.work.stats.add_seconds(stage, seconds)
        self.work.stats.add_dropped(result.dropped)
        self.report.merge(result.tally)

    def _record_state(self, worker: PoolWorker, state: WorkerState) -> None:
        now_s = time.monotonic()
        before = self.report.workers[worker.name]
        self.schedule.note_progress(worker.name, state.done, now_s)
        passed_s = max(now_s - before.seen_s, 1e-3)
        pace = (state.done - before.done) / passed_s
        # A running mean over about a minute; the first measurement counts in full.
        weight = min(1.0, passed_s / 60.0) if before.done else 1.0
        pace = before.images_per_s + weight * (pace - before.images_per_s)
        self.report.workers[worker.name] = replace(
            state, name=worker.name, images_per_s=pace, seen_s=now_s
        )

    def _lose(self, worker: PoolWorker, why: str, *, is_hung: bool = False) -> None:
        """Take the shards of a dead or hung worker back; `_resize` starts another one."""
        is_blamed = why != NODE_LOST and worker.node in self.pool.list_nodes()
        self.pool.stop_worker(worker)
        self.report.workers[worker.name].state = "lost"
        logger.warning("lost worker %s: %s; others label its images", worker.name, why)
        loss = self.schedule.lose_worker(
            worker.name, why, self._is_committed, is_blamed=is_blamed, is_hung=is_hung
        )
        for shard in loss.committed:
            part = self._name_part(shard)
            self._accept(part)
            self.report.merge(tally_part(self.writer.folder / part))
        for given_up in loss.given_up:
            row = LabelRecord.failed(given_up.image, given_up.reason)
            self.writer.add(row)
            self.report.add(row)
        self.commit()
        self.num_lost += 1
        is_nothing_labelled = self.report.done == self.report.failed
        if is_nothing_labelled and self.num_lost >= _MOST_LOST + len(self.pool.workers):
            raise ShardError(
                f"{self.num_lost} workers were lost and no image was labelled; the last one: "
                f"{why}. Label one image with --engine local to see more; the same command goes on"
            )
        self.resized_s = 0.0
        # Shards came back, so also workers that found none before may get one.
        self.needs_work = list(self.pool.workers)

    def _watch(self, now_s: float) -> None:
        """Ask workers for their state now and then, and replace those that hang."""
        if now_s - self.watched_s < _WATCH_EVERY_S:
            return
        if now_s - self.watched_s > _AWAY_S:
            self.schedule.reset_clocks(now_s)
        self.watched_s = now_s
        every_s = max(_ASK_EVERY_S, len(self.pool.workers) / _MOST_QUESTIONS_A_SECOND)
        for worker in self.pool.workers:
            is_due = now_s - worker.asked_s >= every_s and not worker.is_asked
            if is_due and worker.is_working:
                self.pool.ask_state(worker, now_s)
        timeout_s = self.pool.facts.config.image_timeout
        for name in self.schedule.find_hung(now_s, timeout_s):
            worker = next(worker for worker in self.pool.workers if worker.name == name)
            self._lose(worker, f"it finished no image for {timeout_s:.0f} s", is_hung=True)

    def _resize(self, now_s: float) -> None:
        """Follow the cluster: start workers where there is room, stop those that have none."""
        if now_s - self.resized_s < _RESIZE_EVERY_S or self.stop_deadline_s is not None:
            return
        self.resized_s = now_s
        num_working = sum(worker.is_working for worker in self.pool.workers)
        self._log_waiting(now_s, num_working)
        self.pool.measure()
        useful = max(1, self.schedule.num_undrawn) + num_working
        wanted = min(self.pool.size.num_actors, useful)
        self.schedule.set_expected_workers(wanted)
        if now_s >= self.start_workers_after_s:
            for _ in range(wanted - len(self.pool.workers)):
                self.pool.start_worker()
        waiting = [worker for worker in self.pool.workers if worker.info is None]
        for worker in waiting[: max(0, len(self.pool.workers) - wanted)]:
            self.pool.stop_worker(worker)

    def _log_waiting(self, now_s: float, num_working: int) -> None:
        """Log now and then that no worker is there: a cluster may be full, or starting."""
        if num_working:
            self.worked_s = now_s
        elif now_s - self.worked_s >= _LOG_WAITING_EVERY_S:
            self.worked_s = now_s
            logger.info("waiting for a worker: %s", self.pool.size.describe())

    def _assign_work(self, now_s: float) -> None:
        workers, self.needs_work = self.needs_work, []
        for worker in workers:
            if worker.is_stopped or not worker.is_working:
                continue
            while shard := self.schedule.next_shard(worker.name, now_s):
                self.pool.assign(worker, shard)

    def _must_stop(self) -> bool:
        return self.work.stop.is_set() or self.report.is_over_budget

    def _stop(self, now_s: float) -> None:
        self.stop_deadline_s = now_s + _STOP_TIMEOUT_S
        self.schedule.close()
        for worker in self.pool.workers:
            self.pool.request_stop(worker)

    def _accept(self, part: str | None) -> None:
        if part is not None:
            self.pool.accepted_parts.add(part)

    def _is_committed(self, shard: Shard) -> bool:
        return self.writer.has_part(self._name_part(shard))

    def _name_part(self, shard: Shard) -> str:
        return compute_part_name((i.identity for i in shard.images), self.writer.fingerprint)
