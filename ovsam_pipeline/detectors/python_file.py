"""`python:FILE.py`: a user's detector, from a file that defines `build_detector(settings)`.

The file is run as it is: it is the user's own code. Errors in it keep their traceback.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ovsam.errors import ConfigError
from ovsam_pipeline.detectors.base import Detections, Detector, DetectorImage
from ovsam_pipeline.detectors.settings import DetectorSettings

_FUNCTION = "build_detector"
_REQUIRED = ("name", "fingerprint", "class_names", "device", "detect")


def build_python_detector(settings: DetectorSettings) -> Detector:
    """Run the Python file of the argument and return what its `build_detector(settings)` gives.

    Raises a ConfigError where there is no such file, no such function in it, or the result is not
    a detector.
    """
    path = Path(settings.argument).expanduser()
    if path.suffix != ".py" or not path.is_file():
        raise ConfigError(
            f"expected a Python file after --detector python:, got '{settings.argument}', which "
            f"{'is not a .py file' if path.exists() else 'does not exist'}"
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
            f"expected a function {_FUNCTION}(settings) in {path} that returns a detector, got "
            "none; docs/detectors.md has an example"
        )
    detector = build(settings)
    if missing := [name for name in _REQUIRED if not hasattr(detector, name)]:
        raise ConfigError(
            f"expected a detector from {_FUNCTION} of {path}, got {type(detector).__name__} "
            f"without {', '.join(missing)}"
        )
    return detector if isinstance(detector, Detector) else _OwnDetector(detector)


class _OwnDetector(Detector):
    """An object with what is required of a detector, and the defaults for the rest."""

    def __init__(self, own: Any) -> None:
        self._own = own
        self.name, self.fingerprint = own.name, own.fingerprint
        self.class_names, self.device = own.class_names, own.device
        self.licence = getattr(own, "licence", "")

    def detect(self, images: Sequence[DetectorImage]) -> list[Detections]:
        """Find the boxes of a batch; see `Detector.detect`."""
        found: list[Detections] = self._own.detect(images)
        return found
