"""What every engine offers: a `Work` in, rows in the output folder and a `RunSummary` out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ovsam_pipeline.labelling.labeller import RunFacts
    from ovsam_pipeline.labelling.stats import ShardStats
    from ovsam_pipeline.monitoring.report import RunReport, RunSummary
    from ovsam_pipeline.monitoring.stopping import StopRequest
    from ovsam_pipeline.output.parts import PartWriter
    from ovsam_pipeline.output.plan import Plan


@dataclass(frozen=True)
class Work:
    """One run, as an engine gets it.

    Attributes:
        writer: of the output's parts; on a cluster each worker gets an empty copy.
        report: counts the rows, knows the failure budget.
        stop: once set from outside, the images in hand are finished and committed.
        stats: filled with times and dropped boxes.
    """

    plan: Plan
    writer: PartWriter
    report: RunReport
    stop: StopRequest
    stats: ShardStats


class Engine(Protocol):
    """What labels a plan: this process, or a cluster.

    Attributes:
        facts: known once the engine is open.
    """

    name: str
    facts: RunFacts

    @property
    def accepted_parts(self) -> set[str] | None:
        """File names of the parts that workers reported; None where this process alone writes."""

    def label(self, work: Work) -> RunSummary:
        """Label the plan's images and commit their rows."""
        ...
