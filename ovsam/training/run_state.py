"""Checkpoints of a run: written whole or not at all, and exact to resume from.

A file holds the trained modules, the optimiser, the step, the seconds spent and the states of the
random generators, so that a resumed run takes the same steps as one never stopped.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ovsam.errors import CheckpointError


@dataclass
class RunState:
    """Where a run stands."""

    step: int = 0
    elapsed_s: float = 0.0


def write_run_state(
    path: Path,
    state: RunState,
    modules: Mapping[str, nn.Module],
    optimiser: torch.optim.Optimizer,
    random: np.random.Generator,
) -> None:
    """Write a checkpoint to a temporary name, sync it, rename it."""
    content = {
        "step": state.step,
        "elapsed_s": state.elapsed_s,
        "modules": {name: module.state_dict() for name, module in modules.items()},
        "optimiser": optimiser.state_dict(),
        "numpy": random.bit_generator.state,
        "torch": torch.get_rng_state(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_run_state(
    path: Path,
    modules: Mapping[str, nn.Module],
    optimiser: torch.optim.Optimizer,
    random: np.random.Generator,
) -> RunState:
    """Load a checkpoint into what a run holds; a missing file is a new run.

    Raises:
        CheckpointError: The file is damaged or belongs to another model.
    """
    if not path.is_file():
        return RunState()
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        for name, module in modules.items():
            module.load_state_dict(content["modules"][name])
        optimiser.load_state_dict(content["optimiser"])
        random.bit_generator.state = content["numpy"]
        torch.set_rng_state(content["torch"])
    except (KeyError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"expected a training checkpoint of this run at {path}, got {error}; "
            "remove the file to start again"
        ) from error
    return RunState(step=content["step"], elapsed_s=content["elapsed_s"])
