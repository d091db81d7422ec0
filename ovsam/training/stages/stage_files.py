"""The model file of a stage: written by one, read by the next."""

from __future__ import annotations

from pathlib import Path

from ovsam.errors import CheckpointError
from ovsam.load import load_model
from ovsam.model import OVSAM
from ovsam.weights.checkpoint import save_checkpoint
from ovsam.weights.known_weights import KNOWN_MODELS
from ovsam.weights.run_folder import MODEL_FILE, find_weights

LICENCE = "Apache-2.0"


def save_stage(model: OVSAM, out: Path, provenance: str) -> None:
    """Write a stage's model file, float32 and with the text tower if there is one."""
    metadata = {"licence": LICENCE, "provenance": provenance}
    save_checkpoint(model, out / MODEL_FILE, metadata)


def load_stage(init: Path) -> OVSAM:
    """Load the model of a stage's folder, a model file, or a model by its name ("nano")."""
    known = str(init) in KNOWN_MODELS and not init.exists()
    model = load_model(str(init) if known else find_weights(init))
    if not isinstance(model, OVSAM):
        raise CheckpointError(f"expected an OV-SAM in {init}, got a baseline of SAM and CLIP")
    return model
