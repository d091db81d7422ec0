"""The table of Faster R-CNN, ViTDet and Detic: what they are, and where their official files are.

A name → its entry → files on this machine: in ovsam's cache, or in detectron2's. Nothing is
fetched here; `ovsam models fetch NAME` does that, with the licence. No weights are in this
repository.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from ovsam.errors import DownloadError
from ovsam.weights.hub import find_file
from ovsam.weights.known_weights import APACHE, CC_BY_SA, Licence, WeightFile, clip_file

_META = "https://dl.fbaipublicfiles.com/"
_D2_ZOO = "https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md"
_D2_VITDET = "https://github.com/facebookresearch/detectron2/blob/main/projects/ViTDet/README.md"
_DETIC_ZOO = "https://github.com/facebookresearch/Detic/blob/main/docs/MODEL_ZOO.md"

CLIP_TEXT_FILE = clip_file("timm/vit_base_patch32_clip_224.openai", 605_000_000)
"""OpenAI's CLIP ViT-B/32 with QuickGELU: the text tower that Detic's classifier was trained on."""


@dataclass(frozen=True, kw_only=True)
class DetectorFacts:
    """What `ovsam detectors` shows of a detector.

    Attributes:
        classes: "coco" (80), "lvis" (1,203), "any": the vocabulary of the run, or "none".
        parameters_m: millions of parameters, without the mask head, which is not used.
        gmacs: multiply-accumulates of an image at its native size (800 x 1088 for images resized by
            their short side), in thousands of millions; RoIAlign and NMS are not counted.
        box_ap: as published, percent; None where it was not published.
    """

    name: str
    classes: Literal["coco", "lvis", "any", "none"]
    parameters_m: float
    gmacs: float
    box_ap: float | None
    box_ap_on: str
    source: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class KnownDetector(DetectorFacts):
    """A detector with official weights; `variant` is of its family: "b", "l", "h", "swinb"."""

    family: Literal["faster-rcnn", "vitdet", "detic"]
    variant: Any = ""
    weights: WeightFile

    @property
    def files(self) -> tuple[WeightFile, ...]:
        """What is needed: the detector's file, for Detic also CLIP's text tower."""
        return (self.weights, CLIP_TEXT_FILE) if self.classes == "any" else (self.weights,)

    @property
    def licences(self) -> tuple[Licence, ...]:
        """Licences of the files, each once."""
        return tuple(dict.fromkeys(file.licence for file in self.files))

    @property
    def size_bytes(self) -> int:
        """What a download amounts to."""
        return sum(file.size_bytes for file in self.files)


def _d2_file(name: str, path: str, size_bytes: int, md5_start: str = "") -> WeightFile:
    url = f"{_META}detectron2/{path}"
    return WeightFile((name,), CC_BY_SA, size_bytes, url=url, md5_start=md5_start)


def _vitdet(
    variant: str,
    classes: Literal["coco", "lvis"],
    path: str,
    box_ap: float,
    cost: tuple[float, ...],
) -> KnownDetector:
    parameters_m, gmacs, size_gb = cost
    suffix = "-lvis" if classes == "lvis" else ""
    dataset = classes.upper()
    return KnownDetector(
        name=f"vitdet-{variant}{suffix}",
        family="vitdet",
        variant=variant,
        classes=classes,
        weights=_d2_file(
            f"cascade_mask_rcnn_vitdet_{variant}_{classes}.pkl",
            f"ViTDet/{dataset}/cascade_mask_rcnn_vitdet_{variant}/{path}.pkl",
            int(size_gb * 1e9),
        ),
        parameters_m=parameters_m,
        gmacs=gmacs,
        box_ap=box_ap,
        box_ap_on="COCO val2017" if classes == "coco" else "LVIS v1 val",
        source=_D2_VITDET,
    )


def _detic(
    name: str, variant: str, stem: str, cost: tuple[float, ...], box_ap: float | None, note: str
) -> KnownDetector:
    parameters_m, gmacs, size_gb = cost
    file_name = f"Detic_{stem}.pth"
    return KnownDetector(
        name=name,
        family="detic",
        variant=variant,
        classes="any",
        weights=WeightFile(
            (file_name,), APACHE, int(size_gb * 1e9), url=f"{_META}detic/{file_name}"
        ),
        parameters_m=parameters_m,
        gmacs=gmacs,
        box_ap=box_ap,
        box_ap_on="LVIS v1 val",
        source=_DETIC_ZOO,
        note=note,
    )


OFFICIAL_DETECTORS: tuple[KnownDetector, ...] = (
    KnownDetector(
        name="faster-rcnn",
        family="faster-rcnn",
        classes="coco",
        weights=_d2_file(
            "faster_rcnn_R_50_FPN_3x_280758.pkl",
            "COCO-Detection/faster_rcnn_R_50_FPN_3x/137849458/model_final_280758.pkl",
            167_000_000,
            md5_start="280758",
        ),
        parameters_m=41.7,
        gmacs=173.5,
        box_ap=40.2,
        box_ap_on="COCO val2017",
        source=_D2_ZOO,
    ),
    _vitdet("b", "coco", "f325358525/model_final_435fa9", 54.0, (138.5, 1043, 0.565)),
    _vitdet("l", "coco", "f328021305/model_final_1a9f28", 57.6, (358.3, 2063, 1.44)),
    _vitdet("h", "coco", "f328730692/model_final_f05665", 58.7, (688.8, 3567, 2.77)),
    _vitdet("b", "lvis", "329226874/model_final_df306f", 43.0, (142.0, 1046, 0.58)),
    _vitdet("l", "lvis", "329042206/model_final_3e81c2", 49.2, (361.8, 2066, 1.46)),
    _vitdet("h", "lvis", "332552778/model_final_11bbb7", 51.5, (692.3, 3570, 2.78)),
    _detic(
        "detic",
        "swinb",
        "LCOCOI21k_CLIP_SwinB_896b32_4x_ft4x_max-size",
        (139.0, 347.5, 0.71),
        44.4,
        "saw the boxes of all LVIS and COCO classes in training",
    ),
    _detic(
        "detic-r50",
        "r50",
        "LCOCOI21k_CLIP_R5021k_640b32_4x_ft4x_max-size",
        (76.1, 140.1, 0.44),
        29.0,
        "published at 640 x 640 with a score threshold of 0.3",
    ),
    _detic(
        "detic-lbase",
        "swinb",
        "LbaseI_CLIP_SwinB_896b32_4x_ft4x_max-size",
        (139.0, 347.5, 0.6),
        None,
        "never saw boxes of LVIS's rare classes: mask AP 40.7, of rare classes 33.8",
    ),
)
_CLIP_NAME = "clip-vit-b32"
_ALIASES = {"vitdet": "vitdet-b", "vitdet-lvis": "vitdet-b-lvis"}
_BY_NAME = {detector.name: detector for detector in OFFICIAL_DETECTORS}


def find_known_detector(name: str) -> KnownDetector | None:
    """Return the entry of a name or of its short form ("vitdet" is "vitdet-b"); None: unknown."""
    return _BY_NAME.get(_ALIASES.get(name, name))


def list_detector_names() -> tuple[str, ...]:
    """Return every name and short form."""
    return (*_BY_NAME, *_ALIASES)


def locate_detector(detector: KnownDetector) -> tuple[Path, ...] | None:
    """Return the files of a detector if all are on this machine, else None; no network."""
    return locate_files(detector.files)


def locate_files(files: Iterable[WeightFile]) -> tuple[Path, ...] | None:
    """Return where files are if all are on this machine, else None; no network."""
    paths = [_find(file) for file in files]
    return tuple(path for path in paths if path is not None) if None not in paths else None


def require_weights(detector: KnownDetector) -> Path:
    """Return the file of a detector's own weights."""
    path = _find(detector.weights)
    if path is None:
        raise DownloadError(
            f"the weights of {detector.name} are not on this machine; fetch them once with `ovsam "
            f"models fetch {detector.name}` ({detector.size_bytes / 1e9:.1f} GB), or give a file: "
            f"--detector {detector.name}:FILE"
        )
    return path


