"""How images end: why they fail, whether the next run tries them again, and counts of rows.

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
_OTHER_REASONS = "other"
# The sentences of `ovsam.decode` and of sources. The first that fits counts: "expected at most"
# before "expected".
_REASON_CLASSES = {
    **_FAULTS,
    "file not found": "missing",
    "permission denied": "unreadable",
    "cannot be read": "unreadable",
    "file is empty": "damaged",
    "damaged": "damaged",
    "the archive ends": "damaged",
    "the cell holds no image": "damaged",
    "not enough memory": "memory",
    "not an image": "unsupported",
    "expected at most": "too_large",
    "expected an image of": _OTHER_REASONS,  # a relabelling: not the size that was labelled
    "expected": "unsupported",
}
# The bytes of the image are to blame for these alone: it stays failed until its file changes. What
# failed for any other reason, known or not, is tried again by the next run.
_FINAL = frozenset(("damaged", "unsupported", "too_large"))


def classify_reason(reason: str) -> str:
    """Return the class of a failed image's reason; "other" where none is known."""
    for start, name in _REASON_CLASSES.items():
        if reason.startswith(start):
            return name
    return _OTHER_REASONS


def is_transient(reason: str | None) -> bool:
    """Whether a failure is not the image's own: the next run tries again; False for no failure."""
    return reason is not None and classify_reason(reason) not in _FINAL


@dataclass(frozen=True)
class Group:
    """Sentences of one kind: how many, and the first file by name with its sentence."""

    sentence: str
    file_name: str
    count: int


@dataclass
class Reasons:
    """Sentences counted by kind: those that differ in names, numbers and paths are one."""

    groups: dict[str, Group] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.groups)

    def add(self, sentence: str, file_name: str, count: int = 1) -> None:
        """Count a sentence about a file."""
        self._join(find_kind(sentence), Group(sentence, file_name, count))

    def merge(self, other: Reasons) -> None:
        """Add the counts of another one."""
        for kind, group in list(other.groups.items()):
            self._join(kind, group)

    def list_common(self) -> list[Group]:
        """Return the groups, the largest first."""
        return sorted(self.groups.values(), key=lambda group: (-group.count, group.file_name))

    def to_counts(self) -> dict[str, int]:
        """Return the number of each group by its first file's sentence, the largest first."""
        return {group.sentence: group.count for group in self.list_common()}

    def to_examples(self) -> dict[str, str]:
        """Return the first file of each group by its sentence."""
        return {group.sentence: group.file_name for group in self.list_common()}

    def _join(self, kind: str, group: Group) -> None:
        known = self.groups.get(kind)
        if known is not None:
            first = min(known, group, key=lambda one: one.file_name)
            group = Group(first.sentence, first.file_name, known.count + group.count)
        self.groups[kind] = group


@dataclass
class Tally:
    """Counts of some rows: by status, by kind of error and of warning, and of objects.

    Attributes:
        transient: failed rows that the next run tries again (`is_transient`).
    """

    # Not arguments: `RunReport` is a tally too, and its arguments come first.
    statuses: Counter[str] = field(default_factory=Counter, init=False)
    reasons: Reasons = field(default_factory=Reasons, init=False)
    warnings: Reasons = field(default_factory=Reasons, init=False)
    objects: int = field(default=0, init=False)
    transient: int = field(default=0, init=False)

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
        self.count(row.status, len(row.objects), row.error, row.warning, row.file_name)

    def count(
        self,
        status: str,
        num_objects: int,
        error: str | None,
        warning: str | None = None,
        file_name: str = "",
    ) -> None:
        """Count a row given by its columns."""
        self.statuses[status] += 1
        self.objects += num_objects
        if error is not None:
            self.reasons.add(error, file_name)
            self.transient += is_transient(error)
        if warning is not None:
            self.warnings.add(warning, file_name)

    def merge(self, other: Tally) -> None:
        """Add the counts of another tally."""
        self.statuses.update(other.statuses)
        self.reasons.merge(other.reasons)
        self.warnings.merge(other.warnings)
        self.objects += other.objects
        self.transient += other.transient


def count_things(number: int, thing: str) -> str:
    """Return "1 image", "3 images", "2 boxes"."""
    plural = "" if number == 1 else "es" if thing.endswith(("x", "ss")) else "s"
    return f"{number} {thing}{plural}"


def count_are(number: int, thing: str) -> str:
    """Return "1 row is" or "3 rows are"."""
    return f"{count_things(number, thing)} {'is' if number == 1 else 'are'}"


def find_kind(sentence: str) -> str:
    """Return a sentence without what is particular to one image: equal ones are of one kind.

    Only a key: what people see is the whole sentence of one file. So all between the first quote
    and the last may go, whichever quotes these are and whatever a name between them holds.
    """
    return re.sub(r"['\"].*['\"]|\S*/\S*|\d+", "…", sentence, flags=re.DOTALL)[:160]
