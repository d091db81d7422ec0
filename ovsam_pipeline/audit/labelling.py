"""A data set → two outputs of `ovsam label`: what we find, and what we think of its boxes.

Two ordinary runs, so an interrupted audit resumes where it stopped, and `ovsam report` shows them.
The image encoder runs twice; one run with both would have to keep two kinds of boxes apart in
every rule of the labelling.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovsam_pipeline.audit.config import AuditConfig
from ovsam_pipeline.evaluation.datasets import Dataset
from ovsam_pipeline.settings.label import LabelConfig, SharedConfig
from ovsam_pipeline.settings.setting import list_settings

if TYPE_CHECKING:
    from ovsam_pipeline.monitoring.report import RunReport
    from ovsam_pipeline.monitoring.stopping import StopRequest
    from ovsam_pipeline.runs.run import LabelResult

FOUND, ASKED = "found", "asked"
"""Folders of the audit's output with its labels."""


def build_label_config(
    config: AuditConfig, dataset: Dataset, output: Path, kind: str
) -> LabelConfig:
    """Return the settings of the run that finds objects (FOUND), or looks at the boxes (ASKED)."""
    from ovsam.model_facts import is_sam_name

    values: dict[str, Any] = {n: getattr(config, n) for n in list_settings(SharedConfig)}
    if kind == FOUND:
        values |= {"detector": config.detector, "max_det": config.max_det}
    else:
        for name in ("conf", "iou"):  # every annotated box is looked at
            del values[name]
        values["detector"] = f"gt:{dataset.annotations}"
        # The model's own opinion: the annotated name would count as a detector's.
        values["labels"] = "detector" if is_sam_name(config.model) else "model"
    return LabelConfig(
        sources=(str(dataset.annotations),),
        image_root=None if dataset.image_root is None else str(dataset.image_root),
        output=str(output / kind),
        vocabulary=dataset.vocabulary if config.vocabulary == "auto" else config.vocabulary,
        **values,
    )


def label_dataset(
    config: AuditConfig,
    dataset: Dataset,
    output: Path,
    kind: str,
    *,
    stopping: AbstractContextManager[StopRequest] | None = None,
    showing: Callable[[RunReport], AbstractContextManager[None]] | None = None,
    embedding: Callable[[int, int], None] | None = None,
) -> LabelResult:
    """Label a data set into OUTPUT/found or OUTPUT/asked; see `run_label` for the rest."""
    from ovsam_pipeline.runs.api import run_label

    labelling = build_label_config(config, dataset, output, kind)
    return run_label(labelling, stopping=stopping, showing=showing, embedding=embedding)
