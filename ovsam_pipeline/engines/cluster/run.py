"""The loop of a cluster run: wait for an answer of a worker, deal with it, keep everyone busy.

Input: a plan, and a crew of workers that answer later. Output: counts in the report, parts in the
output folder. What the crew is made of (`run_ray.py`: Ray's actors) is not known here.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ovsam.errors import OvsamError
from ovsam_pipeline.engines.cluster.checks import Probe
from ovsam_pipeline.engines.cluster.member import NODE_GONE, WorkerDiedError
from ovsam_pipeline.engines.cluster.schedule import Schedule, Shard
from ovsam_pipeline.engines.worker import ShardResult
from ovsam_pipeline.errors import ShardError
from ovsam_pipeline.labelling.stats import ShardStats
from ovsam_pipeline.monitoring.report import RunReport, WorkerState
from ovsam_pipeline.monitoring.stopping import StopRequest
from ovsam_pipeline.output.parts import PartWriter, compute_part_name, tally_part
from ovsam_pipeline.output.plan import Plan
from ovsam_pipeline.records import LabelRecord

if TYPE_CHECKING:
    from ovsam_pipeline.engines.cluster.member import Crew, Member

logger = logging.getLogger(__name__)

_RESIZE_EVERY_S = 5.0
_LOOK_EVERY_S, _WATCH_EVERY_S = 3.0, 0.5
_MOST_LOOKS_A_SECOND = 50
_AWAY_S = 60.0
# After a stop: long enough for an image in hand, even on a CPU.
_GRACE_S = 60.0
_MOST_FAILED_STARTS = 5
_BATCH_OF_A_GPU = 8
_LONGEST_PAUSE_S = 300.0
_TELL_WAITING_EVERY_S = 60.0
# While nothing has been labelled: afterwards it is the fault of some images.
_MOST_LOST = 10


class ClusterRun:
    """One run.

    Args:
        plan: what is to do.
        crew: the workers.
        writer: of the output's parts; each worker has its own copy.
        report: counts the rows, knows the failure budget.
        probe: lies in the output folder.
    """

    def __init__(
        self, plan: Plan, crew: Crew, writer: PartWriter, report: RunReport, probe: Probe
    ) -> None:
        self.crew, self.writer, self.report, self.probe = crew, writer, report, probe
        batch = crew.facts.config.batch or (_BATCH_OF_A_GPU if crew.size.gpus else 1)
        self.schedule = Schedule(plan.images, len(plan.images), writer.max_images, batch)
        self.stats = ShardStats()
        self.shipped = crew.put(writer)
        self.failed_starts = self.num_lost = 0
        self.stopping_until_s: float | None = None
        self.resized_s = self.watched_s = self.hiring_from_s = 0.0
        self.worked_s = time.monotonic()
        self.hungry: list[Member] = []
        crew.forget_answers()
        for member in crew.members:
            if member.info is not None:
                crew.begin(member, self.shipped, probe)

    def go_on(self, stop: StopRequest) -> None:
        """Loop until everything is labelled, or the run is stopped."""
        while not self.schedule.is_over:
            now_s = time.monotonic()
            self.writer.check()
            if self.stopping_until_s is None and (stop.is_set() or self.report.is_over_budget):
                self._stop(now_s)
            if self.stopping_until_s is not None and now_s > self.stopping_until_s:
                for member in list(self.crew.members):  # or they would write behind our back
                    self.crew.dismiss(member)
                return
            self._resize(now_s)
            self._feed(now_s)
            for member, kind, ref in self.crew.wait():
                self._hear(member, kind, ref)
            self._watch(time.monotonic())

    def end(self, stats: ShardStats) -> None:
        """Commit what the driver itself wrote, and hand over times."""
        self._accept(self.writer.commit())
        for stage, seconds in self.stats.seconds.items():
            stats.add_seconds(stage, seconds)
        for reason, count in self.stats.dropped.items():
            stats.add_dropped(reason, count)

    def _hear(self, member: Member, kind: str, ref: Any) -> None:
        """Deal with one answer."""
        if member.is_gone:  # dismissed by an answer before
            return
        if kind in ("load", "begin"):
            self._start(member, kind, ref)
            return
        try:
            answer = self.crew.get(ref, member.name)
        except WorkerDiedError as error:
            self._lose(member, str(error))
            return
        if kind == "look":
            member.is_looked_at = False
            self._see(member, answer)
        else:
            self._finish(member, answer)

    def _start(self, member: Member, kind: str, ref: Any) -> None:
        """Let a worker in step by step; one that cannot work ends the run only if none can."""
        try:
            if kind == "load":
                self.crew.welcome(member, ref, self.crew.facts)
                self.crew.begin(member, self.shipped, self.probe)
            else:
                self._begin(member, ref)
        except (OvsamError, WorkerDiedError) as error:
            self.crew.dismiss(member)
            self.failed_starts += 1
            if all(other.info is None for other in self.crew.members):
                self._give_up_starting(error)
            pause_s = min(_LONGEST_PAUSE_S, 2.0 ** min(self.failed_starts, 30))
            self.hiring_from_s = time.monotonic() + pause_s
            logger.warning("a worker cannot start, the others go on: %s", error)

    def _give_up_starting(self, error: Exception) -> None:
        if isinstance(error, OvsamError):
            raise error
        if self.failed_starts >= _MOST_FAILED_STARTS:
            raise ShardError(
                f"{self.failed_starts} workers one after another died while they loaded the model "
                f"({error}); a worker may need more memory: fewer --num-actors, or more "
                "--cpus-per-actor"
            ) from error

    def _count_working(self) -> int:
        return sum(member.is_working for member in self.crew.members)

    def _begin(self, member: Member, ref: Any) -> None:
        self.crew.get(ref, member.name)
        assert member.info is not None
        self.probe.check(member.info.host, member.info.process)
        self.failed_starts = 0
        member.is_working = True
        self.schedule.join(member.name, time.monotonic())
        self.report.workers[member.name] = WorkerState(member.name, "idle")
        self.hungry.append(member)

    def _finish(self, member: Member, result: ShardResult) -> None:
        now_s = time.monotonic()
        self.schedule.finish(member.name, result.number, result.seconds, now_s)
        self.hungry.append(member)
        self._see(member, result.state)
        self._accept(result.part)
        self.crew.show_notes(result.notes)
        for stage, seconds in result.stage_seconds.items():
            self.stats.add_seconds(stage, seconds)
        for reason, count in result.dropped.items():
            self.stats.add_dropped(reason, count)
        self.report.add_tally(result.tally)

    def _lose(self, member: Member, why: str, *, is_hung: bool = False) -> None:
        """Take the shards of a dead actor back; another one is hired in its place."""
        is_blamed = why != NODE_GONE and member.node in self.crew.list_nodes()
        self.crew.dismiss(member)
        self.report.workers[member.name].state = "lost"
        logger.warning("worker %s is lost: %s; others go on with its images", member.name, why)
        loss = self.schedule.lose(
            member.name, why, self._is_committed, is_blamed=is_blamed, is_hung=is_hung
        )
        for shard in loss.committed:
            part = self._name_part(shard)
            self._accept(part)
            self.report.add_tally(tally_part(self.writer.folder / part))
        for given_up in loss.given_up:
            row = LabelRecord.failed(given_up.image, given_up.reason)
            self.writer.add(row)
            self.report.add(row)
        self._accept(self.writer.commit())
        self.num_lost += 1
        if (
            self.num_lost >= _MOST_LOST + len(self.crew.members)
            and self.report.done == self.report.failed
        ):
            raise ShardError(
                f"{self.num_lost} workers were lost and no image was labelled; the last one: "
                f"{why}. Label one image with --engine local to see more"
            )
        self.resized_s = 0.0
        self.hungry = list(self.crew.members)

    def _watch(self, now_s: float) -> None:
        """Ask every actor how it stands now and then, and give up those that stand still."""
        if now_s - self.watched_s < _WATCH_EVERY_S:
            return
        if now_s - self.watched_s > _AWAY_S:  # the driver was stopped, or its machine slept
            self.schedule.forgive(now_s)
        self.watched_s = now_s
        every_s = max(_LOOK_EVERY_S, len(self.crew.members) / _MOST_LOOKS_A_SECOND)
        for member in self.crew.members:
            is_due = now_s - member.looked_s >= every_s and not member.is_looked_at
            if is_due and member.is_working:
                self.crew.look(member, now_s)
        patience_s = self.crew.facts.config.image_timeout
        for name in self.schedule.find_hung(now_s, patience_s):
            member = next(member for member in self.crew.members if member.name == name)
            self._lose(member, f"it finished no image for {patience_s:.0f} s", is_hung=True)

    def _see(self, member: Member, seen: WorkerState) -> None:
        now_s = time.monotonic()
        before = self.report.workers[member.name]
        self.schedule.note_progress(member.name, seen.done, now_s)
        passed_s = max(now_s - before.seen_s, 1e-3)
        pace = (seen.done - before.done) / passed_s
        # A minute or so weighs as much as all before.
        weight = min(1.0, passed_s / 60.0) if before.done else 1.0
        pace = before.images_per_s + weight * (pace - before.images_per_s)
        self.report.workers[member.name] = replace(
            seen, name=member.name, images_per_s=pace, seen_s=now_s
        )

    def _resize(self, now_s: float) -> None:
        """Follow the cluster: hire where there is room, let go of those that wait in vain."""
        if now_s - self.resized_s < _RESIZE_EVERY_S or self.stopping_until_s is not None:
            return
        self.resized_s = now_s
        self._tell_waiting(now_s)
        self.crew.measure()
        useful = max(1, self.schedule.num_undrawn) + self._count_working()
        wanted = min(self.crew.size.num_actors, useful)
        self.schedule.expect(wanted)
        if now_s >= self.hiring_from_s:
            for _ in range(wanted - len(self.crew.members)):
                self.crew.hire()
        waiting = [member for member in self.crew.members if member.info is None]
        for member in waiting[: max(0, len(self.crew.members) - wanted)]:
            self.crew.dismiss(member)

    def _tell_waiting(self, now_s: float) -> None:
        """Say now and then that there is nobody to work: a cluster may be full, or coming up."""
        if self._count_working():
            self.worked_s = now_s
        elif now_s - self.worked_s >= _TELL_WAITING_EVERY_S:
            self.worked_s = now_s
            logger.info("waiting for a worker: %s", self.crew.size.describe())

    def _feed(self, now_s: float) -> None:
        """Give shards to those that have had an answer, or may have one after a loss."""
        hungry, self.hungry = self.hungry, []
        for member in hungry:
            if member.is_gone or not member.is_working:
                continue
            while shard := self.schedule.take(member.name, now_s):
                self.crew.assign(member, shard)

    def _stop(self, now_s: float) -> None:
        self.stopping_until_s = now_s + _GRACE_S
        self.schedule.close()
        for member in self.crew.members:
            self.crew.stop(member)

    def _accept(self, part: str | None) -> None:
        if part is not None and self.crew.accepted_parts is not None:
            self.crew.accepted_parts.add(part)

    def _is_committed(self, shard: Shard) -> bool:
        return self.writer.has_part(self._name_part(shard))

    def _name_part(self, shard: Shard) -> str:
        return compute_part_name((i.identity for i in shard.images), self.writer.fingerprint)
