"""The folder that a training leaves: its model, and its classes where they are no built-in list."""

from __future__ import annotations

from pathlib import Path

from ovsam.errors import ConfigError
from ovsam.strict import suggest_names
from ovsam.weights.hub import require
from ovsam.weights.known_weights import KNOWN_MODELS

MODEL_FILE = "model.safetensors"
VOCABULARY_FILE = "vocabulary.safetensors"


def find_weights(init: Path) -> Path:
    """Return the weight file that an --init means: of a stage's folder, itself, or of a name."""
    check_init(init)
    if init.is_dir():
        return init / MODEL_FILE
    if init.exists():
        return init
    paths = require(str(init))
    if len(paths) != 1:
        raise ConfigError(
            f"the weights '{init}' are {len(paths)} files, expected one; join them by "
            "`ovsam models convert`"
        )
    return paths[0]


def check_init(init: Path) -> None:
    """Refuse what is neither a folder nor a file nor the name of weights."""
    if not init.exists() and str(init) not in KNOWN_MODELS:
        raise ConfigError(
            f"no folder or file at {init}; expected the folder of a stage, a file of weights or a "
            f"name of `ovsam models list`{suggest_names(str(init), list(KNOWN_MODELS))}"
        )


def find_own_vocabulary(model: str) -> Path | None:
    """Return the classes that a training left beside its model file; None: there are none."""
    path = Path(model).with_name(VOCABULARY_FILE)
    is_trained = model not in KNOWN_MODELS and Path(model).name == MODEL_FILE
    return path if is_trained and path.is_file() else None
