"""The tool around the model: images → boxes → masks and labels → Parquet and COCO.

    import ovsam_pipeline
    result = ovsam_pipeline.label("images/", output="labels/")
    result = ovsam_pipeline.detect("images/", output="boxes/", detector="detic", conf=0.05)
    result = ovsam_pipeline.evaluate("annotations.json", predictions="labels/")

Names are loaded when used: importing the package, or asking `ovsam --help`, loads no torch.
"""

from typing import Any

__all__ = ["EvalConfig", "EvalResult", "LabelConfig", "LabelResult", "detect", "evaluate", "label"]

_HOMES = {
    "EvalConfig": "ovsam_pipeline.evaluation.config",
    "EvalResult": "ovsam_pipeline.evaluation.run",
    "LabelConfig": "ovsam_pipeline.settings.label",
    "LabelResult": "ovsam_pipeline.runs.api",
    "detect": "ovsam_pipeline.runs.api",
    "evaluate": "ovsam_pipeline.evaluation.run",
    "label": "ovsam_pipeline.runs.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ovsam_pipeline' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
