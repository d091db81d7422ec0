"""Embeddings of texts and examples on disk, under a name that says what they are of.

A name is a digest of all that a file depends on, so that none can be out of date. A damaged file is
noticed by its checksum, computed again and replaced. The files that a process used can be given to
other machines, which then compute nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ovsam.weights.files import find_cache_folder, write_atomically

logger = logging.getLogger(__name__)

# Files that this process has read or written: `collect_used_files` sends them to other machines.
_used_files: set[Path] = set()
# Part of a file's name and content: raise it when what a file holds changes its meaning.
_FORMAT = "1"


def recall_or_compute(
    depends_on: Sequence[object],
    shapes: Mapping[str, tuple[int, ...]],
    compute: Callable[[], Mapping[str, Tensor]],
    cache_dir: Path | None = None,
) -> dict[str, Tensor]:
    """Return float32 tensors by name, from disk where they were computed before.

    Args:
        depends_on: JSON-like values: everything that the tensors follow from.
        shapes: of each tensor; -1 for a side that may be any.
        compute: makes them.
        cache_dir: folder of the cache; None: `text/` in `OVSAM_CACHE`, else in `~/.cache/ovsam`.
    """
    content = json.dumps([_FORMAT, *depends_on])
    key = hashlib.sha256(content.encode()).hexdigest()
    path = (_find_folder() if cache_dir is None else Path(cache_dir)) / f"{key[:40]}.safetensors"
    _used_files.add(path)
    cached = _read(path, shapes)
    if cached is not None:
        return cached
    tensors = {name: tensor.contiguous() for name, tensor in compute().items()}
    metadata = {"format": _FORMAT, "sha256": _hash(tensors)}
    try:
        write_atomically(path, save(tensors, metadata))
    except OSError as error:
        logger.warning("embeddings are not cached, cannot write %s: %s", path, error)
    return tensors


def collect_used_files() -> dict[str, bytes]:
    """Return name and content of the cache files that this process has used so far."""
    return {path.name: path.read_bytes() for path in _used_files if path.is_file()}


def store_files(files: Mapping[str, bytes]) -> None:
    """Add another machine's `collect_used_files` to this one's cache, so that it computes nothing.

    A damaged file needs no check here: it is noticed when it is read.
    """
    for name, content in files.items():
        path = _find_folder() / Path(name).name
        if not path.is_file():
            try:
                write_atomically(path, content)
            except OSError as error:
                logger.warning("cannot write %s: %s; it is computed again", path, error)


def _find_folder() -> Path:
    return find_cache_folder() / "text"


def _read(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor] | None:
    """Return the tensors of a file; None where there are none, or they are damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError) as error:
        logger.warning("cached embeddings are damaged and computed again: %s: %s", path, error)
        return None
    is_whole = tensors.keys() == shapes.keys() and all(
        len(tensors[name].shape) == len(shape)
        and all(want in (-1, side) for want, side in zip(shape, tensors[name].shape, strict=True))
        for name, shape in shapes.items()
    )
    if not is_whole or _hash(tensors) != metadata.get("sha256"):
        logger.warning("cached embeddings are damaged and computed again: %s", path)
        return None
    return tensors


def _hash(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for _, tensor in sorted(tensors.items()):
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
