"""`python:FILE.py`: a detector of one's own, from a file that defines `build_detector(settings)`.

The file is run as it stands: it is the user's own code. What goes wrong in it keeps its traceback.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from ovsam.errors import ConfigError
from ovsam_pipeline.detectors.base import Detector
from ovsam_pipeline.detectors.settings import DetectorSettings

_FUNCTION = "build_detector"


def build_python_detector(settings: DetectorSettings) -> Detector:
    """Run a Python file and return what its `build_detector(settings)` gives.

    Args:
        settings: of the run; `argument` is the file.

    Raises:
        ConfigError: no such file, no such function in it, or a result that is no Detector.
    """
    path = Path(settings.argument).expanduser()
    if path.suffix != ".py" or not path.is_file():
        raise ConfigError(
            f"expected a Python file behind --detector python:, got '{settings.argument}', which "
            f"is {'no .py file' if path.exists() else 'not there'}"
        )
    name = f"ovsam_detector_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickling look modules up there.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    build = getattr(module, _FUNCTION, None)
    if not callable(build):
        raise ConfigError(
            f"expected a function {_FUNCTION}(settings) in {path}, which returns a detector; got "
            "none; docs/detectors.md has an example"
        )
    detector = build(settings)
    if not isinstance(detector, Detector):
        wanted = ("name", "fingerprint", "class_names", "device", "detect")
        missing = ", ".join(item for item in wanted if not hasattr(detector, item))
        raise ConfigError(
            f"expected a detector from {_FUNCTION} of {path}, got {type(detector).__name__} "
            f"without {missing}"
        )
    return detector
