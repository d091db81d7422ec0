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
    list_settings,
    setting,
    settle_fields,
    settle_values,
)

# How the answers are made; with predictions made before there is nothing to make.
_MAKING = ("prompts", "labels", "model", "detector", "released_points", "conf", "iou")
# With those above, all that decides the numbers.
_MEASURING = (
    *("scores", "types", "engine", "area_rule", "class_agnostic", "class_map", "split", "limit"),
    *("max_det", "vocabulary", "dtype"),
)
# What --predictions leaves without an effect.
_WITHOUT_EFFECT = (*_MAKING, "vocabulary", "dtype")


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
        Panel.DATA,
        "coco, lvis, scenes, coco_2017_train, lvis_v1_train, lvis_v1_minival, or a COCO or LVIS "
        "JSON file.",
        metavar="NAME",
        more="See [below](#data-sets).",
    )
    predictions: str | None = setting(
        None,
        Panel.DATA,
        "Measure these instead of labelling: an output folder of `ovsam label` or `ovsam detect`, "
        "or a COCO results file.",
        metavar="OUT",
    )
    ignore_reviews: bool = setting(
        False,
        Panel.DATA,
        "Measure the model's labels also where people corrected them (`ovsam review`).",
        more="Without it an output is measured as it would be exported.",
    )
    data_root: str | None = setting(
        None,
        Panel.DATA,
        "Folder of the named data sets.",
        metavar="DIR",
        shown="$OVSAM_DATA, $DETECTRON2_DATASETS, ./datasets",
    )
    image_root: str | None = setting(
        None,
        Panel.DATA,
        "Folder that the names of the images are relative to.",
        metavar="DIR",
        shown="the data set's, or found beside the file",
    )
    limit: int | None = setting(None, Panel.DATA, "Only the first images, by id.", least=1)
    prompts: Literal["gt-box", "gt-point", "detector"] = setting(
        "gt-box",
        Panel.MEASURE,
        "gt-box or gt-point: IoU and accuracy of each annotation. detector: AP of the boxes of "
        "--detector.",
        more="See [below](#protocols).",
    )
    scores: Literal["stored", "detector", "model", "product"] = setting(
        "stored",
        Panel.MEASURE,
        "What ranks predictions for AP: stored (as in the output), detector, model, or the "
        "product of both.",
    )
    types: Literal["auto", "bbox", "segm", "both"] = setting(
        "auto",
        Panel.MEASURE,
        "AP of boxes, masks or both. auto: what the predictions have.",
        flags=("--type", "--types"),
    )
    # --engine is the older name; for `ovsam label` it means local or ray.
    engine: Literal["fast", "faster-coco-eval", "reference"] = setting(
        "fast",
        Panel.MEASURE,
        "What computes AP: fast, or the oracles faster-coco-eval and reference (pycocotools, "
        "lvis-api).",
        flags=("--ap-engine", "--engine"),
        more="See [below](#exactness).",
    )
    area_rule: Literal["auto", "box", "mask"] = setting(
        "auto",
        Panel.MEASURE,
        "Area of a prediction for APs/APm/APl. auto: of the box where predictions have boxes, as "
        "the reference tools.",
    )
    class_agnostic: bool = setting(False, Panel.MEASURE, "AP and AR without looking at classes.")
    class_map: str | None = setting(
        None,
        Panel.MEASURE,
        "JSON or YAML file: predicted class name → name in the data set.",
        metavar="FILE",
    )
    split: Literal["auto", "only", "none"] = setting(
        "auto",
        Panel.MEASURE,
        "auto: base and novel classes of the data set (COCO 48/17, LVIS rare). only: without "
        "classes in neither set. none: no split.",
    )
    released_points: bool = setting(
        False,
        Panel.MEASURE,
        "With gt-point, give frozen CLIP the annotated boxes, as the released code does.",
    )
    table: Literal["1", "1-points", "2", "3", "4", "5", "6", "7", "8", "9", "10"] | None = setting(
        None, Panel.MEASURE, "Table of the paper to print next to the numbers."
    )
    baseline: str | None = setting(
        None,
        Panel.COMPARE,
        "Folder, or its metrics.json, of an earlier run to compare with; exit code 5 on a drop.",
        metavar="OUT",
        more="See [below](#compare-with-an-earlier-run).",
    )
    tolerance: float = setting(0.005, Panel.COMPARE, "Accept a drop up to this fraction.", most=1)
    resamples: int = setting(200, Panel.COMPARE, "Bootstrap resamples of the images.", least=1)
    seed: int = setting(0, Panel.COMPARE, "Seed of the bootstrap.", least=0)
    detector: str = setting(
        "auto",
        Panel.MODELS,
        "Source of boxes with --prompts detector, as in `ovsam label`.",
        metavar="NAME",
    )
    vocabulary: str = setting(
        "auto",
        Panel.MODELS,
        "Class names to choose from, as in `ovsam label`; other names than the data set's are "
        "matched by name and alias.",
        metavar="NAME",
        shown="the data set's",
    )
    # Far lower than for labelling: AP also counts what is found at low scores.
    conf: float = setting(0.001, Panel.RESULT, "Drop boxes with a lower detector score.", most=1)
    iou: float = setting(
        1.0, Panel.RESULT, "Of two boxes that overlap more, keep the better; 1 keeps all.", most=1
    )
    max_det: int | None = setting(
        None,
        Panel.RESULT,
        "Most boxes per image; and most predictions that count, of an image and class (LVIS: of an "
        "image).",
        shown="100, LVIS 300",
        least=1,
    )
    output: str | None = setting(
        None,
        Panel.OUTPUT,
        "Output folder.",
        flags=("--output", "-o"),
        metavar="DIR",
        shown="eval_DATASET in the working folder",
    )
    plots: bool = setting(True, Panel.OUTPUT, "Draw plots.", flags=("--plots/--no-plots",))
    worst: int = setting(20, Panel.OUTPUT, "Draw this many of the worst instances.", least=0)

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
        values = {name: getattr(self, name) for name in names}
        if values.get("labels") == "auto":
            # What it means in an evaluation, as in metrics.json made before there was an "auto".
            from ovsam.model_facts import is_sam_name

            values["labels"] = "detector" if is_sam_name(self.model) else "model"
        return values


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
    _refuse_without_effect({**values, **not_none}, not_none)
    return EvalConfig(**{**values, **settle_values(EvalConfig, not_none)})


def _refuse_without_effect(values: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse what was typed and cannot change predictions that were made before."""
    if values.get("predictions") is None:
        return
    for name in _WITHOUT_EFFECT:
        if name in given:
            flag = list_settings(EvalConfig)[name].flag
            raise ConfigError(
                f"{flag} decides how labels are made, and those of --predictions are there; leave "
                "it out, or leave --predictions out to make labels"
            )
