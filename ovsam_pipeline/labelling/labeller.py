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
from ovsam_pipeline.detectors.base import Detector, compute_fingerprint
from ovsam_pipeline.labelling.facts import RunFacts
from ovsam_pipeline.labelling.provenance import describe_parts, describe_settings
from ovsam_pipeline.labelling.rules import LabelRules, build_rules
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.settings.label import Dtype, LabelConfig
from ovsam_pipeline.sources.read_image import decode_image

if TYPE_CHECKING:
    import torch

    from ovsam.labelling_model import LabellingModel
    from ovsam.structures import EncodedImage, Prediction, PreparedImage, Prompts
    from ovsam.text.class_list import VocabularyClass
    from ovsam.text.vocabulary import Vocabulary
    from ovsam_pipeline.labelling.stored_regions import StoredRegions


BuildLabeller = Callable[["LabelConfig", Callable[[int, int], None] | None], "Labeller"]


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
        predictor: model and vocabulary; None where the run ends with boxes (`ovsam detect`).
        detector: source of boxes.
        rules: which boxes are prompted and which objects come out; None without a predictor.
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
        stored: the regions of an earlier output, which get new labels and keep their masks; they
            are the detector then. None where masks are made.
    """

    predictor: PromptedModel | None
    detector: Detector
    rules: LabelRules | None
    input_size: int
    batch: int
    workers: int
    is_overlapping: bool
    depends_on: Mapping[str, Any]
    provenance: Mapping[str, Any]
    config: LabelConfig
    gives_clip_boxes: bool = False
    decode: Callable[[ImageRecord], np.ndarray] = decode_image
    stored: StoredRegions | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of everything that changes labels."""
        return compute_fingerprint(dict(self.depends_on))

    @property
    def facts(self) -> RunFacts:
        """What a run must know of its labels; small, and the same on every machine."""
        return RunFacts(
            fingerprint=self.fingerprint,
            depends_on=dict(self.depends_on),
            provenance=dict(self.provenance),
            categories=self.categories,
            config=self.config,
            has_labels=self.predictor is not None,
        )

    @property
    def categories(self) -> list[dict[str, Any]]:
        """COCO categories of the classes that may come out; none without a predictor."""
        if self.rules is None:
            return []
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
    config = resolve_machine(config)
    config, model = load_run_model(config)
    config, detector = build_run_detector(config, model)
    return assemble_labeller(config, model, detector, embedding)


def resolve_machine(config: LabelConfig) -> LabelConfig:
    """Return the settings with device and dtype chosen.

    Raises:
        ConfigError: no such device, or not here.
    """
    device = _choose_device(config.device)
    return replace(config, device=str(device), dtype=_choose_dtype(config.dtype, device))


def load_run_model(config: LabelConfig) -> tuple[LabelConfig, LabellingModel]:
    """Return the settings with the model chosen, and the model, ready to predict.

    Raises:
        ConfigError: no such model or file.
        CheckpointError: weights that cannot be read.
        DownloadError: weights that are not on this machine and cannot be fetched.
    """
    import torch

    config = replace(config, model=_choose_model(config.model))
    return config, _load_model(config, torch.device(config.device))


def build_run_detector(
    config: LabelConfig, model: LabellingModel | None
) -> tuple[LabelConfig, Detector]:
    """Return the settings with the detector chosen, and the detector.

    Args:
        config: the settings, device and dtype resolved.
        model: what "auto" looks at.

    Raises:
        OvsamError: it cannot be built.
    """
    from ovsam_pipeline.detectors.build import choose_detector

    spec = choose_detector(model) if config.detector == "auto" else config.detector
    config = replace(config, detector=spec)
    return config, _build_detector(config, model)


def choose_pace(config: LabelConfig) -> dict[str, Any]:
    """Return the fields of a Labeller that change its speed alone."""
    import torch

    is_cpu = torch.device(config.device).type == "cpu"
    return {
        "batch": config.batch or (1 if is_cpu else 8),
        "workers": config.workers or min(8, max(1, torch.get_num_threads())),
        "is_overlapping": not is_cpu,
    }


def assemble_labeller(
    config: LabelConfig,
    model: LabellingModel,
    detector: Detector,
    embedding: Callable[[int, int], None] | None = None,
) -> Labeller:
    """Choose vocabulary and rules, embed the class names, and put the labeller together.

    Args:
        config: the settings, everything but the vocabulary resolved.
        model: ready to predict.
        detector: the source of boxes.
        embedding: as in `build_labeller`.

    Raises:
        ConfigError: settings that contradict each other.
        VocabularyError: class names that cannot be used.
        DatasetError: a class map that cannot be used.
    """
    from ovsam.predictor import Predictor
    from ovsam.text.embedding import embed_vocabulary
    from ovsam_pipeline.labelling.provenance import choose_text_tower

    vocabulary, kept = _choose_vocabulary(config, model, detector)
    rules = build_rules(config, vocabulary, kept, detector)
    text_tower = choose_text_tower(model, vocabulary)
    vocabulary = embed_vocabulary(vocabulary, text_tower, progress=embedding)
    is_restricted = config.protocol in ("evaluate", "evaluate-released-points")
    predictor = Predictor(model, vocabulary, restrict_to_split=is_restricted)
    return Labeller(
        predictor=predictor,
        detector=detector,
        rules=rules,
        input_size=model.config.input_size,
        **choose_pace(config),
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


def _choose_dtype(name: Dtype, device: torch.device) -> Dtype:
    """Return bf16 where a GPU computes it natively; a CPU keeps float32, the reference."""
    import torch

    if name != "auto":
        return name
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "fp32"


def _load_model(config: LabelConfig, device: torch.device) -> LabellingModel:
    from ovsam.load import load_model
    from ovsam.weights.tensor_files import DTYPES

    dtype = DTYPES[config.dtype]
    return load_model(config.model, device).prepare_for_inference(dtype)


def _choose_model(name: str) -> str:
    from ovsam.weights.hub import best_cached_model

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
    config: LabelConfig, model: LabellingModel, detector: Detector
) -> tuple[Vocabulary, frozenset[int] | None]:
    """Return the vocabulary and the indices of the classes that come out (None: all).

    Classes that are asked for without naming a vocabulary are added to the default one where it
    lacks them: the other names still compete, so that not every object becomes one of a few.
    """
    from ovsam.text.vocabulary import Vocabulary
    from ovsam.text.vocabulary_files import load_vocabulary, parse_vocabulary

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


def _default_vocabulary(
    config: LabelConfig, model: LabellingModel, detector: Detector
) -> Vocabulary:
    """Return nano's words for nano; the detector's where it names the objects; else LVIS."""
    from ovsam.text.vocabulary import Vocabulary
    from ovsam.text.vocabulary_files import load_vocabulary

    if model.config.trained_on == "nano":
        return load_vocabulary("nano")
    if config.labels == "model" or detector.class_names is None:
        return load_vocabulary("lvis")
    coco = load_vocabulary("coco")
    is_coco = {name.lower() for name in detector.class_names} <= {n.lower() for n in coco.names}
    return coco if is_coco else Vocabulary(detector.class_names, title=detector.name)


def _build_detector(config: LabelConfig, model: LabellingModel | None) -> Detector:
    from ovsam.text.vocabulary_files import load_vocabulary
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
