"""Where a run writes, or an earlier one wrote: -o and OUT on the command line → checked places.

Input: texts as the user wrote them. Output: local folders, or prefixes on a store whose bucket
exists. What is wrong with them is reported here, before anything slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ovsam.errors import ConfigError, describe_error, explain
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath, is_remote, parse_path

_READ_ONLY = ("http", "https", "file")


def choose_output(sources: Sequence[str], output: str | None, ending: str) -> AnyPath:
    """Return the output folder: as given, or next to the first source, its name with `ending`.

    The output of a source with an address is in the current folder.
    """
    path = _find_neighbour(sources[0], ending) if output is None else parse_output(output)
    if any(_is_same(source, path) for source in sources):
        raise ConfigError(f"the output {path} is one of the sources; give another folder as -o")
    check_store(path)
    with explain("cannot read", path, OutputError):
        # A device or socket cannot be a folder either; a store has objects alone.
        is_taken = (
            path.is_file() if isinstance(path, RemotePath) else path.exists() and not path.is_dir()
        )
    if is_taken:
        raise ConfigError(f"expected a folder as -o, got the file {path}")
    return path


def parse_output(text: str) -> AnyPath:
    """Return the folder or the prefix that a text names, without looking at it."""
    if not may_be_output(text):
        raise ConfigError(
            f"expected a folder or a writable address (s3://, gs://, az://), got {text}"
        )
    try:
        return parse_path(text)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def may_be_output(text: str) -> bool:
    """Whether a text can name an output at all; web addresses can only be read."""
    return not is_remote(text) or text.partition("://")[0].lower() not in _READ_ONLY


def find_output(text: str) -> AnyPath:
    """Return the output of an earlier run."""
    from ovsam_pipeline.output.folder import is_output

    path = parse_output(text)
    check_store(path)
    if not is_output(path):
        raise ConfigError(
            f"expected an output folder of ovsam label, got {path}; a run creates it after it has "
            "loaded its model"
        )
    return path


def check_store(path: AnyPath) -> None:
    """Check that a store can be reached and the bucket exists; pass over local folders."""
    if not isinstance(path, RemotePath):
        return
    try:
        path.check_bucket()
    except (FileNotFoundError, PermissionError, ValueError, ImportError) as error:
        raise ConfigError(f"cannot use {path}: {describe_error(error)}") from error
    except OSError as error:
        raise OutputError(f"cannot use {path}: {describe_error(error)}") from error


def _find_neighbour(source: str, ending: str) -> Path:
    _, is_address, rest = source.rpartition("://")
    first = Path(rest.partition("?")[0]) if is_address else Path(rest).expanduser()
    # A pattern has its output next to the folder that its images are in.
    while any(sign in str(first) for sign in "*?[{"):
        first = first.parent
    if is_address:
        first = Path(first.name)
    first = first.resolve()
    return first.parent / f"{first.stem if first.suffix else first.name}{ending}"


def _is_same(source: str, path: AnyPath) -> bool:
    if isinstance(path, RemotePath):
        return source.rstrip("/") == path.uri
    return not is_remote(source) and Path(source).resolve() == path.resolve()
