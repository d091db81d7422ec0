"""What `ovsam eval` can be asked, and presets of it.

Command line and packaged preset ("paper-table-1") or YAML file → `EvalConfig`: frozen, and checked
when made. Loads no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ovsam.errors import ConfigError
from ovsam_pipeline.settings.label import SharedConfig
from ovsam_pipeline.settings.setting import (
    Panel,
    document_settings,
    setting,
    settle_fields,
    settle_values,
)

# How the answers are made; with predictions made before there is nothing to make.
_MAKING = ("prompts", "labels", "model", "detector", "released_points", "conf", "iou", "max_det")
# With those above, all that decides the numbers.
_MEASURING = (
    *("scores", "types", "engine", "area_rule", "class_agnostic", "class_map", "split", "limit"),
    *("vocabulary", "dtype"),
)


@document_settings
@dataclass(frozen=True, kw_only=True)
class EvalConfig(SharedConfig):
    """Everything that `ovsam eval` can be asked.

    Raises:
        ConfigError: a value has the wrong type, is out of range or not among the choices, or two
            contradict each other.
    """

    dataset: str = setting(
        "",
        "coco, lvis, scenes, coco_2017_train, lvis_v1_train, lvis_v1_minival, or a COCO or LVIS "
        "JSON file.",
        panel=Panel.DATA,
    )
    data_root: str | None = setting(
        None,
        "Folder of the named data sets.",
        panel=Panel.DATA,
        shown_default="$OVSAM_DATA, $DETECTRON2_DATASETS, ./datasets",
    )
    image_root: str | None = setting(
        None,
        "Folder or address that the names in COCO JSON files are relative to.",
        panel=Panel.DATA,
        shown_default="looked for around the file",
    )
    predictions: str | None = setting(
        None,
        "Measure these instead of labelling: an output folder of `ovsam label`, or a COCO results "
        "file.",
        panel=Panel.DATA,
    )
    limit: int | None = setting(None, "Only the first images, by id.", panel=Panel.DATA, least=1)
    prompts: Literal["gt-box", "gt-point", "detector"] = setting(
        "gt-box",
        "gt-box or gt-point: IoU and accuracy of each annotation. detector: boxes of --detector, "
        "measured by AP.",
        panel=Panel.MEASURE,
    )
    scores: Literal["stored", "detector", "model", "product"] = setting(
        "stored",
        "What ranks predictions for AP: stored (as in the output), detector, model, or product of "
        "both.",
        panel=Panel.MEASURE,
    )
    types: Literal["auto", "bbox", "segm", "both"] = setting(
        "auto",
        "AP of bbox, segm or both.",
        panel=Panel.MEASURE,
        flags=("--type", "--types"),
        shown_default="what the predictions have",
    )
    engine: Literal["fast", "faster-coco-eval", "reference"] = setting(
        "fast",
        "fast, or the oracles: reference (pycocotools, lvis-api), faster-coco-eval.",
        panel=Panel.MEASURE,
    )
    area_rule: Literal["auto", "box", "mask"] = setting(
        "auto",
        "Area of a prediction for APs/APm/APl: box, mask, or auto: box where predictions have "
        "boxes, as the reference tools.",
        panel=Panel.MEASURE,
    )
    class_agnostic: bool = setting(
        False, "AP and AR without looking at classes.", panel=Panel.MEASURE
    )
    class_map: str | None = setting(
        None, "JSON or YAML file: predicted class name → name in the data set.", panel=Panel.MEASURE
    )
    split: Literal["auto", "only", "none"] = setting(
        "auto",
        "auto: base and novel classes of the data set (COCO 48/17, LVIS rare); only: without "
        "classes in neither set; none.",
        panel=Panel.MEASURE,
    )
    released_points: bool = setting(
        False,
        "With gt-point, give frozen CLIP the annotated boxes, as the released code does.",
        panel=Panel.MEASURE,
    )
    table: Literal["1", "1-points", "2", "3", "4", "5", "6", "7", "8", "9", "10"] | None = setting(
        None, "Table of the paper whose numbers are printed next to these.", panel=Panel.MEASURE
    )
    baseline: str | None = setting(
        None,
        "metrics.json of an earlier run to compare with; exit code 5 on a drop.",
        panel=Panel.COMPARE,
    )
    tolerance: float = setting(
        0.005, "A drop up to this is accepted, as a fraction.", panel=Panel.COMPARE, most=1
    )
    resamples: int = setting(
        200, "Bootstrap resamples of the images.", panel=Panel.COMPARE, least=1
    )
    seed: int = setting(0, "Seed of the bootstrap.", panel=Panel.COMPARE, least=0)
    detector: str = setting(
        "auto",
        "Source of boxes with --prompts detector, as in `ovsam label`.",
        panel=Panel.MODELS,
    )
    vocabulary: str = setting(
        "auto",
        "Class names to choose from, as in `ovsam label`; other names than the data set's are "
        "matched by name and alias.",
        panel=Panel.MODELS,
        shown_default="the data set's",
    )
    # An evaluation keeps far more boxes than labelling: AP counts recall at low scores too.
    conf: float = setting(
        0.001, "Drop boxes with a lower detector score.", panel=Panel.RESULT, most=1
    )
    iou: float = setting(
        1.0,
        "Of two boxes that overlap more, keep the better; 1 keeps all.",
        panel=Panel.RESULT,
        most=1,
    )
    max_det: int | None = setting(
        None, "Most boxes an image.", panel=Panel.RESULT, shown_default="100, LVIS 300", least=1
    )
    output: str | None = setting(
        None,
        "Output folder.",
        panel=Panel.OUTPUT,
        flags=("--output", "-o"),
        shown_default="eval_DATASET here",
    )
    plots: bool = setting(True, "Draw plots.", panel=Panel.OUTPUT, flags=("--plots/--no-plots",))
    worst: int = setting(20, "Draw this many bad instances.", panel=Panel.OUTPUT, least=0)

    def __post_init__(self) -> None:
        if not self.dataset:
            raise ConfigError("expected --dataset: coco, lvis, scenes or a COCO or LVIS file")
        settle_fields(self)
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
        names = _MEASURING if self.predictions is not None else (*_MAKING, *_MEASURING)
        return {name: getattr(self, name) for name in names}


def load_eval_config(protocol_or_file: str | None, given: Mapping[str, Any]) -> EvalConfig:
    """Join a preset and the values given by name; the latter win, None values were not given.

    `protocol_or_file` is the name of a packaged preset ("paper-table-1") or the path of a YAML
    file.

    Raises:
        ConfigError: the preset cannot be read, a name is unknown, or a value cannot work.
    """
    values: dict[str, Any] = {}
    if protocol_or_file:
        from ovsam_pipeline.settings.config_file import read_config_file

        values = read_config_file(protocol_or_file, EvalConfig, "eval")
    not_none = {name: value for name, value in given.items() if value is not None}
    return EvalConfig(**{**values, **settle_values(EvalConfig, not_none)})
