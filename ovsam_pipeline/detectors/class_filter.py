"""Keep the boxes of some classes of a detector, by name (`--classes` where the detector names)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import numpy as np

from ovsam.errors import ConfigError
from ovsam_pipeline.detectors.base import Detections


def filter_classes(detections: Detections, names: frozenset[str]) -> Detections:
    """Return the detections whose class is among `names`; all of them without classes."""
    if detections.category_names is None:
        return detections
    kept = [index for index, name in enumerate(detections.category_names) if name in names]
    return detections.select(np.array(kept, np.int64))


def match_class_names(asked: Iterable[str], known: Sequence[str]) -> frozenset[str]:
    """Return the names of `known` that were asked for; case, "_" and spaces do not matter.

    Raises:
        ConfigError: a name that is not among them, with the nearest ones.
    """
    spelled = {_fold(name): name for name in reversed(known)}
    found = set()
    for name in asked:
        if _fold(name) not in spelled:
            near = difflib.get_close_matches(_fold(name), spelled, n=3)
            hint = (
                f"did you mean {', '.join(spelled[n] for n in near)}?" if near else "none is near"
            )
            raise ConfigError(
                f"expected one of the detector's {len(known)} classes, got '{name}'; {hint}"
            )
        found.add(spelled[_fold(name)])
    return frozenset(found)


def _fold(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())
