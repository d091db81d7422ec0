"""What `ovsam audit` can be asked: frozen, and checked when made. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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

# What cannot change labels that were made before.
_WITHOUT_EFFECT = ("model", "labels", "detector", "vocabulary", "conf", "iou", "max_det", "dtype")


@document_settings
@dataclass(frozen=True, kw_only=True)
class AuditConfig(SharedConfig):
    """Everything that `ovsam audit` can be asked.

    Raises:
        ConfigError: a value has the wrong type, is out of range or not among the choices, or two
            contradict each other.
    """

    dataset: tuple[str, ...] = setting(
        (),
        Panel.DATA,
        "The data set: a COCO or LVIS JSON file. It is only read.",
        flags=("DATASET",),
        parse=lambda _, text: (text,),
    )
    predictions: str | None = setting(
        None,
        Panel.DATA,
        "Compare with these instead of labelling: an output folder of `ovsam label`, best made "
        "with --conf 0.05, or a COCO results file.",
        metavar="OUT",
    )
    asked: str | None = setting(
        None,
        Panel.DATA,
        "With --predictions: an output of `ovsam label` with --detector gt:DATASET, which is what "
        "the model thinks of every annotated box.",
        metavar="OUT",
    )
    image_root: str | None = setting(
        None,
        Panel.DATA,
        "Folder that the names of the images are relative to.",
        metavar="DIR",
        shown="found beside the file",
    )
    class_map: str | None = setting(
        None,
        Panel.DATA,
        "JSON or YAML file: our class name → name in the data set.",
        metavar="FILE",
    )
    detector: str = setting(
        "auto",
        Panel.MODELS,
        "Source of boxes, as in `ovsam label`.",
        metavar="NAME",
    )
    vocabulary: str = setting(
        "auto",
        Panel.MODELS,
        "Class names to choose from, as in `ovsam label`.",
        metavar="NAME",
        shown="the data set's",
    )
    # Lower than for labelling: an annotation is doubtful only where nothing at all supports it.
    conf: float = setting(0.05, Panel.RESULT, "Drop boxes with a lower detector score.", most=1)
    max_det: int = setting(300, Panel.RESULT, "Most boxes of ours per image.", least=1)
    least: float = setting(
        0.1,
        Panel.RESULT,
        "List findings whose suspicion is at least this; 0 lists every annotation.",
        most=1,
    )
    worst: int = setting(20, Panel.OUTPUT, "Draw this many of the worst findings.", least=0)
    corrected: str | None = setting(
        None,
        Panel.OUTPUT,
        "Write a copy of the data set with our suggestions of --correct-from and more put in: a "
        "new .json file.",
        metavar="FILE",
    )
    correct_from: float = setting(
        0.9, Panel.OUTPUT, "Least suspicion that --corrected acts on.", most=1
    )
    output: str | None = setting(
        None,
        Panel.OUTPUT,
        "Output folder.",
        flags=("--output", "-o"),
        metavar="DIR",
        shown="audit_DATASET in the working folder",
    )

    def __post_init__(self) -> None:
        settle_fields(self)
        if len(self.dataset) != 1:
            raise ConfigError(
                f"expected one DATASET, a COCO or LVIS file, got {len(self.dataset) or 'none'}"
            )
        if self.asked is not None and self.predictions is None:
            raise ConfigError(
                "--asked goes with --predictions; without them, both are made here: leave it out"
            )
        if self.detector.startswith("gt:"):
            raise ConfigError(
                "the annotated boxes are asked about in any case; --detector is what finds objects "
                f"without them, got {self.detector}"
            )
        if self.correct_from < self.least:
            raise ConfigError(
                f"expected --correct-from of at least --least, {self.least:g}, got "
                f"{self.correct_from:g}"
            )


def load_audit_config(given: Mapping[str, Any]) -> AuditConfig:
    """Return the settings of values given by name; None values were not given.

    Raises:
        ConfigError: a name is unknown, or a value cannot work.
    """
    not_none = {name: value for name, value in given.items() if value is not None}
    dataset = not_none.get("dataset")
    if isinstance(dataset, list):
        not_none["dataset"] = tuple(dataset)
    if not_none.get("predictions") is not None:
        for name in _WITHOUT_EFFECT:
            if name in not_none:
                raise ConfigError(
                    f"{list_settings(AuditConfig)[name].flag} decides how labels are made, and "
                    "those of --predictions are there; leave one of the two out"
                )
    return AuditConfig(**settle_values(AuditConfig, not_none))
