"""Checkpoints of a run: whole or not there, and exact to resume from.

A checkpoint is a pair: `checkpoint-<step>.safetensors` with the modules, the optimiser's moments
and the moving average, and `checkpoint-<step>.json` with everything else. The JSON file is written
last and has size and hash of the other: where it is and agrees, the checkpoint is whole. Random
generators are not kept: they depend on seed and step alone (`step_random.py`).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ovsam.checked_json import check_keys, parse_json
from ovsam.errors import CheckpointError, TrainingError, describe_error, show_value
from ovsam.training.loop.ema import MovingAverage
from ovsam.weights.files import replace_file, sweep_temporary_files

logger = logging.getLogger(__name__)

_VERSION = 1
_KEYS = {
    "version": int,
    "step": int,
    "elapsed_s": float,
    "skipped": int,
    "sums": dict[str, float],
    "settings": dict,
    "bytes": int,
    "sha256": str,
}


@dataclass
class RunState:
    """The state of a run: step, seconds, settings.

    Attributes:
        elapsed_s: Seconds spent training, all sittings together.
        skipped: Steps left out for a loss that was not finite.
        sums: Of the losses since the last line of the log, so that the next one is exact.
    """

    step: int = 0
    elapsed_s: float = 0.0
    skipped: int = 0
    sums: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainedParts:
    """What a checkpoint holds the tensors of.

    Attributes:
        average: Moving average of them, if there is one.
    """

    modules: Mapping[str, nn.Module]
    optimiser: torch.optim.Optimizer
    average: MovingAverage | None = None

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name: `module.*`, `optimiser.<row>.*`, `average.*`."""
        found = {
            f"module.{name}.{key}": tensor
            for name, module in self.modules.items()
            for key, tensor in module.state_dict().items()
        }
        for row, values in self.optimiser.state_dict()["state"].items():
            found |= {f"optimiser.{row}.{key}": tensor for key, tensor in values.items()}
        if self.average is not None:
            found |= {f"average.{name}": tensor for name, tensor in self.average.tensors.items()}
        return found

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over the tensors of a checkpoint."""
        for name, module in self.modules.items():
            module.load_state_dict(_cut(tensors, f"module.{name}."))
        rows: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _cut(tensors, "optimiser.").items():
            row, _, key = name.partition(".")
            rows.setdefault(int(row), {})[key] = tensor
        groups = self.optimiser.state_dict()["param_groups"]  # rates are set at every step
        self.optimiser.load_state_dict({"state": rows, "param_groups": groups})
        self._lay_out_moments()
        if self.average is not None:
            self.average.load(_cut(tensors, "average."))

    def _lay_out_moments(self) -> None:
        """Give moments the memory format of their weights, which a file does not keep.

        Fused AdamW walks through both in memory order: of a channels-last kernel it would mix up
        the moments.
        """
        for parameter, values in self.optimiser.state.items():
            for name, tensor in values.items():
                if tensor.shape == parameter.shape:
                    values[name] = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)


def write_run_state(
    folder: Path, state: RunState, parts: TrainedParts, settings: Mapping[str, Any], keep: int
) -> Path:
    """Write a checkpoint, then remove those before the newest `keep`."""
    path = folder / f"checkpoint-{state.step:08d}.json"
    weights = path.with_suffix(".safetensors")
    # Two names of one tensor (tied weights) are stored twice: safetensors knows no sharing.
    tensors = {name: t.detach().cpu().clone().contiguous() for name, t in parts.tensors().items()}
    try:
        _write_pair(path, weights, tensors, state, settings)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"cannot save the checkpoint {weights}: {describe_error(error)}; the one before is "
            "whole: mend it, and the same command resumes there"
        ) from error
    _sweep(folder, path, keep)
    return path


def _write_pair(
    path: Path,
    weights: Path,
    tensors: Mapping[str, Tensor],
    state: RunState,
    settings: Mapping[str, Any],
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(weights) as temporary:
        save_file(dict(tensors), str(temporary))
        digest = _hash_file(temporary)
    content = {
        "version": _VERSION,
        "step": state.step,
        "elapsed_s": state.elapsed_s,
        "skipped": state.skipped,
        "sums": state.sums,
        "settings": dict(settings),
        "bytes": weights.stat().st_size,
        "sha256": digest,
    }
    with replace_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the JSON files of a folder's checkpoints, the newest first."""
    return sorted(folder.glob("checkpoint-*.json"), reverse=True)


def read_run_state(folder: Path, parts: TrainedParts, settings: Mapping[str, Any]) -> RunState:
    """Load the newest whole checkpoint of a folder into what a run trains; none is a new run.

    A damaged one is left aside with a warning, for the one before it.
    """
    paths = list_checkpoints(folder)
    for path in paths:
        try:
            content, tensors = _read_whole(path)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            logger.warning(
                "checkpoint %s is damaged (%s); trying the one before", path, describe_error(error)
            )
            continue
        _check_settings(path, content["settings"], settings)
        try:
            parts.load(tensors)
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"expected a training checkpoint of this model at {path}, got another one's "
                f"({' '.join(str(error).split())[:200]}); give another --out folder"
            ) from error
        return RunState(
            step=content["step"],
            elapsed_s=content["elapsed_s"],
            skipped=content["skipped"],
            sums=content["sums"],
        )
    if paths:
        raise CheckpointError(
            f"expected a whole checkpoint in {folder}, got {len(paths)} damaged ones; remove "
            "checkpoint-* there to start again"
        )
    return RunState()


def _read_whole(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a pair."""
    content = parse_json(path.read_text(encoding="utf-8"))
    check_keys(content, _KEYS, "it")
    missing = _KEYS.keys() - content.keys()
    if missing:
        raise KeyError(f"no {', '.join(sorted(missing))}")
    weights = path.with_suffix(".safetensors")
    if content["version"] != _VERSION:
        raise ValueError(f"version {content['version']}, expected {_VERSION}")
    if path.stem != f"checkpoint-{content['step']:08d}":
        raise ValueError(f"it says step {content['step']}")
    size = weights.stat().st_size
    if size != content["bytes"]:
        raise ValueError(f"{weights.name} has {size} bytes of {content['bytes']}")
    if _hash_file(weights) != content["sha256"]:
        raise ValueError(f"{weights.name} has another hash than when it was written")
    return content, load_file(weights)


def _check_settings(path: Path, stored: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of other settings, naming the first that differs."""
    own = json.loads(json.dumps(own))  # tuples are lists in a file
    for name in sorted({*stored, *own}):
        if stored.get(name) != own.get(name):
            raise CheckpointError(
                f"expected {name} {show_value(stored.get(name))} as in {path}, got "
                f"{show_value(own.get(name))}; set it back to resume, or give another --out folder "
                "to start again"
            )


def _cut(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin so, without the beginning."""
    size = len(prefix)
    return {name[size:]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sweep(folder: Path, newest: Path, keep: int) -> None:
    """Remove old checkpoints, damaged ones that were newer, and what a killed run left behind."""
    paths = list_checkpoints(folder)
    place = paths.index(newest)
    for path in paths[:place] + paths[place + keep :]:
        path.unlink(missing_ok=True)  # first the file that says it is whole
    sweep_temporary_files(folder, "checkpoint-*")
    for path in folder.glob("checkpoint-*.safetensors"):
        if not path.with_suffix(".json").exists():
            path.unlink(missing_ok=True)
