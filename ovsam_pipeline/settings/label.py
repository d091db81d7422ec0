"""What a run is asked to do: frozen settings, checked when made, and their strict YAML form.

Input: command-line values and, optionally, one YAML file (`--config`), whose keys are the long
flag names. Output: a `LabelConfig`. Nothing here imports torch or reads an image.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from ovsam.errors import ConfigError
from ovsam_pipeline.settings.checks import (
    check_choice,
    check_fraction,
    check_least,
    check_type,
    flag,
)

_CHOICES: dict[str, tuple[str, ...]] = {
    "labels": ("model", "detector", "fused"),
    "engine": ("auto", "local", "ray"),
    "dtype": ("auto", "fp32", "bf16", "fp16"),
    "on_existing": ("resume", "overwrite", "error"),
    "protocol": ("label", "evaluate", "evaluate-all-classes", "evaluate-released-points"),
}
_FRACTIONS = ("conf", "iou", "max_failure_rate")
_SMALLEST = {
    "max_det": 1,
    "batch": 1,
    "workers": 1,
    "part_images": 1,
    "num_gpus": 0,
    "num_actors": 1,
    "gpus_per_actor": 0,
    "cpus_per_actor": 1,
    "max_failures": 0,
    "preview": 0,
}
_ABOVE_ZERO = ("part_seconds", "image_timeout", "time_limit")
_OF_A_CLUSTER = ("address", "num_gpus", "num_actors", "gpus_per_actor", "cpus_per_actor")


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """Everything `ovsam label` can be told; the names are those of the flags.

    Attributes:
        sources: folders, globs, image files, list files, COCO/LVIS JSON files.
        image_root: folder that the names in COCO JSON files are relative to; None looks around.
        output: output folder; None puts it beside the first source.
        model: name or path of the weights; "auto" takes the best ones in the cache, else nano.
        detector: source of boxes; "auto" takes the best one in the cache, else nano's.
        vocabulary: name or path; "auto" is nano's own words with nano, the detector's names where
            it names the objects, else lvis.
        classes: only these names come out; () keeps all.
        labels: whose class names the objects: "model" (OV-SAM), "detector", or "fused" (both).
        class_map: YAML or JSON file, detector's class name → vocabulary's class name.
        relabel: an output folder whose masks and boxes are kept and get new labels; its sources,
            model and vocabulary stand in for those that are not given.
        allow_unmatched: whether the detector may have classes that the vocabulary lacks where it
            has a say in names; OV-SAM alone names their boxes.
        conf: detections scoring less are dropped, in [0, 1].
        iou: of two boxes, then of two masks, that overlap more than this, the lower-scoring one is
            dropped, in [0, 1].
        max_det: most detections kept an image.
        dtype: "fp32", "bf16", "fp16", or "auto" for what the device is fastest and exact enough at.
        device: "auto", "cpu", "cuda", "cuda:1".
        compile: whether the detector's body goes through torch.compile (Detic, ViTDet, Faster
            R-CNN): minutes at the start, faster afterwards.
        batch: images the networks see together; None is 1 on a CPU and 8 on a GPU.
        workers: threads that decode images; None asks the machine.
        engine: "local", "ray", or "auto": ray where a cluster is named or this machine has several
            GPUs.
        address: address of a Ray cluster; None takes RAY_ADDRESS, else starts one on this machine.
        num_gpus: most GPUs to use on a Ray cluster; None takes all.
        num_actors: most workers on a Ray cluster; None is one a GPU, or what the CPUs hold.
        gpus_per_actor: GPUs that a worker holds, may be a fraction; None is 1 where there are GPUs.
        cpus_per_actor: CPUs that a worker holds; None is 2 without GPUs, 1 with.
        image_timeout: seconds after which a worker that finished no image counts as hung.
        on_existing: what to do with results already in the output folder.
        retry_failed: label images again that failed in an earlier run; with an output folder as
            the only source, those alone, by that folder's own sources and settings.
        prune: remove the rows of images that are no longer in the sources.
        time_limit: seconds after which the run stops in good order; None for no limit.
        max_failures: the run stops when more images than this fail; None never stops.
        max_failure_rate: the same as a fraction of the images to label, in [0, 1].
        metrics_file: Prometheus text file with the counts of the run, for a node exporter.
        preview: how many pictures with masks and names to draw.
        part_images: most images in one Parquet part; None is 64, more in runs of a million images.
        part_seconds: a part is written after this time even when it is not full; None is 10, 60 in
            runs of 100,000 images.
        protocol: "label", or as an evaluation labels: "evaluate" keeps objects with an empty mask
            and never chooses a class outside the vocabulary's base/novel split,
            "evaluate-all-classes" keeps the former only, "evaluate-released-points" is "evaluate"
            with the detector's boxes given to frozen CLIP.
        only_failed: leave new and changed images alone, as `--retry-failed OUT` does.
    """

    sources: tuple[str, ...]
    image_root: str | None = None
    output: str | None = None
    model: str = "auto"
    detector: str = "auto"
    vocabulary: str = "auto"
    classes: tuple[str, ...] = ()
    labels: str = "model"
    class_map: str | None = None
    allow_unmatched: bool = False
    relabel: str | None = None
    conf: float = 0.25
    iou: float = 0.5
    max_det: int = 300
    dtype: str = "auto"
    device: str = "auto"
    compile: bool = False
    batch: int | None = None
    workers: int | None = None
    engine: str = "auto"
    address: str | None = None
    num_gpus: int | None = None
    num_actors: int | None = None
    gpus_per_actor: float | None = None
    cpus_per_actor: int | None = None
    image_timeout: float = 600.0
    on_existing: str = "resume"
    retry_failed: bool = False
    prune: bool = False
    time_limit: float | None = None
    max_failures: int | None = None
    max_failure_rate: float | None = None
    metrics_file: str | None = None
    preview: int = 0
    part_images: int | None = None
    part_seconds: float | None = None
    protocol: str = "label"
    only_failed: bool = False

    def __post_init__(self) -> None:
        """Refuse values that cannot work, naming the setting.

        Raises:
            ConfigError: a value has the wrong type, is out of range, or names no known choice.
        """
        for field in fields(self):
            check_type(field.name, getattr(self, field.name), str(field.type))
        if not all(self.sources) or not (self.sources or self.relabel):
            raise ConfigError("expected at least one source (folder, glob, list or COCO JSON)")
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        for name in _FRACTIONS:
            check_fraction(name, getattr(self, name))
        for name, smallest in _SMALLEST.items():
            check_least(name, getattr(self, name), smallest)
        for name in _ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"expected {flag(name)} above 0, got {value}")
        self._check_engine()

    def _check_engine(self) -> None:
        given = [flag(name) for name in _OF_A_CLUSTER if getattr(self, name) is not None]
        if given and self.engine == "local":
            raise ConfigError(
                f"{given[0]} is of a Ray cluster, and --engine local labels in this process; leave "
                "one of them out"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that YAML and JSON can hold."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
