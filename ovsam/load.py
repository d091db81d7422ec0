"""A name or a path → a model with weights, ready for prediction."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ovsam.baselines.files import is_baseline_file, load_baseline
from ovsam.build import build_model, get_config
from ovsam.model_facts import find_model_files, is_file, remember_model
from ovsam.plain_sam import PlainSam
from ovsam.sam import build_sam, get_sam_config
from ovsam.segmenter import Segmenter
from ovsam.weights.checkpoint import (
    hash_tensors,
    is_model_file,
    load_checkpoint,
    load_released_checkpoint,
    load_sam_checkpoint,
)
from ovsam.weights.known_weights import KNOWN_MODELS
from ovsam.weights.official_sam import find_sam_config
from ovsam.weights.tensor_files import read_tensors

if TYPE_CHECKING:
    from ovsam.config import SamConfig


def load_model(name: str | Path, device: str | torch.device = "cpu") -> Segmenter:
    """Load a model with its weights, in eval mode and float32.

    Nothing is downloaded: `ovsam models fetch NAME` does that, once.

    Args:
        name: "photo" or "nano" (embedded), a name that `ovsam models list` shows, or the path of a
            file that `save_checkpoint`, `ovsam models convert` or `ovsam train` wrote, or of an
            official SAM checkpoint.
        device: where the parameters go.

    Returns:
        An `OVSAM`, or a baseline where the file holds one, with its text tower; a `PlainSam` for a
        SAM, which segments without naming. All but the last are a `LabellingModel`.

    Raises:
        ConfigError: no weights have this name.
        DownloadError: the weights have not been fetched; the message has the command.
        CheckpointError: a file is missing, damaged or belongs to another model, or the name is that
            of a CLIP, which cannot label by itself.
    """
    paths = find_model_files(name)
    known = None if is_file(name) else KNOWN_MODELS[str(name)]
    if known is None or not known.files:
        model = _load_file(paths[0])
    elif known.is_sam:
        model = _load_plain_sam(get_sam_config(known.config_name), paths[0])
    else:
        whole = dataclasses.replace(get_config(known.config_name), trained_on=known.trained_on)
        model = load_released_checkpoint(build_model(whole, "meta"), list(paths))
    remember_model(paths, model)
    return model.to(device)


def _load_file(path: Path) -> Segmenter:
    if is_baseline_file(path):
        return load_baseline(path)
    if not is_model_file(path):
        tensors = read_tensors(path)
        config = find_sam_config(tensors, str(path))
        if config is not None:
            return _load_plain_sam(config, tensors)
    return load_checkpoint(path)


def _load_plain_sam(config: SamConfig, source: Mapping[str, Tensor] | Path) -> PlainSam:
    model = PlainSam(load_sam_checkpoint(build_sam(config, "meta"), source)).eval()
    model.identity = hash_tensors(model.sam.state_dict())
    return model
