"""A baseline as one safetensors file: weights, config, text tower; and how one is put together."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ovsam.baselines.config import BaselineConfig
from ovsam.baselines.coop import add_context, build_baseline_namer
from ovsam.baselines.model import Baseline, build_baseline
from ovsam.clip_backbone import ClipBackbone
from ovsam.errors import CheckpointError
from ovsam.sam import SAM
from ovsam.text.text_tower import TextTower
from ovsam.weights.checkpoint import hash_tensors, read_model_file, write_model_file
from ovsam.weights.metadata import TEXT_PREFIX, has_format, read_metadata

FORMAT = "ovsam-baseline-1"


def combine(
    config: BaselineConfig,
    sam: SAM,
    image_encoder: ClipBackbone,
    text_tower: TextTower,
    words: str = "",
) -> Baseline:
    """Put a SAM and a CLIP together; what neither has (adapter, context) starts at random.

    The parts' tensors are shared, not copied, but for a text tower that gets CoOp's context. The
    context starts from `words` such as "a photo of a", or at random.
    """
    baseline = build_baseline(config)
    baseline.sam = sam
    baseline.image_encoder = image_encoder
    if config.context_tokens:
        tower = add_context(text_tower, config.context_tokens)
        if words:
            tower.start_from_words(words)
        text_tower = tower
    baseline.attach_namer(text_tower)
    baseline.identity = _identify(baseline)
    return baseline.eval()


def save_baseline(
    baseline: Baseline,
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Write one file, as `checkpoint.save_checkpoint` does."""
    reference = build_baseline(baseline.config, "meta")
    info = {**(metadata or {}), "format": FORMAT}
    write_model_file(baseline, reference, path, info, dtype=dtype)


def is_baseline_file(path: str | Path) -> bool:
    """Whether a path is a file that `save_baseline` wrote."""
    return has_format(path, FORMAT)


def load_baseline(path: str | Path) -> Baseline:
    """Read a file of `save_baseline`, in eval mode."""
    path = Path(path)
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"expected a baseline in {path} (format {FORMAT}), got format "
            f"{metadata.get('format')!r}; `ovsam train baseline` makes one"
        )
    return read_model_file(path, metadata, BaselineConfig, build_baseline, build_baseline_namer)


def _identify(baseline: Baseline) -> str:
    tensors: dict[str, Tensor] = dict(baseline.state_dict())
    text = baseline.namer.state_dict()
    return hash_tensors(tensors | {TEXT_PREFIX + name: value for name, value in text.items()})
