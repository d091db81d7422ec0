"""A safetensors file's text metadata and names of tensors, read without torch."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from ovsam.errors import CheckpointError, describe_error

TEXT_PREFIX = "text."
"""What the names of a text tower's tensors begin with in ovsam's own files."""


def read_metadata(path: str | Path) -> dict[str, str]:
    """Return the text metadata of a safetensors file."""
    return read_header(path)[0]


def read_header(path: str | Path) -> tuple[dict[str, str], frozenset[str]]:
    """Return the text metadata of a safetensors file, and the names of its tensors."""
    path = find_existing(path)
    try:
        with safe_open(str(path), framework="np") as file:
            return dict(file.metadata() or {}), frozenset(file.keys())
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a readable safetensors file ({describe_error(error)})"
        ) from error


def has_format(path: str | Path, name: str) -> bool:
    """Whether a path is a safetensors file whose metadata names this format."""
    path = Path(path)
    is_readable = path.suffix == ".safetensors" and path.is_file()
    return is_readable and read_metadata(path).get("format") == name


def find_existing(path: str | Path) -> Path:
    """Return the path of a file of weights; a CheckpointError where it cannot be one."""
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"expected a weight file, got the folder {path}; name a file in it")
    if not path.is_file():
        raise CheckpointError(f"no weight file at {path}")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path} is empty; download it again")
    return path
