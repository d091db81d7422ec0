"""The engine of a run without images to label: it loads nothing and starts no cluster."""

from __future__ import annotations

from ovsam_pipeline.engines.engine import Work
from ovsam_pipeline.labelling.labeller import Outlook
from ovsam_pipeline.monitoring.report import RunSummary


class IdleEngine:
    """An engine that knows what labels depend on and cannot label."""

    accepted_parts: set[str] | None = None

    def __init__(self, outlook: Outlook, name: str) -> None:
        self.outlook, self.facts, self.name = outlook, outlook.facts, name

    def label(self, work: Work) -> RunSummary:
        """See `Engine.label`; the plan must be empty."""
        assert not len(work.plan.images), "nothing is loaded that could label"
        return work.report.conclude(work.stop)
