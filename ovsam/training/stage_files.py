"""The model file of a stage: written by one, read by the next."""

from __future__ import annotations

from pathlib import Path

from ovsam.checkpoint import load_checkpoint, save_checkpoint
from ovsam.errors import CheckpointError
from ovsam.load import load_model
from ovsam.model import OVSAM

LICENCE = "Apache-2.0"
MODEL_FILE = "model.safetensors"
VOCABULARY_FILE = "vocabulary.safetensors"


def save_stage(model: OVSAM, out: Path, provenance: str) -> None:
    """Write a stage's model file, float32 and with the text tower if there is one."""
    metadata = {"licence": LICENCE, "provenance": provenance}
    save_checkpoint(model, out / MODEL_FILE, metadata)


def load_stage(init: Path) -> OVSAM:
    """Load the model of a stage's folder, a model file, or a model by its name ("nano").

    Raises:
        ConfigError: no weights have this name.
        CheckpointError: a file does not fit, or is not an OV-SAM.
    """
    if init.is_dir():
        return load_checkpoint(init / MODEL_FILE)
    model = load_model(str(init))
    if not isinstance(model, OVSAM):
        raise CheckpointError(f"expected an OV-SAM in {init}, got a baseline of SAM and CLIP")
    return model
