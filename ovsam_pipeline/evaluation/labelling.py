"""A data set → its labels: an evaluation's settings as those of `ovsam label`, and the run.

The predictions are an ordinary output folder, so an interrupted evaluation resumes where it
stopped, and `ovsam report` shows them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovsam.coco_fields import to_id
from ovsam.coco_json import iterate_json
from ovsam_pipeline.evaluation.config import EvalConfig
from ovsam_pipeline.evaluation.datasets import Dataset
from ovsam_pipeline.evaluation.structures import GroundTruth
from ovsam_pipeline.labelling.rules import ALL_CLASSES, PAPER, RELEASED_POINTS, EvaluationRules
from ovsam_pipeline.settings.label import LabelConfig, SharedConfig
from ovsam_pipeline.settings.setting import list_settings
from ovsam_pipeline.sources.coco_file import read_coco_images
from ovsam_pipeline.storage.atomic import replace_file

if TYPE_CHECKING:
    from ovsam_pipeline.monitoring.report import RunReport
    from ovsam_pipeline.monitoring.stopping import StopRequest
    from ovsam_pipeline.runs.run import LabelResult


def build_label_config(
    config: EvalConfig, dataset: Dataset, output: Path, truth: GroundTruth
) -> LabelConfig:
    """Return the settings that label a data set for an evaluation.

    With `limit`, OUTPUT/images.json is written: the first images of the data set without their
    annotations.
    """
    source, image_root = dataset.annotations, dataset.image_root
    if config.limit is not None:
        image_root = Path(str(read_coco_images(source, image_root).root))
        wanted = frozenset(truth.image_ids.tolist())
        source = _write_images(output / "images.json", source, wanted)
    return LabelConfig(
        sources=(str(source),),
        image_root=None if image_root is None else str(image_root),
        output=str(output / "predictions"),
        detector=_choose_detector(config, dataset),
        vocabulary=dataset.vocabulary if config.vocabulary == "auto" else config.vocabulary,
        max_det=truth.max_detections[-1] if config.max_det is None else config.max_det,
        protocol=_choose_rules(config).protocol,
        **{name: getattr(config, name) for name in list_settings(SharedConfig)},
    )


def label_dataset(
    config: EvalConfig,
    dataset: Dataset,
    output: Path,
    truth: GroundTruth,
    *,
    stopping: AbstractContextManager[StopRequest] | None = None,
    showing: Callable[[RunReport], AbstractContextManager[None]] | None = None,
    embedding: Callable[[int, int], None] | None = None,
) -> LabelResult:
    """Label a data set into OUTPUT/predictions; see `run_label` for the rest."""
    from ovsam_pipeline.runs.api import run_label

    labelling = build_label_config(config, dataset, output, truth)
    return run_label(labelling, stopping=stopping, showing=showing, embedding=embedding)


def _choose_detector(config: EvalConfig, dataset: Dataset) -> str:
    if config.prompts == "detector":
        return config.detector
    return f"gt:{dataset.annotations}" + ("#points" if config.prompts == "gt-point" else "")


def _choose_rules(config: EvalConfig) -> EvaluationRules:
    if config.released_points:
        return RELEASED_POINTS
    return ALL_CLASSES if config.split == "none" else PAPER


def _write_images(target: Path, source: Path, wanted: frozenset[int]) -> Path:
    """Write a COCO file that holds only the wanted image entries, unchanged."""
    target.parent.mkdir(parents=True, exist_ok=True)
    images = list(_iterate_images(source, wanted))
    with replace_file(target) as temporary:
        temporary.write_text(json.dumps({"images": images}), encoding="utf-8")
    return target


def _iterate_images(source: Path, wanted: frozenset[int]) -> Iterator[dict[str, Any]]:
    for key, value in iterate_json(source):
        if key == "images[]" and to_id(value["id"]) in wanted:
            yield value
