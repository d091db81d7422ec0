"""The detector that a name means: `--detector NAME` → a Detector, ready to use.

Each family is imported only when it is asked for. A new one is a file with a constructor, and a
line in `_FAMILIES`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ovsam.errors import ConfigError
from ovsam_pipeline.detectors.base import Detector
from ovsam_pipeline.records import ImageRecord

if TYPE_CHECKING:
    from ovsam.model import OVSAM

__all__ = ["build_detector", "check_detector_images", "choose_detector"]


@dataclass(frozen=True)
class _Settings:
    """What every family is given; `argument` is what stands behind the colon."""

    argument: str
    conf: float
    max_det: int
    device: str


def build_detector(
    spec: str,
    *,
    model: OVSAM | None = None,
    conf: float = 0.25,
    max_det: int = 300,
    device: str = "cpu",
) -> Detector:
    """Build the detector that a name means.

    Args:
        spec: "nano", "torchvision[:NAME]", "boxes:FILE[#DATASET]", "gt:FILE[#points]" or "auto".
        model: the OV-SAM model of the run, which "auto" looks at.
        conf: boxes that score less are left out; equal stays. Ground truth ignores it.
        max_det: boxes that the run keeps an image. Ground truth ignores it.
        device: "cpu", "cuda", "cuda:1".

    Raises:
        ConfigError: no such detector, an argument where none belongs, or none where one does.
        DatasetError: a file of boxes that cannot be read.
        DetectorError: weights that cannot be fetched or loaded.
    """
    if spec == "auto":
        spec = choose_detector(model)
    family, colon, argument = spec.partition(":")
    if family not in _FAMILIES:
        raise ConfigError(_describe_unknown(spec, family))
    if family in ("boxes", "gt") and not argument:
        raise ConfigError(f"expected a file behind --detector {family}:, got '{spec}'")
    if family == "nano" and colon:
        raise ConfigError(f"expected nothing behind --detector nano, got '{spec}'")
    return _FAMILIES[family](_Settings(argument, conf, max_det, device))


def choose_detector(model: OVSAM | None) -> str:
    """Return what "auto" means here: the best detector whose weights are on this machine.

    That is torchvision's Faster R-CNN where its file is in torch's cache and the model is not nano;
    else nano's, which is always here but knows only nano's drawings. Nothing is downloaded.
    """
    if model is None or model.config.trained_on == "nano":
        return "nano"
    from ovsam_pipeline.detectors import torchvision_zoo

    return "torchvision" if torchvision_zoo.is_cached() else "nano"


def check_detector_images(detector: Detector, records: Iterable[ImageRecord]) -> list[str]:
    """Compare a detector that reads boxes from a file with all images of the run.

    Args:
        detector: any; those that look at pixels have nothing to compare.
        records: all images of the run, labelled before or not.

    Returns:
        Sentences worth a warning: boxes of unknown images, images without boxes.

    Raises:
        DatasetError: no image of the run is in the file, or two are the same one in it.
    """
    from ovsam_pipeline.detectors.box_table import TableDetector

    return detector.check_images(records) if isinstance(detector, TableDetector) else []


def _build_nano(settings: _Settings) -> Detector:
    from ovsam_pipeline.detectors.nano import NanoDetector

    return NanoDetector(conf=settings.conf, max_det=settings.max_det, device=settings.device)


def _build_boxes(settings: _Settings) -> Detector:
    from ovsam_pipeline.detectors.boxes_file import build_boxes_detector

    return build_boxes_detector(settings.argument, conf=settings.conf, max_det=settings.max_det)


def _build_ground_truth(settings: _Settings) -> Detector:
    from ovsam_pipeline.detectors.ground_truth import build_ground_truth_detector

    return build_ground_truth_detector(settings.argument)


def _build_torchvision(settings: _Settings) -> Detector:
    from ovsam_pipeline.detectors.torchvision_zoo import build_torchvision_detector

    return build_torchvision_detector(
        settings.argument,
        conf=settings.conf,
        max_det=settings.max_det,
        device=settings.device,
    )


_FAMILIES: dict[str, Callable[[_Settings], Detector]] = {
    "nano": _build_nano,
    "boxes": _build_boxes,
    "gt": _build_ground_truth,
    "torchvision": _build_torchvision,
}


def _describe_unknown(spec: str, family: str) -> str:
    near = difflib.get_close_matches(family, _FAMILIES, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    return (
        f"unknown detector '{spec}'; {hint}there are auto, nano, torchvision[:NAME], boxes:FILE, "
        "gt:FILE[#points]"
    )
