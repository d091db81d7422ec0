"""`hf:MODEL`: detectors of the `transformers` library, by name on the hub or by folder.

Input: upright RGB images. Output: boxes with class names: the vocabulary's for OWL-ViT, OWLv2 and
Grounding DINO, the model's own for DETR and its descendants. Weights are read from safetensors
files only, and code that comes with a model is never run. Each image is prepared alone, and only
images that come out at one size run together, so boxes do not depend on the batch.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ovsam.errors import ConfigError, MissingDependencyError, OvsamError, describe_error
from ovsam.weights.tensor_files import DTYPES
from ovsam_pipeline.detectors.base import (
    Detections,
    Detector,
    DetectorImage,
    compute_fingerprint,
    run_grouped,
)
from ovsam_pipeline.detectors.box_rules import list_class_names, to_detections
from ovsam_pipeline.detectors.huggingface import NO_TRANSFORMERS
from ovsam_pipeline.detectors.huggingface.detr import SIGMOID_MODELS, SOFTMAX_MODELS, DetrFinder
from ovsam_pipeline.detectors.huggingface.finder import Candidates, Finder, keep_boxes_in_float32
from ovsam_pipeline.detectors.huggingface.grounding import GROUNDING_MODELS, GroundingFinder
from ovsam_pipeline.detectors.huggingface.owl import OWL_MODELS, OwlFinder
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.errors import DetectorError

if TYPE_CHECKING:
    from ovsam.text.vocabulary import Vocabulary

_OPEN_MODELS = (*OWL_MODELS, *GROUNDING_MODELS)
_KNOWN_MODELS = (*_OPEN_MODELS, *SOFTMAX_MODELS, *SIGMOID_MODELS)


def build_hf_detector(
    settings: DetectorSettings,
) -> HuggingFaceDetector:
    """Load a detector of `transformers`.

    `settings`: `argument` is a name on the hub ("google/owlv2-base-patch16-ensemble"), or a folder
    with config.json, preprocessor_config.json, model.safetensors and, where the model reads text,
    the tokenizer's files; `vocabulary` is what an open-vocabulary model looks for, others ignore
    it.
    """
    argument, vocabulary = settings.argument, settings.vocabulary
    transformers = _import_transformers()
    source = _check_source(argument)
    with _explain_failure(argument), _quiet(transformers):
        config = transformers.AutoConfig.from_pretrained(source)
    _check_model_type(argument, config.model_type, vocabulary)
    with _explain_failure(argument), _quiet(transformers):
        finder, processor = _load(transformers, argument, source, config, vocabulary)
    return HuggingFaceDetector(finder, processor, settings)


def _import_transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingDependencyError(NO_TRANSFORMERS) from error
    return transformers


def _check_source(argument: str) -> str:
    """Return the folder, where the argument is one, or the name on the hub."""
    if not argument:
        raise ConfigError(
            "expected a model behind --detector hf:, a name on the Hugging Face hub such as "
            "hf:google/owlv2-base-patch16-ensemble or a folder, got nothing"
        )
    path = Path(argument).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ConfigError(
                f"expected a folder of transformers with a config.json behind --detector hf:, got "
                f"{path} without one"
            )
        return str(path)
    if path.exists() or argument.startswith((".", "/", "~")) or argument.count("/") > 1:
        raise ConfigError(
            "expected a folder or a name on the Hugging Face hub behind --detector hf:, got "
            f"'{argument}', which is {'a file' if path.exists() else 'no folder here'}"
        )
    return argument


def _check_model_type(argument: str, model_type: str, vocabulary: Vocabulary | None) -> None:
    if model_type not in _KNOWN_MODELS:
        raise ConfigError(
            f"expected a detector behind --detector hf:, got '{argument}', which is of type "
            f"{model_type}; known are {', '.join(sorted(_KNOWN_MODELS))}"
        )
    if model_type in _OPEN_MODELS and vocabulary is None:
        raise ConfigError(
            f"hf:{argument} ({model_type}) needs class names to look for: give them "
            "with --vocabulary"
        )


def _load(
    transformers: Any, argument: str, source: str, config: Any, vocabulary: Vocabulary | None
) -> tuple[Finder, Any]:
    """Return the network in its family's finder, and the image processor."""
    # All files of one commit; and with a commit named, transformers asks no bot for conversions.
    commit = getattr(config, "_commit_hash", None)
    options = {"revision": commit} if commit else {}
    kind = (
        transformers.AutoModelForZeroShotObjectDetection
        if config.model_type in _OPEN_MODELS
        else transformers.AutoModelForObjectDetection
    )
    network, report = kind.from_pretrained(
        source,
        config=config,
        use_safetensors=True,
        dtype=torch.float32,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # They are in the report, which `_check_weights` refuses.
        **options,
    )
    _check_weights(argument, report)
    processor = transformers.AutoImageProcessor.from_pretrained(source, **options)
    if config.model_type not in _OPEN_MODELS or vocabulary is None:
        return DetrFinder(network, config), processor
    tokenizer = transformers.AutoTokenizer.from_pretrained(source, **options)
    if config.model_type in OWL_MODELS:
        is_padded = bool(getattr(processor, "do_pad", False))
        return OwlFinder(network, config, tokenizer, vocabulary, is_padded), processor
    return GroundingFinder(network, config, tokenizer, vocabulary), processor


