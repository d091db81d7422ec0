"""A run's settings → a labeller that stops at the boxes, for `ovsam detect`.

All boxes that the detector gives are kept, duplicates too: `ovsam label --detector boxes:OUT`
drops them by its own `--conf`, `--iou` and `--max-det`, as it does with those of the detector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ovsam_pipeline.detectors.base import Detector
from ovsam_pipeline.detectors.build import find_family
from ovsam_pipeline.labelling.labeller import (
    Labeller,
    build_run_detector,
    choose_pace,
    load_run_model,
    resolve_machine,
)
from ovsam_pipeline.labelling.provenance import describe_detector
from ovsam_pipeline.settings.label import LabelConfig

# Raise it when a change of code changes boxes: outputs made before are then not continued.
_BOXES_VERSION = 1


def build_box_finder(
    config: LabelConfig, embedding: Callable[[int, int], None] | None = None
) -> Labeller:
    """Load the detector that the settings name.

    Args:
        config: the settings; those of masks and labels are not looked at.
        embedding: as in `build_labeller`; no vocabulary is embedded here.

    Raises:
        ConfigError: an unknown name, or settings that contradict each other.
        OvsamError: the detector's weights, files or class names cannot be used.
    """
    del embedding
    config = resolve_machine(config)
    model = None
    if config.detector == "auto":
        # The one that `ovsam label` would take: it depends on the model.
        config, model = load_run_model(config)
    config, detector = build_run_detector(config, model)
    return Labeller(
        predictor=None,
        detector=detector,
        rules=None,
        input_size=0,
        **choose_pace(config),
        depends_on=_describe(config, detector),
        provenance={
            "task": "detect",
            "detector": describe_detector(detector),
            "class_names": None if detector.class_names is None else list(detector.class_names),
        },
        config=config,
    )


def _describe(config: LabelConfig, detector: Detector) -> dict[str, Any]:
    return {
        "task": "detect",
        "detector": find_family(config.detector),
        "conf": config.conf,
        "max_det": config.max_det,
        "dtype": config.dtype,
        "detector_hash": detector.fingerprint,
        "boxes_version": _BOXES_VERSION,
    }
