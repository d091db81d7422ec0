"""What a run must know of its labels: small, and the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ovsam_pipeline.settings.label import LabelConfig


@dataclass(frozen=True)
class RunFacts:
    """What a run's labels depend on, and what stands in its run.json.

    Attributes:
        fingerprint: hash of everything that changes labels.
        depends_on: the same in words.
        provenance: more facts for run.json.
        categories: COCO categories of the classes that may come out.
        config: the settings with every "auto" resolved.
        has_labels: whether there are masks and labels; else boxes alone.
    """

    fingerprint: str
    depends_on: Mapping[str, Any]
    provenance: Mapping[str, Any]
    categories: list[dict[str, Any]]
    config: LabelConfig
    has_labels: bool