def _check_weights(argument: str, report: dict[str, Any]) -> None:
    """Refuse a model of which a part would keep random weights."""
    missing = sorted({*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])})
    if missing:
        more = ", ..." if len(missing) > 3 else ""
        raise DetectorError(
            f"expected all weights of hf:{argument}, got a file without {len(missing)} of them, or "
            f"in other shapes: {', '.join(missing[:3])}{more}; fetch the model again"
        )


class HuggingFaceDetector(Detector):
    """A detector of `transformers` as a `Detector`."""

    def __init__(self, finder: Finder, processor: Any, settings: DetectorSettings) -> None:
        self.name = settings.spec
        self.device = settings.device
        self.dtype = DTYPES[settings.dtype]
        self.finder = finder
        self.processor = processor
        self.class_names: tuple[str, ...] | None = list_class_names(finder.names)
        self.fingerprint = compute_fingerprint(
            "hf",
            _hash_weights(finder.network),
            finder.network.config.to_dict(),  # type: ignore[union-attr, operator]
            processor.to_dict(),
            finder.depends_on,
            [settings.conf, settings.max_det, settings.dtype],
        )
        finder.network.to(settings.device).eval().requires_grad_(False)
        if self.dtype is not torch.float32:
            keep_boxes_in_float32(finder.network)
        self._inputs = frozenset(inspect.signature(finder.network.forward).parameters)

    @torch.inference_mode()
    def detect(self, images: Sequence[DetectorImage]) -> list[Detections]:
        """Find the boxes of a batch; see `Detector.detect`."""
        prepared = [self._prepare(image) for image in images]
        found = run_grouped(prepared, lambda inputs: inputs["pixel_values"].shape, self._run)
        return [
            self._to_detections(one, image.rgb.shape)
            for one, image in zip(found, images, strict=True)
        ]

    def _run(self, prepared: Sequence[dict[str, Tensor]]) -> list[Candidates]:
        """Run images of one size; return the candidates of each."""
        inputs = {
            name: torch.cat([one[name] for one in prepared]).to(self.device) for name in prepared[0]
        }
        return [Candidates(*rows) for rows in zip(*self._find(inputs), strict=True)]

    def _prepare(self, image: DetectorImage) -> dict[str, Tensor]:
        """(H, W, 3) uint8 → what the network takes, each tensor of batch 1."""
        try:
            inputs = self.processor(
                images=[image.rgb], input_data_format="channels_last", return_tensors="pt"
            )
        except (ValueError, RuntimeError, ZeroDivisionError) as error:
            height, width = image.rgb.shape[:2]
            raise DetectorError(
                f"expected an image that {self.name} can resize, got {image.record.file_name} of "
                f"{width} x {height} pixels ({describe_error(error)[:160]}); use another detector "
                "for it"
            ) from error
        return {name: values for name, values in inputs.items() if name in self._inputs}

    def _find(self, inputs: dict[str, Tensor]) -> Candidates:
        kind = torch.device(self.device).type
        is_low = self.dtype is not torch.float32
        with torch.autocast(kind, self.dtype if is_low else None, enabled=is_low):
            found = self.finder.find(inputs)
        return Candidates(*(values.cpu() for values in found))

    def _to_detections(self, found: Candidates, shape: tuple[int, ...]) -> Detections:
        height, width = shape[:2]
        boxes = found.boxes.numpy() * np.tile(
            np.array(self.finder.measure_frame(height, width), np.float32), 2
        )
        centres, sizes = boxes[:, :2], boxes[:, 2:]
        return to_detections(
            np.concatenate((centres - sizes / 2, centres + sizes / 2), axis=1),
            found.scores.numpy(),
            found.labels.numpy(),
            self.finder.names,
        )


def _hash_weights(network: nn.Module) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, values in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep the library's tables and, where nobody watches, its bars off stderr."""
    logging = transformers.logging
    level, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if has_bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _explain_failure(argument: str) -> Iterator[None]:
    """Turn what fetching and loading can raise into one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except OvsamError:
        raise
    except ImportError as error:
        raise MissingDependencyError(
            f"hf:{argument} needs a package that is not installed: {describe_error(error)[:160]}"
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        if Path(argument).expanduser().is_dir():
            raise DetectorError(
                f"expected a detector of transformers with weights in safetensors files in "
                f"{argument}, got one that does not load: {describe_error(error)[:160]}"
            ) from error
        raise DetectorError(
            f"cannot get {argument} from the Hugging Face hub or its cache here "
            f"({describe_error(error)[:160]}): fetch it on a connected machine with `hf download "
            f"{argument} --local-dir FOLDER` and give --detector hf:FOLDER, or use --detector nano"
        ) from error
