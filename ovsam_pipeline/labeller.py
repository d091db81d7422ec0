"""A run's settings → everything that labels an image: model, vocabulary, detector, rules.

`build_labeller` is called where the labelling happens: in this process, or in each worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ovsam.errors import ConfigError, VocabularyError
from ovsam_pipeline.config import LabelConfig
from ovsam_pipeline.detectors.base import Detector, compute_fingerprint
from ovsam_pipeline.images import decode_image
from ovsam_pipeline.label_rules import build_rules
from ovsam_pipeline.objects import LabelRules
from ovsam_pipeline.provenance import describe_parts, describe_settings
from ovsam_pipeline.records import ImageRecord

if TYPE_CHECKING:
    import torch

    from ovsam.model import OVSAM
    from ovsam.structures import EncodedImage, Prediction, PreparedImage, Prompts
    from ovsam.vocabulary import Vocabulary, VocabularyClass

__all__ = ["Labeller", "PromptedModel", "build_labeller"]

logger = logging.getLogger(__name__)


class PromptedModel(Protocol):
    """The part of `ovsam.Predictor` that labelling uses."""

    def encode(self, images: Sequence[PreparedImage]) -> list[EncodedImage]:
        """Run the image encoder over a batch."""
        ...

    def segment(
        self, encoded: EncodedImage, prompts: Prompts, *, masks: Any, clip_boxes_xyxy: Any = None
    ) -> Prediction:
        """Segment and label prompts of one encoded image."""
        ...


@dataclass(frozen=True)
class Labeller:
    """Everything that labels an image, loaded.

    Attributes:
        predictor: model and vocabulary.
        detector: source of boxes.
        rules: which boxes are prompted and which objects come out.
        input_size: side of the network input in pixels.
        batch: images the networks see together.
        workers: threads that decode.
        is_overlapping: whether detector and model run in separate threads (worth it on a GPU; on a
            CPU they would only take each other's cores).
        depends_on: everything that changes labels, in words.
        provenance: more facts for run.json.
        config: the settings with every "auto" resolved; builds the same labeller elsewhere.
        gives_clip_boxes: whether the frozen-CLIP score looks at the detector's boxes also where
            points are the prompts (the released evaluation).
        decode: ImageRecord → (H, W, 3) uint8 RGB, or an ImageError.
    """

    predictor: PromptedModel
    detector: Detector
    rules: LabelRules
    input_size: int
    batch: int
    workers: int
    is_overlapping: bool
    depends_on: Mapping[str, Any]
    provenance: Mapping[str, Any]
    config: LabelConfig
    gives_clip_boxes: bool = False
    decode: Callable[[ImageRecord], np.ndarray] = decode_image

    @property
    def fingerprint(self) -> str:
        """Hash of everything that changes labels."""
        return compute_fingerprint(dict(self.depends_on))

    @property
    def categories(self) -> list[dict[str, Any]]:
        """COCO categories of the classes that may come out."""
        kept = self.rules.kept
        return [
            {"id": item.category_id, "name": item.name}
            for index, item in enumerate(self.rules.vocabulary.classes)
            if kept is None or index in kept
        ]


def build_labeller(
    config: LabelConfig, embedding: Callable[[int, int], None] | None = None
) -> Labeller:
    """Load what the settings name.

    Args:
        config: the settings.
        embedding: called with (done, total) while class names are embedded; not on a cache hit.

    Raises:
        ConfigError: an unknown name, or settings that contradict each other.
        CheckpointError: weights that cannot be read.
        DownloadError: weights that are not on this machine and cannot be fetched.
        VocabularyError: class names that cannot be used.
        DetectorError: a detector that cannot be built.
        DatasetError: a class map or a file of boxes that cannot be used.
    """
    import torch

    from ovsam.predictor import Predictor
    from ovsam.vocabulary import embed_vocabulary
    from ovsam_pipeline.detectors.build import choose_detector

    device = _choose_device(config.device)
    config = replace(
        config,
        device=str(device),
        dtype=_choose_dtype(config.dtype, device),
        model=_choose_model(config.model),
    )
    model = _load_model(config, device)
    spec = choose_detector(model) if config.detector == "auto" else config.detector
    config = replace(config, detector=spec)
    detector = _build_detector(config, model)
    vocabulary, kept = _choose_vocabulary(config, model, detector)
    rules = build_rules(config, vocabulary, kept, detector)
    vocabulary = embed_vocabulary(vocabulary, model.text_tower, progress=embedding)
    is_restricted = config.protocol in ("evaluate", "evaluate-released-points")
    predictor = Predictor(model, vocabulary, restrict_to_split=is_restricted)
    is_cpu = device.type == "cpu"
    return Labeller(
        predictor=predictor,
        detector=detector,
        rules=rules,
        input_size=model.config.input_size,
        batch=config.batch or (1 if is_cpu else 8),
        workers=config.workers or min(8, max(1, torch.get_num_threads())),
        is_overlapping=not is_cpu,
        depends_on=describe_settings(config, model, rules, detector),
        provenance=describe_parts(config, model, vocabulary, detector),
        config=config,
        gives_clip_boxes=config.protocol == "evaluate-released-points",
    )


def _choose_device(name: str) -> torch.device:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"expected --device as auto, cpu or cuda:0, got '{name}'") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"--device {name} asks for a GPU, and torch finds none here; see ovsam doctor"
        )
    return device


def _choose_dtype(name: str, device: torch.device) -> str:
    """Return bf16 where a GPU computes it natively; a CPU keeps float32, the reference."""
    import torch

    if name != "auto":
        return name
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "fp32"


def _load_model(config: LabelConfig, device: torch.device) -> OVSAM:
    import torch

    from ovsam.load import load_model

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[config.dtype]
    return load_model(config.model, device).prepare_for_inference(dtype)


def _choose_model(name: str) -> str:
    from ovsam.hub import best_cached_model

    if name != "auto":
        if Path(name).suffix and not Path(name).is_file():
            raise ConfigError(f"expected --model as a name or a file, and there is no file {name}")
        return name
    name = best_cached_model()
    _announce_model(name)
    return name


def _announce_model(name: str) -> None:
    if name == "nano":
        logger.info(
            "using the embedded model nano, which knows its own drawings only and no photos; "
            "`ovsam models fetch rn50x16-lvis` gets real weights"
        )
    else:
        logger.info("using the weights %s from the cache", name)


def _choose_vocabulary(
    config: LabelConfig, model: OVSAM, detector: Detector
) -> tuple[Vocabulary, frozenset[int] | None]:
    """Return the vocabulary and the indices of the classes that come out (None: all).

    Classes that are asked for without naming a vocabulary are added to the default one where it
    lacks them: the other names still compete, so that not every object becomes one of a few.
    """
    from ovsam.vocabulary import Vocabulary, load_vocabulary, parse_vocabulary

    is_auto = config.vocabulary == "auto"
    if is_auto:
        vocabulary = _default_vocabulary(config, model, detector)
    else:
        vocabulary = load_vocabulary(config.vocabulary)
    if not config.classes:
        return vocabulary, None
    known: list[int] = []
    added: list[VocabularyClass] = []
    for item in parse_vocabulary(",".join(config.classes)).classes:
        try:
            known.append(vocabulary.index_of(item.name))
        except VocabularyError:
            if not is_auto:
                raise
            next_id = max(vocabulary.category_ids) + 1 + len(added)
            added.append(replace(item, category_id=next_id))
    known += range(vocabulary.num_classes, vocabulary.num_classes + len(added))
    if added:
        vocabulary = Vocabulary.from_classes([*vocabulary.classes, *added], vocabulary.title)
    return vocabulary, frozenset(known)


def _default_vocabulary(config: LabelConfig, model: OVSAM, detector: Detector) -> Vocabulary:
    """Return nano's words for nano; the detector's where it names the objects; else LVIS."""
    from ovsam.vocabulary import Vocabulary, load_vocabulary

    if model.config.trained_on == "nano":
        return load_vocabulary("nano")
    if config.labels == "model" or detector.class_names is None:
        return load_vocabulary("lvis")
    coco = load_vocabulary("coco")
    is_coco = {name.lower() for name in detector.class_names} <= {n.lower() for n in coco.names}
    return coco if is_coco else Vocabulary(detector.class_names, title=detector.name)


def _build_detector(config: LabelConfig, model: OVSAM) -> Detector:
    from ovsam.vocabulary import load_vocabulary
    from ovsam_pipeline.detectors.build import build_detector

    is_chosen = config.vocabulary != "auto"
    return build_detector(
        config.detector,
        model=model,
        conf=config.conf,
        max_det=config.max_det,
        device=config.device,
        dtype=config.dtype,
        is_compiled=config.compile,
        vocabulary=load_vocabulary(config.vocabulary) if is_chosen else None,
    )
