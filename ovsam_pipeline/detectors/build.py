"""The detector that a name means: `--detector NAME` → a `Detector`, ready to use.

A new family is a file with a function of `DetectorSettings`, a name in `_FAMILIES` and a case in
`_build`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ovsam.errors import ConfigError, MissingDependencyError
from ovsam.strict import suggest_names
from ovsam_pipeline.detectors.base import Detector, Known
from ovsam_pipeline.detectors.huggingface import NO_TRANSFORMERS
from ovsam_pipeline.detectors.identity import (
    identify_nano,
    identify_official,
    identify_photo,
    identify_torchvision,
)
from ovsam_pipeline.detectors.official.weights import (
    find_known_detector,
    list_detector_names,
    locate_detector,
)
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.detectors.torchvision_files import is_cached

if TYPE_CHECKING:
    from ovsam_pipeline.detectors.stored.box_table import TableDetector

_STORED = ("boxes", "gt")
_FAMILIES = ("nano", "photo", "boxes", "gt", "torchvision", "hf", "detectron2", "python")
# What "auto" looks for, best first, before and after torchvision's Faster R-CNN: first Detic, which
# finds the classes of any vocabulary.
_BETTER_OFFICIAL = (
    "detic",
    *(f"vitdet-{size}{classes}" for size in "hlb" for classes in ("-lvis", "")),
    "detic-r50",
)
_LESSER_OFFICIAL = ("faster-rcnn",)


_held: dict[tuple[str, float, int], Detector] = {}


def build_detector(spec: str, **settings: Any) -> Detector:
    """Build the detector that a name means.

    `spec`: "nano", "photo", "detic[:FILE]", "vitdet[-b|-l|-h][-lvis][:FILE]",
    "faster-rcnn[:FILE]" (these three followed by "#proposals" or "#refined" for boxes without
    classes), "torchvision[:NAME]", "hf:MODEL", "detectron2:CONFIG[,WEIGHTS]", "python:FILE.py",
    "boxes:FILE[#DATASET]" or "gt:FILE[#points]". For "auto" ask `choose_detector` first.
    `settings`: fields of `DetectorSettings`: `conf`, `max_det`, `device`, ... Raises a ConfigError
    for an unknown detector or a wrong argument; what else a family raises, for files and weights
    that it cannot use, is an OvsamError too.
    """
    family, argument = _check_spec(spec)
    return _build(family, DetectorSettings(spec=spec, argument=argument, **settings))


def identify_detector(spec: str, **settings: Any) -> Known | None:
    """Return what is known of a detector before its networks are loaded.

    Args as of `build_detector`. A detector without networks of ours (boxes of a file, a Python
    file) is returned itself, ready to use. None where only loading tells. Raises what building
    would, where that needs no networks.
    """
    family, argument = _check_spec(spec)
    given = DetectorSettings(spec=spec, argument=argument, **settings)
    known = find_known_detector(family)
    if known is not None:
        return identify_official(known, given)
    match family:
        case "nano":
            return identify_nano(given)
        case "photo":
            return identify_photo(given)
        case "torchvision":
            return identify_torchvision(given)
        case "boxes" | "gt" | "python":
            return _build(family, given)
        case "hf" if find_spec("transformers") is None:
            raise MissingDependencyError(NO_TRANSFORMERS)
        case _:
            return None


def _check_spec(spec: str) -> tuple[str, str]:
    """Return family and argument; a ConfigError where they cannot be."""
    family, separator, argument = _split_spec(spec)
    if find_known_detector(family) is None and family not in _FAMILIES:
        raise ConfigError(_describe_unknown(spec, family))
    if family in _STORED and not argument:
        raise ConfigError(f"expected a file after --detector {family}:, got '{spec}'")
    if family in ("nano", "photo") and separator:
        raise ConfigError(f"expected --detector {family} without more, got '{spec}'")
    return family, argument


def is_stored(spec: str) -> bool:
    """Return whether a name means boxes that are in a file already."""
    return _split_spec(spec)[0] in _STORED


@contextmanager
def hold_stored_detector(spec: str, conf: float, max_det: int) -> Iterator[TableDetector]:
    """Read a file of boxes; until the block ends `build_detector` gives the same detector.

    So the file is read once, though its images are checked before the run loads what labels.
    """
    detector: Any = build_detector(spec, conf=conf, max_det=max_det)
    key = (spec, conf, max_det)
    _held[key] = detector
    try:
        yield detector
    finally:
        _held.pop(key, None)


def _get_key(settings: DetectorSettings) -> tuple[str, float, int]:
    return settings.spec, settings.conf, settings.max_det


def choose_detector(model: str) -> str:
    """Return what "auto" means for a model: the best detector whose weights are on this machine.

    For a model that was trained on nano's drawings that is nano's detector, which knows nothing
    else; for others "photo" where there is no better one. Both are always here. Nothing is
    downloaded.
    """
    from ovsam.model_facts import read_trained_on

    if read_trained_on(model) == "nano":
        return "nano"
    if found := _find_cached(_BETTER_OFFICIAL):
        return found
    if is_cached():
        return "torchvision"
    return _find_cached(_LESSER_OFFICIAL) or "photo"


def _find_cached(names: Iterable[str]) -> str | None:
    """Return the first of some official detectors whose files are all on this machine."""
    for name in names:
        known = find_known_detector(name)
        if known is not None and locate_detector(known) is not None:
            return name
    return None


def find_family(spec: str) -> str:
    """Return the name of a detector without file, model or mode: "boxes", "vitdet-b"."""
    family = _split_spec(spec)[0]
    known = find_known_detector(family)
    return family if known is None else known.name


def _split_spec(spec: str) -> tuple[str, str, str]:
    """Split a name from what follows ":" or, where there is only a mode, "#" ("detic#refined")."""
    family, separator, argument = spec.partition(":")
    if "#" in family:  # before any ":", so it does not belong to the name of a file
        family, separator, argument = re.split("(#)", spec, maxsplit=1)
        argument = separator + argument
    return family, separator, argument


def _build(family: str, settings: DetectorSettings) -> Detector:
    """Build a detector of a family; each is imported only when it is asked for: most need torch."""
    match family:
        case "nano":
            from ovsam_pipeline.detectors.nano import NanoDetector

            return NanoDetector(settings)
        case "photo":
            from ovsam_pipeline.detectors.photo.detector import PhotoDetector

            return PhotoDetector(settings)
        case "boxes" | "gt" if (held := _held.get(_get_key(settings))) is not None:
            return held
        case "boxes":
            from ovsam_pipeline.detectors.stored.boxes_file import build_boxes_detector

            return build_boxes_detector(settings)
        case "gt":
            from ovsam_pipeline.detectors.stored.ground_truth import build_ground_truth_detector

            return build_ground_truth_detector(settings)
        case "torchvision":
            from ovsam_pipeline.detectors.torchvision_zoo import build_torchvision_detector

            return build_torchvision_detector(settings)
        case "hf":
            from ovsam_pipeline.detectors.huggingface.detector import build_hf_detector

            return build_hf_detector(settings)
        case "detectron2":
            from ovsam_pipeline.detectors.detectron2_zoo.detector import build_detectron2_detector

            return build_detectron2_detector(settings)
        case "python":
            from ovsam_pipeline.detectors.python_file import build_python_detector

            return build_python_detector(settings)
        case _:
            from ovsam_pipeline.detectors.official.detector import build_official_detector

            known = find_known_detector(family)
            assert known is not None, "build_detector refuses unknown names"
            return build_official_detector(known, settings)


def _describe_unknown(spec: str, family: str) -> str:
    hint = suggest_names(family, (*_FAMILIES, *list_detector_names()))
    return (
        f"unknown detector '{spec}'{hint}; there are auto, nano, photo, detic, vitdet, "
        "faster-rcnn and others of `ovsam detectors`, torchvision[:NAME], hf:MODEL, "
        "detectron2:CONFIG, python:FILE.py, boxes:FILE, gt:FILE[#points]"
    )
