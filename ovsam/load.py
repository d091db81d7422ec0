"""A name or a path → a model with weights, ready for prediction."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ovsam.baselines.files import is_baseline_file, load_baseline
from ovsam.build import build_model, get_config
from ovsam.errors import CheckpointError
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
from ovsam.weights.hub import require
from ovsam.weights.known_weights import KNOWN_MODELS, get_known_model
from ovsam.weights.official_sam import find_sam_config
from ovsam.weights.tensor_files import read_metadata, read_tensors

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
    if _is_file(name):
        if is_baseline_file(name):
            return load_baseline(name).to(device)
        if not is_model_file(name) and Path(name).is_file():
            tensors = read_tensors(name)
            config = find_sam_config(tensors, str(name))
            if config is not None:
                return _load_plain_sam(config, tensors).to(device)
        return load_checkpoint(name).to(device)
    known = get_known_model(str(name))
    if known.is_sam:
        path = require(known.name)[0]
        return _load_plain_sam(get_sam_config(known.config_name), path).to(device)
    if known.files and known.trained_on is None:
        raise CheckpointError(
            f"'{name}' is a part of a model, not one that labels; "
            "use it with `ovsam models convert` or in training"
        )
    paths = require(known.name)
    if not known.files:
        return load_model(paths[0], device)
    whole = dataclasses.replace(get_config(known.config_name), trained_on=known.trained_on)
    model = build_model(whole, "meta")
    return load_released_checkpoint(model, list(paths)).to(device)


def _load_plain_sam(config: SamConfig, source: Mapping[str, Tensor] | Path) -> PlainSam:
    model = PlainSam(load_sam_checkpoint(build_sam(config, "meta"), source)).eval()
    model.identity = hash_tensors(model.sam.state_dict())
    return model


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
    if not _is_file(name):
        return get_known_model(str(name)).trained_on
    if Path(name).suffix != ".safetensors" and Path(name).is_file():
        return None  # an official SAM, or a file that `load_model` refuses
    try:
        config: dict[str, str | None] = json.loads(read_metadata(name)["config"])
    except (KeyError, json.JSONDecodeError):
        return None  # `load_model` refuses such a file, with the reason
    return config.get("trained_on")


def _is_file(name: str | Path) -> bool:
    return str(name) not in KNOWN_MODELS and bool(Path(name).suffix or Path(name).exists())
