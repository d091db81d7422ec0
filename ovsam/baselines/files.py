"""A baseline as one safetensors file: weights, config, text tower; and how one is put together."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ovsam.baselines.config import BaselineConfig
from ovsam.baselines.coop import add_context, build_baseline_text_tower
from ovsam.baselines.model import Baseline, build_baseline
from ovsam.clip_backbone import ClipBackbone
from ovsam.errors import CheckpointError, ConfigError
from ovsam.sam import SAM
from ovsam.text.text_tower import TextTower
from ovsam.weights.checkpoint import (
    TEXT_PREFIX,
    assign_tensors,
    hash_tensors,
    take_prefix,
    write_model_file,
)
from ovsam.weights.tensor_files import has_format, read_metadata, read_tensors

FORMAT = "ovsam-baseline-1"


def combine(
    config: BaselineConfig,
    sam: SAM,
    image_encoder: ClipBackbone,
    text_tower: TextTower,
    words: str = "",
) -> Baseline:
    """Put a SAM and a CLIP together; what neither has (adapter, context) starts at random.

    Args:
        config: of the baseline; its `sam` and `clip` are those of the parts.
        sam: the segmenter; its tensors are shared, not copied.
        image_encoder: CLIP's image tower; shared too.
        text_tower: CLIP's text tower. With `context_tokens` a copy of it gets a context.
        words: what the context starts from, as "a photo of a"; empty: random.
    """
    baseline = build_baseline(config)
    baseline.sam = sam
    baseline.image_encoder = image_encoder
    if config.context_tokens:
        tower = add_context(text_tower, config.context_tokens)
        if words:
            tower.start_from_words(words)
        text_tower = tower
    baseline.attach_text_tower(text_tower)
    baseline.identity = _identify(baseline)
    return baseline.eval()


def save_baseline(
    baseline: Baseline,
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Write one file; the arguments are those of `checkpoint.save_checkpoint`.

    Raises:
        CheckpointError: the model was folded for inference, or the file cannot be written.
    """
    reference = build_baseline(baseline.config, "meta")
    info = {**(metadata or {}), "format": FORMAT}
    write_model_file(baseline, reference, path, info, dtype=dtype)


def is_baseline_file(path: str | Path) -> bool:
    """Whether a path is a file that `save_baseline` wrote."""
    return has_format(path, FORMAT)


def load_baseline(path: str | Path) -> Baseline:
    """Read a file of `save_baseline`, in eval mode and float32.

    Raises:
        CheckpointError: missing, damaged or not such a file.
    """
    path = Path(path)
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"expected a baseline in {path} (format {FORMAT}), got format "
            f"{metadata.get('format')!r}; `ovsam train baseline` makes one"
        )
    try:
        config = BaselineConfig.from_dict(json.loads(metadata["config"]))
    except (KeyError, json.JSONDecodeError, ConfigError) as error:
        raise CheckpointError(f"{path} has no usable baseline config: {error}") from error
    baseline = build_baseline(config, "meta")
    tensors = read_tensors(path)
    text = take_prefix(tensors, TEXT_PREFIX)
    assign_tensors(baseline, tensors, str(path))
    tower = build_baseline_text_tower(config)
    assign_tensors(tower, text, str(path))
    baseline.attach_text_tower(tower)
    baseline.identity = metadata.get("identity", "") or _identify(baseline)
    return baseline


def _identify(baseline: Baseline) -> str:
    tensors: dict[str, Tensor] = dict(baseline.state_dict())
    text = baseline.text_tower.state_dict()
    return hash_tensors(tensors | {TEXT_PREFIX + name: value for name, value in text.items()})
