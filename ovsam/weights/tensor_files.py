"""Files → named tensors, without ever running code from a file; and named tensors → a file.

Safetensors, or PyTorch files read with `weights_only=True`. mmengine saves history objects next to
the weights; they are let in by name and replaced by inert stand-ins, so that mmengine itself is
neither needed nor run.
"""

import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ovsam.errors import CheckpointError, describe_error
from ovsam.weights.files import replace_file
from ovsam.weights.metadata import find_existing

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What `--dtype` means."""


class _Inert:
    """A stand-in for an object that nobody needs: takes whatever it is given, keeps nothing."""

    def __new__(cls, *_arguments: Any, **_options: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *_arguments: Any, **_options: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


# The parts of mmengine's training history; numpy's hold its curves.
_INERT_NAMES = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "mmengine.logging.message_hub.MessageHub",
    "mmengine.config.config.ConfigDict",
    "mmengine.config.config.Config",
    "builtins.getattr",
    "builtins.slice",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.ndarray",
    "_codecs.encode",
)
# Raised by torch's reader for 2,400 files with bytes cut or changed.
_DAMAGED = (
    RuntimeError, EOFError, ValueError, LookupError, OSError, AttributeError, TypeError,
    AssertionError, struct.error,
)  # fmt: skip
_ALLOWED: list[Any] = [(_Inert, name) for name in _INERT_NAMES]
_ALLOWED += [np.dtype, *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "u1", "?"))]


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a `.safetensors` file or of a PyTorch file.

    The latter holds a state dict, or one under `state_dict`, `model` or `model_state_dict`. A file
    that cannot be read, or would run code when opened, is a CheckpointError.
    """
    path = find_existing(path)
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return _find_state_dict(content, path)


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Replace a safetensors file; a CheckpointError where it cannot be written, the old one stays.

    Its mode is that of any new file: safetensors alone lets only the owner read it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as temporary:
            save_file(dict(tensors), str(temporary), dict(metadata or {}))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write {path}: {describe_error(error)}") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is truncated or not a safetensors file ({describe_error(error)}); download it "
            "again"
        ) from error


def _read_pickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_ALLOWED), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch warns of what it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error)
        if refused := _refused_part(reason):
            raise CheckpointError(
                f"{path} holds more than tensors and would run code when opened; refused. Use a "
                f"file of plain tensors (safetensors). The part refused: {refused}"
            ) from error
        raise CheckpointError(
            f"{path} is truncated or not a PyTorch file; download it again"
        ) from error
    except PermissionError as error:
        raise CheckpointError(f"cannot read {path}: {describe_error(error)}") from error
    except _DAMAGED as error:
        if "TorchScript" in str(error):
            raise CheckpointError(
                f"{path} is a TorchScript archive (OpenAI's CLIP files are), which holds code; "
                "refused. Use open_clip's file of plain tensors: "
                "`ovsam models fetch clip-rn50x16` gets one"
            ) from error
        raise CheckpointError(
            f"{path} is truncated or not a PyTorch file ({_first_line(error)}); download it again"
        ) from error


def _refused_part(reason: str) -> str:
    """Return the name of a refused global or class in torch's advice; "" where it has none."""
    found = re.search(r"[Uu]nsupported (?:GLOBAL|global|class|type):? *(?:GLOBAL )?(\S+)", reason)
    return found.group(1) if found else ""


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def _find_state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the mapping of names to tensors, also where the file nests it."""
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    tensors = {}
    if isinstance(content, dict):
        tensors = {k: v for k, v in content.items() if isinstance(k, str) and torch.is_tensor(v)}
    if not tensors:
        raise CheckpointError(f"{path} holds no named tensors; expected a model's weights")
    # Written by a model inside DistributedDataParallel.
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors
