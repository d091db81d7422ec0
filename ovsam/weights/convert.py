"""Weight files of any known layout → one safetensors file that records where it comes from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ovsam.errors import CheckpointError, ConfigError
from ovsam.weights.hub import require
from ovsam.weights.known_weights import KNOWN_MODELS
from ovsam.weights.metadata import read_metadata
from ovsam.weights.tensor_files import DTYPES

_UNKNOWN_LICENCE = "that of the source files: ask their authors"


def convert_weights(
    sources: Sequence[str],
    output: Path,
    *,
    model: str | None = None,
    trained_on: str | None = None,
    dtype: str = "fp32",
) -> dict[str, str]:
    """Load weights into a model, strictly, and write them as one file; return its metadata.

    `sources` are files, or one name of `ovsam models list` whose files are on this machine; `model`
    and `trained_on` follow from such a name.
    """
    dtypes = ("fp32", "fp16", "bf16")
    if output.suffix != ".safetensors":
        raise ConfigError(f"expected an output named *.safetensors, got {output}")
    if dtype not in dtypes:
        raise ConfigError(f"expected --dtype {', '.join(dtypes)}, got {dtype!r}")
    known = KNOWN_MODELS.get(sources[0]) if len(sources) == 1 else None
    paths = list(require(known.name)) if known else [_check_file(source) for source in sources]
    if len(paths) == 1 and _is_own(paths[0]):
        raise ConfigError(f"{paths[0]} is already a file of ovsam; use it unchanged")
    structure = model or (known.config_name if known else None)
    if structure is None:
        raise ConfigError("expected --model with the structure of the files, such as rn50x16")
    _convert(paths, output, structure, trained_on or (known.trained_on if known else None), dtype)
    return read_metadata(output)


def _convert(
    paths: Sequence[Path], output: Path, structure: str, trained_on: str | None, dtype: str
) -> None:
    from ovsam.build import build_model, get_config
    from ovsam.text.vocabulary_files import load_vocabulary
    from ovsam.weights.checkpoint import load_released_checkpoint, save_checkpoint

    if trained_on is not None:
        load_vocabulary(trained_on)  # refuses an unknown name before minutes of reading
    config = dataclasses.replace(get_config(structure), trained_on=trained_on)
    built = load_released_checkpoint(build_model(config, "meta"), list(paths))
    if not built.has_namer:
        raise CheckpointError(
            "expected CLIP's text tower among the files, got none, so class names could not be "
            "embedded; give also open_clip's file of the whole CLIP (`ovsam models list`)"
        )
    stored = DTYPES[dtype]
    save_checkpoint(built, output, _describe(paths), dtype=stored)


def _describe(paths: Sequence[Path]) -> dict[str, str]:
    """Return licence and provenance as text values for the file's metadata."""
    files = [
        {"name": path.name, "sha256": _digest(path), "size_bytes": path.stat().st_size}
        for path in paths
    ]
    return {
        "licence": " + ".join(dict.fromkeys(_licence_of(path) for path in paths)),
        "provenance": json.dumps({"files": files, "converted_by": _version()}),
        "converted_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _licence_of(path: Path) -> str:
    """Return the licence of a known file by its name; a renamed file has an unknown one."""
    for known in KNOWN_MODELS.values():
        for file in known.files:
            if path.name in file.names:
                return f"{file.licence.title} ({path.name})"
    return f"{_UNKNOWN_LICENCE} ({path.name})"


def _is_own(path: Path) -> bool:
    return path.suffix == ".safetensors" and "config" in read_metadata(path)


def _check_file(source: str) -> Path:
    path = Path(source).expanduser()
    if not path.is_file():
        raise CheckpointError(
            f"expected a weight file or a name of `ovsam models list`, got {source!r}; "
            "there is no such file"
        )
    return path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version() -> str:
    import ovsam

    return f"ovsam {ovsam.__version__}"
