"""A name or a path → a model with weights, ready for prediction."""

import dataclasses
import json
from pathlib import Path

import torch

from ovsam.baselines.files import is_baseline_file, load_baseline
from ovsam.build import build_model, get_config
from ovsam.errors import CheckpointError
from ovsam.labelling_model import LabellingModel
from ovsam.weights.checkpoint import load_checkpoint, load_released_checkpoint
from ovsam.weights.hub import require
from ovsam.weights.known_weights import KNOWN_MODELS, get_known_model
from ovsam.weights.tensor_files import read_metadata


def load_model(name: str | Path, device: str | torch.device = "cpu") -> LabellingModel:
    """Load a model with its weights, in eval mode and float32.

    Nothing is downloaded: `ovsam models fetch NAME` does that, once.

    Args:
        name: "nano" (embedded), a name that `ovsam models list` shows, or the path of a file that
            `save_checkpoint`, `ovsam models convert` or `ovsam train` wrote.
        device: where the parameters go.

    Returns:
        An `OVSAM`, or a baseline where the file holds one, with its text tower.

    Raises:
        ConfigError: no weights have this name.
        DownloadError: the weights have not been fetched; the message has the command.
        CheckpointError: a file is missing, damaged or belongs to another model, or the name is that
            of a part (CLIP, SAM) that cannot label by itself.
    """
    if _is_file(name):
        if is_baseline_file(name):
            return load_baseline(name).to(device)
        return load_checkpoint(name).to(device)
    known = get_known_model(str(name))
    if known.trained_on is None:
        raise CheckpointError(
            f"'{name}' is a part of a model, not one that labels; "
            "use it with `ovsam models convert` or in training"
        )
    paths = require(known.name)
    if not known.files:
        return load_checkpoint(paths[0]).to(device)
    config = dataclasses.replace(get_config(known.config_name), trained_on=known.trained_on)
    model = build_model(config, "meta")
    return load_released_checkpoint(model, list(paths)).to(device)


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
    try:
        config: dict[str, str | None] = json.loads(read_metadata(name)["config"])
    except (KeyError, json.JSONDecodeError):
        return None  # `load_model` refuses such a file, with the reason
    return config.get("trained_on")


def _is_file(name: str | Path) -> bool:
    return str(name) not in KNOWN_MODELS and bool(Path(name).suffix or Path(name).exists())
