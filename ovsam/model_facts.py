"""What is known of a model before it is loaded: enough to plan a run, without torch.

A file of ovsam's own says it in its header. Of official files the identity is a hash over the
tensors, so it is known once they were loaded on this machine: `seen_files.py` remembers it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ovsam.checked_json import parse_json
from ovsam.errors import CheckpointError
from ovsam.text.known_names import check_nano_texts, list_nano_texts, load_known_names
from ovsam.weights.hub import require
from ovsam.weights.known_weights import KNOWN_MODELS, get_known_model
from ovsam.weights.metadata import TEXT_PREFIX, find_existing, read_header, read_metadata
from ovsam.weights.seen_files import recall, remember

if TYPE_CHECKING:
    from ovsam.segmenter import Segmenter
    from ovsam.text.vocabulary import Vocabulary

NO_NAMER = (
    "this model came without CLIP's text tower, so class names cannot be embedded; "
    "give CLIP's file (open_clip) with the others, or Vocabulary(embeddings=...)"
)
Namer = Literal["", "clip", "nano", "table"]


@dataclass(frozen=True)
class ModelFacts:
    """What a run must know of a model.

    Attributes:
        name: of its structure, "nano"; what reports call it.
        identity: hex digest of the weights.
        trained_on: vocabulary that the label head was trained on; None where nothing says so.
        namer: what embeds class names: CLIP's text tower, nano's, which knows its own names only, a
            table of names, or nothing.
        is_sam: a SAM alone: it gives masks and no names.
    """

    name: str
    identity: str
    trained_on: str | None = None
    namer: Namer = ""
    is_sam: bool = False

    def has_unknown(self, vocabulary: Vocabulary) -> bool:
        """Whether nano lacks a text of a vocabulary; any other model has them all, or refuses."""
        if self.namer != "nano":
            return False
        texts = {text for aliases in vocabulary.aliases for text in aliases}
        return not texts <= set(list_nano_texts())

    def check_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Refuse, without tensors, what embedding the names would refuse.

        Raises:
            CheckpointError: the model has nothing that embeds names.
            VocabularyError: an embedded model does not know a name.
        """
        if not self.namer:
            raise CheckpointError(NO_NAMER)
        if self.namer == "table":
            load_known_names().check_classes(vocabulary.classes)
        if self.namer == "nano":
            texts = [text for aliases in vocabulary.aliases for text in aliases]
            check_nano_texts(texts, list_nano_texts())


def describe_model(model: Segmenter) -> ModelFacts:
    """Return the facts of a loaded model."""
    config = model.config
    clip = getattr(config, "clip", None)  # a SAM alone has none
    namer: Namer = ""
    if clip is not None and getattr(model, "has_namer", False):
        namer = _find_namer(None if clip.text is None else asdict(clip.text))
    trained_on = getattr(config, "trained_on", None)
    return ModelFacts(config.name, model.identity, trained_on, namer, is_sam=clip is None)


def read_model_facts(name: str | Path) -> ModelFacts | None:
    """Return the facts of what `load_model(name)` gives; None where only loading it tells.

    Raises:
        ConfigError, DownloadError, CheckpointError: as `load_model`, where that needs no tensors.
    """
    paths = find_model_files(name)
    return _read_stated(paths) or _recall(paths)


def remember_model(paths: Sequence[Path], model: Segmenter) -> None:
    """Keep the facts of a model that was loaded from files, where these do not state them."""
    facts = describe_model(model)
    if _read_stated(paths) is None and _recall(paths) != facts:
        remember(_WHAT, paths, asdict(facts))


def find_model_files(name: str | Path) -> tuple[Path, ...]:
    """Return the files of a model by name, or the file of a path.

    Raises:
        ConfigError: no weights have this name.
        DownloadError: they were not fetched.
        CheckpointError: the file is missing or empty, or the name is that of a CLIP.
    """
    if is_file(name):
        return (find_existing(name),)
    known = get_known_model(str(name))
    if known.files and known.trained_on is None and not known.is_sam:
        raise CheckpointError(
            f"'{name}' is a part of a model, not one that labels; "
            "use it with `ovsam models convert` or in training"
        )
    return require(known.name)


def is_file(name: str | Path) -> bool:
    """Whether weights are meant by the path of a file, not by a name."""
    return str(name) not in KNOWN_MODELS and bool(Path(name).suffix or Path(name).exists())


def is_sam_name(name: str | Path) -> bool:
    """Whether a name is that of a SAM alone, which segments and does not name; paths are none."""
    known = KNOWN_MODELS.get(str(name))
    return known is not None and known.is_sam


def read_trained_on(name: str | Path) -> str | None:
    """Return the vocabulary that a model's label head was trained on, without loading the model.

    Args:
        name: as in `load_model`. None where nothing says so.

    Raises:
        ConfigError: no weights have this name.
        CheckpointError: the file is missing or damaged.
    """
    if not is_file(name):
        return get_known_model(str(name)).trained_on
    if Path(name).suffix != ".safetensors" and Path(name).is_file():
        return None  # an official SAM, or a file that `load_model` refuses
    try:
        config: dict[str, str | None] = parse_json(read_metadata(name)["config"])
        return config.get("trained_on")
    except (ValueError, LookupError, AttributeError):
        return None  # `load_model` refuses such a file, with the reason


_WHAT = "model facts 1"  # raise the number when `describe_model` finds other values


def _recall(paths: Sequence[Path]) -> ModelFacts | None:
    values = recall(_WHAT, paths)
    return None if values is None else ModelFacts(**values)


def _read_stated(paths: Sequence[Path]) -> ModelFacts | None:
    """Return what a file of ovsam's own states; None for others, and where it is damaged."""
    if len(paths) != 1 or paths[0].suffix != ".safetensors":
        return None
    metadata, tensors = read_header(paths[0])
    try:
        config: dict[str, Any] = parse_json(metadata["config"])
        text = config["clip"]["text"]
        has_namer = any(name.startswith(TEXT_PREFIX) for name in tensors)
        namer = _find_namer(text) if has_namer else ""
        return ModelFacts(config["name"], metadata["identity"], config.get("trained_on"), namer)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _find_namer(text: dict[str, Any] | None) -> Namer:
    """Return what a model whose config has this text tower embeds names with."""
    if text is None:
        return "table"
    return "nano" if text.get("compact") else "clip"
