"""Parity tests take minutes: they run when asked for, and stay out of the default run.

Asked for means `-m parity` (or any expression that names it), a path inside this folder, or a
folder of recorded outputs in OVSAM_GOLDEN or OVSAM_GOLDEN_DETECTORS.
"""

import os
from pathlib import Path

import pytest

_HERE = Path(__file__).parent


def _is_asked_for(config: pytest.Config) -> bool:
    if "parity" in config.option.markexpr:
        return True
    if os.environ.get("OVSAM_GOLDEN") or os.environ.get("OVSAM_GOLDEN_DETECTORS"):
        return True
    paths = [Path(argument.split("::")[0]).resolve() for argument in config.args]
    return any(path == _HERE or _HERE in path.parents for path in paths)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if _is_asked_for(config):
        return
    left_out = [item for item in items if item.get_closest_marker("parity")]
    items[:] = [item for item in items if not item.get_closest_marker("parity")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
