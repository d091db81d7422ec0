"""A pickle of named arrays (detectron2's `.pkl`) → tensors, without running anything it says.

detectron2 publishes weights as `{"model": {name: numpy array}, "__author__": text}`. Reading a
pickle means calling what it names; here every name that such a file needs is replaced by an inert
piece of our own, and any other name is refused before it is looked up. numpy itself only sees
checked sizes and raw bytes.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ovsam.errors import CheckpointError, describe_error, show_value
from ovsam.weights.tensor_files import read_tensors

# What Python's unpickler was seen to raise at files with bytes cut or changed.
_DAMAGED = (
    EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError, MemoryError,
    OverflowError, RecursionError, struct.error,
)  # fmt: skip
_KINDS = "biuf"  # booleans, integers, floats; "O" would hold objects


def read_official_file(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a `.pkl` of detectron2, a `.pth`, or a safetensors file."""
    return read_array_pickle(path) if path.suffix == ".pkl" else read_tensors(path)


def read_array_pickle(path: str | Path) -> dict[str, Tensor]:
    """Read the arrays of a pickle as tensors of their own dtypes.

    `path`: a file of named arrays, at the top or under "model"; of Python 2 or 3, any protocol.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no weight file at {path}")
    try:
        with path.open("rb") as file:
            content = _ArrayUnpickler(file, encoding="latin1").load()
    except _RefusedError as error:
        raise CheckpointError(
            f"{path} holds more than arrays and would run code when opened; refused. Expected a "
            f"detectron2 file of weights; the part refused: {error}"
        ) from error
    except (pickle.UnpicklingError, *_DAMAGED) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise CheckpointError(
            f"{path} is truncated or no pickle of arrays ({reason}); download it again"
        ) from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {describe_error(error)}") from error
    return _find_arrays(content, path)


class _RefusedError(Exception):
    """The file names something that is not part of an array."""


class _StoredType:
    """Stands for a numpy.dtype: kind and size, then its byte order."""

    def __init__(self, text: Any, *_flags: Any) -> None:
        self.text = text.decode("latin1") if isinstance(text, bytes) else str(text)
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        """Take the byte order; the rest describes records and objects, which are refused."""
        self.order = state[1]

    def to_numpy(self) -> np.dtype:
        """Return the real thing if it holds numbers."""
        kind = self.text.lstrip("<>=|")
        if not kind or kind[0] not in _KINDS or not kind[1:].isdigit():
            raise _RefusedError(
                f"an array of type {show_value(self.text, 40)}, which holds no numbers"
            )
        order = self.order if self.order in ("<", ">") else "="
        return np.dtype(order + kind)


class _StoredArray:
    """Stands for a numpy.ndarray: shape, type and bytes; made into one by `to_numpy`."""

    shape: tuple[int, ...] = ()
    stored_type: Any = None
    is_column_major = False
    data: Any = b""

    def __setstate__(self, state: Any) -> None:
        """Take what numpy saves: version, shape, type, whether column-major, bytes."""
        self.shape, self.stored_type, self.is_column_major, self.data = state[-4:]

    def to_numpy(self) -> np.ndarray:
        """Return the array, own memory, native byte order."""
        if not isinstance(self.stored_type, _StoredType):
            raise ValueError("an array without a type")
        data = self.data.encode("latin1") if isinstance(self.data, str) else self.data
        if not isinstance(data, bytes | bytearray):
            raise _RefusedError("an array of objects")
        dtype = self.stored_type.to_numpy()
        flat = np.frombuffer(data, dtype)
        order: Literal["F", "C"] = "F" if self.is_column_major else "C"
        array = flat.reshape(tuple(int(side) for side in self.shape), order=order)
        return np.array(array, dtype.newbyteorder("="), order="C")


def _begin_array(*_arguments: Any) -> _StoredArray:
    return _StoredArray()


def _read_scalar(stored_type: Any, data: Any) -> _StoredArray:
    array = _StoredArray()
    array.stored_type, array.data = stored_type, data
    return array


def _read_buffer(data: Any, stored_type: Any, shape: Any, order: Any) -> _StoredArray:
    array = _read_scalar(stored_type, data)
    array.shape, array.is_column_major = shape, order == "F"
    return array


def _encode_latin1(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise _RefusedError(f"text in the encoding {show_value(encoding, 40)}")
    return text.encode("latin1")


def _no_bytes(*arguments: Any) -> bytes:
    if arguments:
        raise _RefusedError("bytes made of something else")
    return b""


# numpy 2 renamed numpy.core to numpy._core: files hold either.
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _StoredArray,
    ("numpy", "dtype"): _StoredType,
    ("numpy._core.multiarray", "_reconstruct"): _begin_array,
    ("numpy._core.multiarray", "scalar"): _read_scalar,
    ("numpy._core.numeric", "_frombuffer"): _read_buffer,
    ("_codecs", "encode"): _encode_latin1,
    ("__builtin__", "bytes"): _no_bytes,  # how protocol 2 writes an empty array
    ("collections", "OrderedDict"): dict,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Knows the names in `_ALLOWED` and refuses all others; looks nothing up."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Return the stand-in of a name; nothing is imported."""
        module_name = module_name.replace("numpy.core", "numpy._core", 1)
        try:
            return _ALLOWED[module_name, global_name]
        except KeyError:
            raise _RefusedError(f"{module_name}.{global_name}") from None

    def persistent_load(self, pid: Any) -> Any:  # noqa: ARG002 - pickle's signature
        """Refuse references to things outside the file."""
        raise _RefusedError("a reference to something outside the file")


def _find_arrays(content: Any, path: Path) -> dict[str, Tensor]:
    """Turn the mapping of names to arrays into tensors, one at a time, letting the bytes go."""
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    tensors: dict[str, Tensor] = {}
    try:
        for name in list(content) if isinstance(content, dict) else ():
            stored = content.pop(name)
            if isinstance(stored, _StoredArray) and isinstance(name, str):
                tensors[name] = torch.from_numpy(stored.to_numpy())
    except _RefusedError as error:
        raise CheckpointError(f"expected arrays of numbers in {path}, got {error}") from error
    except _DAMAGED as error:
        raise CheckpointError(
            f"{path} is damaged: the array {show_value(name, 80)} does not fit its shape "
            f"({error}); download it again"
        ) from error
    if not tensors:
        raise CheckpointError(
            f"{path} holds no named arrays; expected a detectron2 file of weights"
        )
    return tensors
