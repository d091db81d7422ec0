"""The settings as keyword arguments of the Python API: what an editor completes and checks.

Only types: defaults, limits and help are those of `LabelConfig` and `EvalConfig`, whose fields
these are (a test compares them).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

from ovsam_pipeline.settings.label import Dtype, Labels

FileName = str | Path


class SharedKeywords(TypedDict, total=False):
    """Settings of `label`, `detect` and `evaluate`."""

    max_pixels: int
    model: FileName
    labels: Labels
    conf: float
    iou: float
    min_match: float
    device: str
    dtype: Dtype
    batch: int | None
    workers: int | None
    address: str | None
    num_gpus: int | None
    num_actors: int | None
    gpus_per_actor: float | None
    cpus_per_actor: int | None
    on_existing: Literal["resume", "overwrite", "error"]
    retry_failed: bool
    max_failures: int | None
    max_failure_rate: float | None
    image_root: FileName | None
    detector: str
    vocabulary: FileName
    class_map: FileName | None
    max_det: int


class LabelKeywords(SharedKeywords, total=False):
    """Settings of `label` and `detect`."""

    exclude: Sequence[str]
    min_score: float
    below: Literal["drop", "other"]
    relabel: FileName | None
    classes: str | Sequence[str]
    allow_unmatched: bool
    compile: bool
    engine: Literal["auto", "local", "ray"]
    image_timeout: float
    prune: bool
    time_limit: float | str | None
    metrics_file: FileName | None
    preview: int
    part_images: int | None
    part_seconds: float | None


class EvalKeywords(SharedKeywords, total=False):
    """Settings of `evaluate`."""

    predictions: FileName | None
    ignore_reviews: bool
    data_root: FileName | None
    limit: int | None
    prompts: Literal["gt-box", "gt-point", "detector"]
    scores: Literal["stored", "detector", "model", "product"]
    types: Literal["auto", "bbox", "segm", "both"]
    engine: Literal["fast", "faster-coco-eval", "reference"]
    area_rule: Literal["auto", "box", "mask"]
    class_agnostic: bool
    split: Literal["auto", "only", "none"]
    released_points: bool
    table: Literal["1", "1-points", "2", "3", "4", "5", "6", "7", "8", "9", "10"] | None
    baseline: FileName | None
    tolerance: float
    resamples: int
    seed: int
    output: FileName | None
    plots: bool
    worst: int


class AuditKeywords(SharedKeywords, total=False):
    """Settings of `audit`."""

    predictions: FileName | None
    asked: FileName | None
    least: float
    worst: int
    corrected: FileName | None
    correct_from: float
    output: FileName | None
