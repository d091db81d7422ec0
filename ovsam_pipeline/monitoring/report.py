"""Counts of a run and what they decide: whether it must stop early, and its exit code.

Engines add rows one by one, or whole shards that a worker counted.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ovsam_pipeline.errors import ShardError
from ovsam_pipeline.monitoring.exit_codes import ExitCode
from ovsam_pipeline.monitoring.stopping import StopReason, StopRequest
from ovsam_pipeline.outcomes import NOT_THE_IMAGE, Tally
from ovsam_pipeline.records import LabelRecord

Outcome = Literal["finished", "over budget"] | StopReason
# The first few images may be bad files; the same internal error twenty times is a broken setup.
_HOPELESS_AFTER = 20
# A failure rate says nothing of fewer images: one bad one of three new ones is no bad night.
_LEAST_JUDGED = 20
_EXIT_CODES = {
    "interrupted": ExitCode.INTERRUPTED,
    "over budget": ExitCode.OVER_BUDGET,
    "time limit": ExitCode.TIME_LIMIT,
}


@dataclass(frozen=True)
class RunSummary:
    """What one run did.

    Attributes:
        outcome: "finished", "interrupted", "time limit", or "over budget" (stopped by the failure
            budget).
        labelled: images of this run with objects.
        empty: images of this run without objects.
        failed: images of this run that failed.
        left: images that this run was to label and did not reach.
        reasons: number of failed images of this run by kind, as the sentence of one of them.
        seconds: wall time of labelling, without loading the model.
        warnings: number of images of this run that were read with a warning, by kind.
        examples: a file of each kind of reason and warning.
        transient: failed images of this run that the next one tries again.
        is_outage: whether every image failed, and the images are not to blame.
    """

    outcome: Outcome
    labelled: int
    empty: int
    failed: int
    objects: int
    left: int
    reasons: dict[str, int]
    seconds: float
    warnings: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    transient: int = 0
    is_outage: bool = False

    @property
    def done(self) -> int:
        """Number of images of this run that have a row now."""
        return self.labelled + self.empty + self.failed

    @property
    def exit_code(self) -> int:
        """Exit code of the command."""
        if self.outcome != "finished":
            return _EXIT_CODES[self.outcome]
        if self.is_outage:
            return ExitCode.FAILED
        return ExitCode.SOME_IMAGES_FAILED if self.failed else ExitCode.DONE

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "exit_code": self.exit_code}


@dataclass
class WorkerState:
    """What is known of one worker while it labels; of its GPU None where unknown, or without one.

    Attributes:
        name: "this process", or "machine:process" of a cluster's worker.
        images_per_s: over the last minute or so.
        stage_seconds: busy time by stage: decode, detect, segment, write.
        gpu_memory_used: bytes, of all processes.
        gpu_memory_total: bytes.
        gpu_utilisation: share of the time in which the GPU was busy, in [0, 1].
        seen_s: when this was known, by `time.monotonic` of the driver.
    """

    name: str
    state: Literal["starting", "labelling", "idle", "lost"] = "starting"
    done: int = 0
    images_per_s: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=dict)
    gpu_memory_used: int | None = None
    gpu_memory_total: int | None = None
    gpu_utilisation: float | None = None
    seen_s: float = field(default_factory=time.monotonic, compare=False)


@dataclass
class RunReport(Tally):
    """Counts of a run while it labels; written by one thread, read by others.

    Attributes:
        num_images: images that the run is to label.
        max_failures: more failures than this stop the run; None for no limit.
        max_failure_rate: the same as a fraction of `num_images`, or of 20 where these are fewer;
            None for no limit.
        num_before: images of the sources that have a row already and keep it.
        only_again: whether all images of the run failed in an earlier one, while others of the
            output are labelled.
    """

    num_images: int
    max_failures: int | None = None
    max_failure_rate: float | None = None
    num_before: int = 0
    only_again: bool = False
    workers: dict[str, WorkerState] = field(default_factory=dict)
    started_s: float = field(default_factory=time.monotonic)

    def add(self, row: LabelRecord) -> None:
        """Count a row; a ShardError where all images so far failed by the same internal error."""
        super().add(row)
        if row.error is not None:
            self._check_hopeless()

    def merge(self, other: Tally) -> None:
        """Count the rows of a shard; a ShardError as `add`."""
        super().merge(other)
        if other.reasons:
            self._check_hopeless()

    @property
    def budget(self) -> float:
        """Most failures allowed; infinite without a budget."""
        allowed = math.inf if self.max_failures is None else self.max_failures
        if self.max_failure_rate is not None:
            # 0.29 * 100 is 28.999...: without the 1e-9 one failure too few would be allowed.
            num_judged = max(self.num_images, _LEAST_JUDGED)
            allowed = min(allowed, math.floor(self.max_failure_rate * num_judged + 1e-9))
        return allowed

    @property
    def is_over_budget(self) -> bool:
        """Whether the run has to stop."""
        return self.failed > self.budget

    @property
    def seconds(self) -> float:
        """Wall time since labelling began."""
        return time.monotonic() - self.started_s

    def conclude(self, stop: StopRequest) -> RunSummary:
        """Return the final counts of a run that is over, and how it ended."""
        # Where nothing is left, nothing was stopped.
        if self.done >= self.num_images:
            return self.summarise("finished")
        return self.summarise("over budget" if self.is_over_budget else stop.reason)

    def summarise(self, outcome: Outcome) -> RunSummary:
        """Return the counts as they are now, with a given outcome."""
        return RunSummary(
            outcome=outcome,
            labelled=self.statuses["labelled"],
            empty=self.statuses["empty"],
            failed=self.failed,
            objects=self.objects,
            left=self.num_images - self.done,
            reasons=self.reasons.to_counts(),
            seconds=round(self.seconds, 3),
            warnings=self.warnings.to_counts(),
            examples=self.reasons.to_examples() | self.warnings.to_examples(),
            transient=self.transient,
            is_outage=0 < self.done == self.transient and not self.only_again,
        )

    def _check_hopeless(self) -> None:
        common = self.reasons.list_common()[0]
        is_same = self.done == self.failed == common.count
        is_fault = common.sentence.startswith(NOT_THE_IMAGE)
        if is_fault and is_same and self.done >= _HOPELESS_AFTER:
            raise ShardError(
                f"the first {self.done} images all failed with the same error ({common.sentence}), "
                "so the images are not the cause; the run stops, and the same command tries them "
                "again"
            )
