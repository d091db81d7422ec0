"""Counts and reasons of a run; owns the failure budget and the exit code.

Rows are counted one by one where they are made, or a shard at a time where a worker counted them.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ovsam_pipeline.errors import ShardError
from ovsam_pipeline.monitoring.exit_codes import ExitCode
from ovsam_pipeline.monitoring.stopping import StopReason, StopRequest
from ovsam_pipeline.outcomes import NOT_THE_IMAGE, Tally
from ovsam_pipeline.records import LabelRecord

Outcome = Literal["finished", "over budget"] | StopReason
_HOPELESS_AFTER = 20


@dataclass(frozen=True)
class RunSummary:
    """What one run did.

    Attributes:
        outcome: "finished", "interrupted", "time limit", or "over budget" (stopped by the failure
            budget).
        labelled: images of this run with objects.
        empty: images of this run without objects.
        failed: images of this run that failed.
        objects: objects found in this run.
        left: images that were to do and were not reached.
        reasons: failed images of this run by reason.
        seconds: wall time of labelling, without loading the model.
    """

    outcome: Outcome
    labelled: int
    empty: int
    failed: int
    objects: int
    left: int
    reasons: dict[str, int]
    seconds: float

    @property
    def done(self) -> int:
        """Images of this run that have a row now."""
        return self.labelled + self.empty + self.failed

    @property
    def exit_code(self) -> int:
        """The command's exit status."""
        if self.outcome == "interrupted":
            return ExitCode.INTERRUPTED
        if self.outcome == "over budget":
            return ExitCode.OVER_BUDGET
        if self.outcome == "time limit":
            return ExitCode.TIME_LIMIT
        return ExitCode.SOME_IMAGES_FAILED if self.failed else ExitCode.DONE

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "exit_code": self.exit_code}


@dataclass
class WorkerState:
    """What is known of one worker while it labels; for progress and `ovsam status`.

    Attributes:
        name: "this process", or node and process of an actor.
        state: "starting", "labelling", "idle" or "lost".
        done: images that it labelled.
        images_per_s: over the last minute or so.
        stage_seconds: busy time by stage: decode, detect, segment, write.
        gpu_memory_used: bytes on its GPU, of all processes; None without one.
        gpu_memory_total: bytes of its GPU; None without one.
        gpu_utilisation: share of the time in which the GPU worked, in [0, 1]; None where unknown.
        seen_s: when this was known, by `time.monotonic` of the process that drives the run.
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
class RunReport:
    """Counts of a run while it goes on; filled from one thread, read from others.

    Attributes:
        num_images: images that the run is to label.
        max_failures: more failures than this stop the run; None for no limit.
        max_failure_rate: the same as a fraction of `num_images`; None for no limit.
        tally: what was counted.
        workers: by name; empty where an engine does not tell.
    """

    num_images: int
    max_failures: int | None = None
    max_failure_rate: float | None = None
    tally: Tally = field(default_factory=Tally)
    workers: dict[str, WorkerState] = field(default_factory=dict)
    started_s: float = field(default_factory=time.monotonic)

    def add(self, row: LabelRecord) -> None:
        """Count a row.

        Raises:
            ShardError: every image so far failed by a fault of ours, so going on is pointless.
        """
        self.tally.add(row)
        if row.error is not None:
            self._check_hopeless()

    def add_tally(self, tally: Tally) -> None:
        """Count the rows of a shard.

        Raises:
            ShardError: as `add`.
        """
        self.tally.merge(tally)
        if tally.reasons:
            self._check_hopeless()

    @property
    def statuses(self) -> Counter[str]:
        """Rows by status."""
        return self.tally.statuses

    @property
    def reasons(self) -> Counter[str]:
        """Failed rows by grouped reason."""
        return self.tally.reasons

    @property
    def objects(self) -> int:
        """Objects of all rows."""
        return self.tally.objects

    @property
    def done(self) -> int:
        """Rows counted."""
        return self.statuses.total()

    @property
    def failed(self) -> int:
        """Failed rows counted."""
        return self.statuses["failed"]

    @property
    def budget(self) -> float:
        """Most failures allowed; infinite without a budget."""
        allowed = math.inf if self.max_failures is None else self.max_failures
        if self.max_failure_rate is not None:
            allowed = min(allowed, math.floor(self.max_failure_rate * self.num_images + 1e-9))
        return allowed

    @property
    def is_over_budget(self) -> bool:
        """Whether the run has to stop."""
        return self.failed > self.budget

    @property
    def seconds(self) -> float:
        """Wall time since the start."""
        return time.monotonic() - self.started_s

    def conclude(self, stop: StopRequest) -> RunSummary:
        """Return the final counts of a run that is over, and how it ended.

        Args:
            stop: what it was stopped by, if it did not reach every image.
        """
        if self.is_over_budget:
            return self.summarise("over budget")
        return self.summarise("finished" if self.done >= self.num_images else stop.reason)

    def summarise(self, outcome: Outcome) -> RunSummary:
        """Return the final counts."""
        return RunSummary(
            outcome=outcome,
            labelled=self.statuses["labelled"],
            empty=self.statuses["empty"],
            failed=self.failed,
            objects=self.objects,
            left=self.num_images - self.done,
            reasons=dict(self.reasons.most_common()),
            seconds=round(self.seconds, 3),
        )

    def _check_hopeless(self) -> None:
        reason, count = self.reasons.most_common(1)[0]
        is_same = self.done == self.failed == count
        if reason.startswith(NOT_THE_IMAGE) and is_same and self.done >= _HOPELESS_AFTER:
            raise ShardError(
                f"each of the first {self.done} images failed the same way ({reason}); the run "
                "stops, as this is no fault of the images"
            )