def require_clip_text(name: str) -> Path:
    """Return the file of CLIP's text tower."""
    path = find_file(CLIP_TEXT_FILE)
    if path is None:
        raise DownloadError(
            f"{name} needs the text tower of CLIP ViT-B/32, which is not on this machine; fetch it "
            f"once with `ovsam models fetch {_CLIP_NAME}` "
            f"({CLIP_TEXT_FILE.size_bytes / 1e9:.1f} GB)"
        )
    return path


def find_fetchable(name: str) -> tuple[WeightFile, ...] | None:
    """Return the files that `ovsam models fetch NAME` downloads for a detector; None: unknown."""
    return list_fetchable().get(_ALIASES.get(name, name))


def list_fetchable() -> dict[str, tuple[WeightFile, ...]]:
    """Return the files of every detector, and of the text tower that Detic needs, by name."""
    return {
        **{name: known.files for name, known in _BY_NAME.items()},
        _CLIP_NAME: (CLIP_TEXT_FILE,),
    }


def _find(file: WeightFile) -> Path | None:
    return find_file(file) or _find_in_detectron2_cache(file)


def _find_in_detectron2_cache(file: WeightFile) -> Path | None:
    """Return the file where detectron2 (iopath) keeps what it downloaded, if it is there."""
    if not file.url:
        return None
    named = os.environ.get("FVCORE_CACHE", "~/.torch/iopath_cache")
    folder = Path(os.path.expanduser(named))  # noqa: PTH111 - pathlib fails without a home
    path = folder / urlparse(file.url).path.lstrip("/")
    return path if path.is_file() else None
