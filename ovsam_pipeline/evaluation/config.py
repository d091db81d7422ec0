"""What an evaluation is asked to do: frozen settings, checked when made, and presets of them.

Input: command-line values and, optionally, a packaged preset ("paper-table-1") or a YAML file
whose keys are the long flag names. Output: an `EvalConfig`. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ovsam.errors import ConfigError
from ovsam_pipeline.settings.checks import (
    check_choice,
    check_fraction,
    check_least,
    check_type,
    read_config_file,
)

_CHOICES: dict[str, tuple[str, ...]] = {
    "prompts": ("gt-box", "gt-point", "detector"),
    "labels": ("model", "detector", "fused"),
    "scores": ("stored", "detector", "model", "product"),
    "types": ("auto", "bbox", "segm", "both"),
    "engine": ("fast", "faster-coco-eval", "reference"),
    "area_rule": ("auto", "box", "mask"),
    "split": ("auto", "only", "none"),
    "table": ("1", "1-points", "2", "3", "4", "5", "6", "7", "8", "9", "10"),
    "dtype": ("auto", "fp32", "bf16", "fp16"),
    "on_existing": ("resume", "overwrite", "error"),
}
_FRACTIONS = ("tolerance", "conf", "iou", "max_failure_rate")
_SMALLEST = {
    "limit": 1,
    "resamples": 1,
    "seed": 0,
    "worst": 0,
    "max_det": 1,
    "batch": 1,
    "workers": 1,
    "num_gpus": 0,
    "num_actors": 1,
    "gpus_per_actor": 0,
    "cpus_per_actor": 1,
    "max_failures": 0,
}
# How the answers are made; with predictions made before there is nothing to make.
_LABELLING = ("prompts", "labels", "model", "detector", "released_points")
_PROTOCOL = (
    "prompts",
    "labels",
    "scores",
    "types",
    "engine",
    "area_rule",
    "class_agnostic",
    "class_map",
    "split",
    "released_points",
    "limit",
    "vocabulary",
    "model",
    "detector",
    "conf",
    "iou",
    "max_det",
    "dtype",
)


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Everything `ovsam eval` can be told; the names are those of the flags.

    Attributes:
        dataset: "coco", "lvis", "scenes" (see `datasets.DATASET_NAMES`), or a COCO or LVIS file.
        data_root: root of the named data sets; None asks the environment, then ./datasets.
        image_root: folder that the names of the images are relative to; None: the data set's.
        output: output folder; None names it after the data set.
        predictions: an output folder of `ovsam label` or a results file; None labels the data set.
        prompts: "gt-box" or "gt-point" (annotations), or "detector".
        labels: whose class names the objects: "model" (OV-SAM), "detector" or "fused".
        scores: what ranks predictions: "stored", "detector", "model", or the "product" of both.
        types: AP of "bbox", "segm", "both", or "auto" for what the predictions have.
        engine: what computes AP: "fast" (ours), "faster-coco-eval", "reference".
        area_rule: which area of a prediction sorts it by size: "box", "mask", "auto".
        class_agnostic: AP of all categories together.
        class_map: file of predicted class name → category of the data set.
        split: "auto" splits classes into base and novel where the vocabulary does; "only" also
            leaves out classes in neither set, and images without any other; "none".
        released_points: give frozen CLIP the annotated box with "gt-point", as the release does.
        limit: only the first images, by id.
        table: number of the paper's table to print beside: "1", "1-points", "2", …
        baseline: metrics.json of an earlier run to compare with.
        tolerance: a drop up to this is accepted, in [0, 1].
        resamples: bootstrap resamples of the images.
        seed: of the bootstrap.
        plots: whether to draw plots.
        worst: how many of the worst instances to draw.
        model: name or path of the weights; "auto" as in `ovsam label`.
        detector: source of boxes with prompts "detector"; "auto" as in `ovsam label`.
        vocabulary: name or path; "auto" is the data set's.
        conf: detections scoring less are dropped, in [0, 1].
        iou: of two boxes or masks that overlap more, the lower-scoring one is dropped; 1 keeps all.
        max_det: most detections kept an image; None: what the data set's rules look at.
        dtype: as in `ovsam label`.
        device: as in `ovsam label`.
        batch: as in `ovsam label`.
        workers: as in `ovsam label`.
        address: as in `ovsam label`, for labelling; so are the next four.
        num_gpus: most GPUs to use.
        num_actors: most workers.
        gpus_per_actor: GPUs that a worker holds.
        cpus_per_actor: CPUs that a worker holds.
        on_existing: what to do with predictions already in the output folder.
        retry_failed: label images again that failed in an earlier run.
        max_failures: labelling stops when more images than this fail; None never stops.
        max_failure_rate: the same as a fraction of the images, in [0, 1].
    """

    dataset: str
    data_root: str | None = None
    image_root: str | None = None
    output: str | None = None
    predictions: str | None = None
    prompts: str = "gt-box"
    labels: str = "model"
    scores: str = "stored"
    types: str = "auto"
    engine: str = "fast"
    area_rule: str = "auto"
    class_agnostic: bool = False
    class_map: str | None = None
    split: str = "auto"
    released_points: bool = False
    limit: int | None = None
    table: str | None = None
    baseline: str | None = None
    tolerance: float = 0.005
    resamples: int = 200
    seed: int = 0
    plots: bool = True
    worst: int = 20
    model: str = "auto"
    detector: str = "auto"
    vocabulary: str = "auto"
    conf: float = 0.001
    iou: float = 1.0
    max_det: int | None = None
    dtype: str = "auto"
    device: str = "auto"
    batch: int | None = None
    workers: int | None = None
    address: str | None = None
    num_gpus: int | None = None
    num_actors: int | None = None
    gpus_per_actor: float | None = None
    cpus_per_actor: int | None = None
    on_existing: str = "resume"
    retry_failed: bool = False
    max_failures: int | None = None
    max_failure_rate: float | None = None

    def __post_init__(self) -> None:
        """Refuse values that cannot work, naming the setting.

        Raises:
            ConfigError: a value has the wrong type, is out of range or names no known choice, or
                two contradict each other.
        """
        if not self.dataset:
            raise ConfigError("expected --dataset: coco, lvis, scenes or a COCO or LVIS file")
        for field in fields(self):
            check_type(field.name, getattr(self, field.name), str(field.type))
        for name, choices in _CHOICES.items():
            if getattr(self, name) is not None:
                check_choice(name, getattr(self, name), choices)
        for name in _FRACTIONS:
            check_fraction(name, getattr(self, name))
        for name, smallest in _SMALLEST.items():
            check_least(name, getattr(self, name), smallest)
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.detector.startswith("gt:"):
            raise ConfigError(
                "--prompts gt-box and --prompts gt-point take the data set's annotations as "
                f"prompts; give one of them instead of --detector {self.detector}"
            )
        if self.prompts != "detector" and self.detector != "auto":
            raise ConfigError(
                f"--detector {self.detector} gives the prompts only with --prompts detector, got "
                f"--prompts {self.prompts}"
            )
        if self.released_points and (self.prompts != "gt-point" or self.split == "none"):
            raise ConfigError(
                "--released-points is the release's protocol for --prompts gt-point with the "
                f"base/novel split, got --prompts {self.prompts} --split {self.split}"
            )
        if self.class_agnostic and self.table is not None:
            raise ConfigError(
                f"table {self.table} of the paper looks at classes; leave --class-agnostic out"
            )

    def describe_protocol(self) -> dict[str, Any]:
        """Return the settings that decide the numbers, for metrics.json.

        With predictions made before, how those were made is not among them.
        """
        left_out = () if self.predictions is None else (*_LABELLING, "conf", "iou", "max_det")
        values = self.to_dict()
        return {name: values[name] for name in _PROTOCOL if name not in left_out}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that YAML and JSON can hold."""
        return asdict(self)


def load_eval_config(protocol_or_file: str | None, given: Mapping[str, Any]) -> EvalConfig:
    """Join a preset and the values given on the command line; the latter win.

    Args:
        protocol_or_file: name of a packaged preset ("paper-table-1"), or the path of a YAML file;
            None for none.
        given: settings by name; None values were not given.

    Raises:
        ConfigError: the preset cannot be read, has an unknown key, or a value cannot work.
    """
    known = {field.name for field in fields(EvalConfig)}
    values = read_config_file(protocol_or_file, known, "eval") if protocol_or_file else {}
    values.update({name: value for name, value in given.items() if value is not None})
    values.setdefault("dataset", "")
    return EvalConfig(**values)
