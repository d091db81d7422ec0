"""What a run must know of a detector, found without loading its networks.

The classes of the networks take the same values from here, so that a plan made before loading and
one made after it cannot differ.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

from ovsam.errors import ConfigError
from ovsam.text.vocabulary import Vocabulary
from ovsam.text.vocabulary_files import load_vocabulary
from ovsam_pipeline.detectors.base import compute_fingerprint, hash_file
from ovsam_pipeline.detectors.official.rcnn.recipes import (
    DETIC_RECIPE,
    FASTER_RCNN_RECIPE,
    build_vitdet_recipe,
)
from ovsam_pipeline.detectors.official.rcnn.structures import Recipe
from ovsam_pipeline.detectors.official.weights import (
    KnownDetector,
    require_clip_text,
    require_weights,
)
from ovsam_pipeline.detectors.random_weights import read_random_seed
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.detectors.torchvision_files import check_name, locate_weights

Mode = Literal["detections", "refined", "proposals"]
# NanoDet-Plus and U²-Net, both Apache-2.0.
PHOTO_LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class DetectorIdentity:
    """The attributes of a `Detector` that are known without its networks; see there."""

    name: str
    fingerprint: str
    class_names: tuple[str, ...] | None
    licence: str = ""


def identify_nano(settings: DetectorSettings, weights: Path | None = None) -> DetectorIdentity:
    """Return what is known of the embedded detector, or of one with the weights of a file."""
    digest = hash_file(weights or find_embedded("nano"))
    fingerprint = compute_fingerprint("nano", digest, settings.conf, settings.max_det)
    return DetectorIdentity("nano", fingerprint, None)


def identify_photo(settings: DetectorSettings, weights: Path | None = None) -> DetectorIdentity:
    """Return what is known of the embedded detector, or of one with the weights of a file."""
    digest = hash_file(weights or find_embedded("photo"))
    fingerprint = compute_fingerprint("photo", digest, settings.conf)
    return DetectorIdentity("photo", fingerprint, load_vocabulary("coco").names, PHOTO_LICENCE)


def find_embedded(name: str) -> Path:
    """Return the file of an embedded detector."""
    return Path(str(resources.files("ovsam") / f"data/{name}/detector.safetensors"))


def identify_torchvision(settings: DetectorSettings) -> DetectorIdentity | None:
    """Return what is known of a model of torchvision; None where it is not downloaded yet.

    Raises a ConfigError for an unknown name.
    """
    name = check_name(settings.argument)
    path = locate_weights(name)
    if not path.is_file():
        return None
    fingerprint = compute_fingerprint(
        "torchvision", name, hash_file(path), settings.conf, settings.max_det
    )
    names = load_vocabulary("coco").names
    return DetectorIdentity(f"torchvision:{name}", fingerprint, names)


@dataclass(frozen=True)
class OfficialParts:
    """What an official detector is put together from.

    Attributes:
        mode: "detections": boxes with classes, as published; "refined": one box a proposal,
            whatever its class; "proposals": the first stage's boxes.
        weights: the file; None: made-up numbers.
        is_open: whether class names are embedded.
        seed: of made-up numbers; None: none are asked for.
        is_own: whether the weights are the published ones, whose licence is known.
    """

    name: str
    mode: Mode
    weights: Path | None
    is_open: bool
    seed: int | None
    vocabulary: Vocabulary
    recipe: Recipe
    is_own: bool

    def require_text_file(self) -> Path | None:
        """Return CLIP's file where class names are embedded; a DownloadError where it is missing.

        None: not needed, or made-up numbers. Asked for late, so that a wrong file of weights is
        told first.
        """
        return require_clip_text(self.name) if self.is_open and self.seed is None else None


def find_official_parts(known: KnownDetector, settings: DetectorSettings) -> OfficialParts:
    """Return the parts that a detector of official weights needs.

    Raises:
        ConfigError: an unknown mode, or a file that is not there.
        DownloadError: its weights were not fetched.
    """
    file_name, mode = _split_argument(settings)
    seed = read_random_seed()
    if file_name:
        weights: Path | None = Path(file_name).expanduser()
    else:
        weights = require_weights(known) if seed is None else None
    is_open = known.classes == "any" and mode != "proposals"
    vocabulary = settings.vocabulary if known.classes == "any" else None
    return OfficialParts(
        known.name,
        mode,
        weights,
        is_open,
        seed,
        vocabulary or load_vocabulary("coco-80" if known.classes == "coco" else "lvis"),
        replace(
            _find_recipe(known), score_threshold=settings.score_threshold, top_k=settings.max_det
        ),
        is_own=not file_name and weights is not None,
    )


def identify_official(
    known: KnownDetector, settings: DetectorSettings, parts: OfficialParts | None = None
) -> DetectorIdentity:
    """Return what is known of a detector with official weights; raises as `find_official_parts`."""
    parts = parts or find_official_parts(known, settings)
    text_file, made_up = parts.require_text_file(), ["random", parts.seed]
    fingerprint = compute_fingerprint(
        "official",
        known.name,
        parts.mode,
        made_up if parts.weights is None else hash_file(parts.weights),
        made_up if text_file is None else hash_file(text_file),
        None if parts.mode == "proposals" else parts.vocabulary.content_hash,
        settings.conf,
        settings.dtype,
        settings.is_compiled,
        asdict(parts.recipe),
    )
    files = known.files if parts.is_open else (known.weights,)
    licence = ", ".join(dict.fromkeys(file.licence.title for file in files))
    names = parts.vocabulary.names if parts.mode == "detections" else None
    return DetectorIdentity(settings.spec, fingerprint, names, licence if parts.is_own else "")


def _find_recipe(known: KnownDetector) -> Recipe:
    if known.family == "detic":
        return DETIC_RECIPE
    if known.family == "vitdet":
        return build_vitdet_recipe(is_sigmoid=known.classes == "lvis")
    return FASTER_RCNN_RECIPE


def _split_argument(settings: DetectorSettings) -> tuple[str, Mode]:
    """Split "FILE#MODE" into both; either may be missing."""
    modes: tuple[str, ...] = get_args(Mode)
    file_name, sign, mode = settings.argument.rpartition("#")
    if not sign:
        file_name, mode = mode, "detections"
    if mode not in modes:
        raise ConfigError(
            f"expected #{', #'.join(modes)} or nothing behind --detector {settings.spec}, got "
            f"'#{mode}'"
        )
    if file_name and not Path(file_name).expanduser().is_file():
        raise ConfigError(
            f"expected a file of weights behind --detector {settings.spec}, got {file_name}, which "
            "is not there"
        )
    return file_name, mode  # type: ignore[return-value]
