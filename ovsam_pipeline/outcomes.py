"""How images end: why they fail, and counts of rows by status and reason."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from ovsam_pipeline.records import LabelRecord

INTERNAL_ERROR = "internal error"
MODEL_ERROR = "the networks refused it"
OUT_OF_MEMORY = "out of memory"
WORKER_DIED = "its worker died"
STORAGE_FAILED = "the storage failed"
STORAGE_REFUSED = "the storage refused access"

# What no image is to blame for, at least not every image of a run.
NOT_THE_IMAGE = (
    WORKER_DIED,
    INTERNAL_ERROR,
    MODEL_ERROR,
    OUT_OF_MEMORY,
    STORAGE_FAILED,
    STORAGE_REFUSED,
)

# How reasons begin → a few classes: every class is a time series for ever.
_REASON_CLASSES = (
    ("file not found", "missing"),
    ("permission denied", "unreadable"),
    ("cannot be read", "unreadable"),
    ("file is empty", "damaged"),
    ("damaged", "damaged"),
    ("expected at most", "too_large"),
    ("expected", "unsupported"),
    ("not an image", "unsupported"),
    ("not enough memory", "memory"),
    (WORKER_DIED, "worker"),
    (STORAGE_FAILED, "storage"),
    (STORAGE_REFUSED, "storage"),
    (OUT_OF_MEMORY, "memory"),
    (MODEL_ERROR, "model"),
    (INTERNAL_ERROR, "internal"),
)
_OTHER_REASONS = "other"


def classify_reason(reason: str) -> str:
    """Return the class of a failed image's reason; "other" where none is known."""
    for start, name in _REASON_CLASSES:
        if reason.startswith(start):
            return name
    return _OTHER_REASONS


@dataclass
class Tally:
    """Counts of some rows: of a run, or of a shard that a worker labelled.

    Attributes:
        statuses: rows by status.
        reasons: failed rows by `group_reason` of their errors.
        objects: objects of all rows.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    objects: int = 0

    def add(self, row: LabelRecord) -> None:
        """Count a row."""
        self.count(row.status, len(row.objects), row.error)

    def count(self, status: str, num_objects: int, error: str | None) -> None:
        """Count what a row says."""
        self.statuses[status] += 1
        self.objects += num_objects
        if error is not None:
            self.reasons[group_reason(error)] += 1

    def merge(self, other: Tally) -> None:
        """Count what another one counted."""
        self.statuses.update(other.statuses)
        self.reasons.update(other.reasons)
        self.objects += other.objects


def group_reason(error: str) -> str:
    """Return a reason without what is particular to one image, for counting.

    Numbers, quoted names and paths become "…": the full sentence stands in failures.jsonl.
    """
    short = re.sub(r"'[^']*'|\"[^\"]*\"|\S*/\S*", "…", error)
    short = re.sub(r"\d+", "…", short)
    return short if len(short) <= 160 else f"{short[:159]}…"
