"""The tool around the model: images → boxes → masks and labels → Parquet and COCO.

    import ovsam_pipeline
    result = ovsam_pipeline.label("images/", output="labels/")
    rows = ovsam_pipeline.read("labels/", masks=True)
    result = ovsam_pipeline.detect("images/", output="boxes/", detector="detic", conf=0.05)
    result = ovsam_pipeline.evaluate("annotations.json", predictions="labels/")

Names are loaded when used: importing the package, or asking `ovsam --help`, loads no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names for type checkers, which do not run `__getattr__`
    from ovsam_pipeline.evaluation.config import EvalConfig as EvalConfig
    from ovsam_pipeline.evaluation.run import EvalResult as EvalResult
    from ovsam_pipeline.evaluation.run import evaluate as evaluate
    from ovsam_pipeline.runs.api import detect as detect
    from ovsam_pipeline.runs.api import label as label
    from ovsam_pipeline.runs.api import read as read
    from ovsam_pipeline.runs.run import LabelResult as LabelResult
    from ovsam_pipeline.settings.label import LabelConfig as LabelConfig

_HOME_OF = {
    "EvalConfig": "evaluation.config",
    "EvalResult": "evaluation.run",
    "evaluate": "evaluation.run",
    "LabelConfig": "settings.label",
    "LabelResult": "runs.run",
    "detect": "runs.api",
    "label": "runs.api",
    "read": "runs.api",
}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ovsam_pipeline' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ovsam_pipeline.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
