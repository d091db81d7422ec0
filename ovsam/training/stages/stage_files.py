"""The model file of a stage: written by one, read by the next."""

from __future__ import annotations

from pathlib import Path

from ovsam.errors import CheckpointError, ConfigError
from ovsam.load import load_model
from ovsam.model import OVSAM
from ovsam.strict import suggest_names
from ovsam.weights.checkpoint import save_checkpoint
from ovsam.weights.hub import require
from ovsam.weights.known_weights import KNOWN_MODELS

LICENCE = "Apache-2.0"
MODEL_FILE = "model.safetensors"
VOCABULARY_FILE = "vocabulary.safetensors"


def save_stage(model: OVSAM, out: Path, provenance: str) -> None:
    """Write a stage's model file, float32 and with the text tower if there is one."""
    metadata = {"licence": LICENCE, "provenance": provenance}
    save_checkpoint(model, out / MODEL_FILE, metadata)


def find_weights(init: Path) -> Path:
    """Return the weight file that an --init means: of a stage's folder, itself, or of a name."""
    if init.is_dir():
        return init / MODEL_FILE
    if init.exists():
        return init
    name = str(init)
    if name not in KNOWN_MODELS:
        raise ConfigError(
            f"no folder or file at {init}; expected the folder of a stage, a file of weights or a "
            f"name of `ovsam models list`{suggest_names(name, list(KNOWN_MODELS))}"
        )
    paths = require(name)
    if len(paths) != 1:
        raise ConfigError(
            f"the weights {name!r} are {len(paths)} files, expected one; join them by "
            "`ovsam models convert`"
        )
    return paths[0]


def load_stage(init: Path) -> OVSAM:
    """Load the model of a stage's folder, a model file, or a model by its name ("nano")."""
    known = str(init) in KNOWN_MODELS and not init.exists()
    model = load_model(str(init) if known else find_weights(init))
    if not isinstance(model, OVSAM):
        raise CheckpointError(f"expected an OV-SAM in {init}, got a baseline of SAM and CLIP")
    return model
