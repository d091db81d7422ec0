"""How images end: why they fail, and counts of rows by status and reason.

Reasons are stored in rows and in failures.jsonl; they begin with one of the texts below.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from ovsam_pipeline.records import LabelRecord

STORAGE_FAILED = "the storage failed"
STORAGE_REFUSED = "the storage refused access"
OUT_OF_MEMORY = "out of memory"
MODEL_ERROR = "the networks refused it"
INTERNAL_ERROR = "internal error"
WORKER_DIED = "its worker died"

# How reasons begin → a class for metrics: few, as a monitoring system keeps each as a time series
# for ever. The image is not to blame for these, at least not every image of a run.
_FAULTS = {
    STORAGE_FAILED: "storage",
    STORAGE_REFUSED: "storage",
    OUT_OF_MEMORY: "memory",
    MODEL_ERROR: "model",
    INTERNAL_ERROR: "internal",
    WORKER_DIED: "worker",
}
NOT_THE_IMAGE = tuple(_FAULTS)
# The sentences of `ovsam.decode`. The first that fits counts: "expected at most" before "expected".
_REASON_CLASSES = {
    **_FAULTS,
    "file not found": "missing",
    "permission denied": "unreadable",
    "cannot be read": "unreadable",
    "file is empty": "damaged",
    "damaged": "damaged",
    "not enough memory": "memory",
    "not an image": "unsupported",
    "expected at most": "too_large",
    "expected": "unsupported",
}
_OTHER_REASONS = "other"


def classify_reason(reason: str) -> str:
    """Return the class of a failed image's reason; "other" where none is known."""
    for start, name in _REASON_CLASSES.items():
        if reason.startswith(start):
            return name
    return _OTHER_REASONS


@dataclass
class Tally:
    """Counts of some rows: by status, by `group_reason` of errors and warnings, and of objects."""

    # Not arguments: `RunReport` is a tally too, and its arguments come first.
    statuses: Counter[str] = field(default_factory=Counter, init=False)
    reasons: Counter[str] = field(default_factory=Counter, init=False)
    warnings: Counter[str] = field(default_factory=Counter, init=False)
    objects: int = field(default=0, init=False)

    @property
    def done(self) -> int:
        """Number of rows."""
        return self.statuses.total()

    @property
    def failed(self) -> int:
        """Number of failed rows."""
        return self.statuses["failed"]

    def add(self, row: LabelRecord) -> None:
        """Count a row."""
        self.count(row.status, len(row.objects), row.error, row.warning)

    def count(
        self, status: str, num_objects: int, error: str | None, warning: str | None = None
    ) -> None:
        """Count a row given by its columns."""
        self.statuses[status] += 1
        self.objects += num_objects
        if error is not None:
            self.reasons[group_reason(error)] += 1
        if warning is not None:
            self.warnings[group_reason(warning)] += 1

    def merge(self, other: Tally) -> None:
        """Add the counts of another tally."""
        self.statuses.update(other.statuses)
        self.reasons.update(other.reasons)
        self.warnings.update(other.warnings)
        self.objects += other.objects


def group_reason(error: str) -> str:
    """Return a reason without what is particular to one image, for counting.

    Numbers, quoted names and paths become "…": the full sentence is in failures.jsonl.
    """
    short = re.sub(r"'[^']*'|\"[^\"]*\"|\S*/\S*", "…", error)
    short = re.sub(r"\d+", "…", short)
    return short if len(short) <= 160 else f"{short[:159]}…"
