"""Where a run writes and what it goes back to: -o and OUT on the command line → checked places.

Input: texts as the user wrote them. Output: folders of this machine or prefixes of a store whose
bucket is there. What is wrong with them is said here, before anything slow.
"""

from __future__ import annotations

from pathlib import Path

from ovsam.errors import ConfigError
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath, is_remote, parse_path

_READ_ONLY = ("http", "https", "file")


def choose_output(config: LabelConfig, ending: str = "_ovsam") -> AnyPath:
    """Return the output folder: as given, or beside the first source with `ending` behind its name.

    What lies at an address has its output in the current folder.

    Args:
        config: settings.
        ending: of the name that is made here.

    Raises:
        ConfigError: the output is one of the sources, or is on a store that cannot be used so.
        OutputError: the store cannot be reached.
    """
    path: AnyPath = (
        _place_beside(config.sources[0], ending)
        if config.output is None
        else parse_output(config.output)
    )
    if any(_is_same(source, path) for source in config.sources):
        raise ConfigError(f"the output {path} is one of the sources; give another folder as -o")
    check_store(path)
    try:
        is_file = path.is_file() if isinstance(path, RemotePath) else _is_no_folder(path)
    except OSError as error:
        raise OutputError(f"cannot look at {path}: {error.strerror or error}") from error
    if is_file:
        raise ConfigError(f"expected -o to be a folder, and {path} is a file")
    return path


def parse_output(text: str) -> AnyPath:
    """Return the folder or the prefix that a text names; nothing is asked.

    Raises:
        ConfigError: an address that cannot hold an output.
    """
    if not may_be_output(text):
        raise ConfigError(
            f"expected a folder or an address that can be written (s3://, gs://, az://), got {text}"
        )
    try:
        return parse_path(text)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def may_be_output(text: str) -> bool:
    """Whether a text can name an output at all; web addresses can only be read."""
    return not is_remote(text) or text.partition("://")[0].lower() not in _READ_ONLY


def find_output(text: str) -> AnyPath:
    """Return the output of an earlier run.

    Raises:
        ConfigError: no run has used it.
        OutputError: the store cannot be reached.
    """
    from ovsam_pipeline.output.folder import is_output

    path = parse_output(text)
    check_store(path)
    if not is_output(path):
        raise ConfigError(f"expected a folder that ovsam label wrote, got {path}")
    return path


def check_store(path: AnyPath) -> None:
    """Make sure that a store answers, knows us, and has the bucket.

    Args:
        path: a folder of this machine is not looked at.

    Raises:
        ConfigError: there is no such bucket, the login is refused, or nothing here knows the store.
        OutputError: the store cannot be reached.
    """
    if not isinstance(path, RemotePath):
        return
    try:
        path.check_bucket()
    except (FileNotFoundError, PermissionError, ValueError) as error:
        raise ConfigError(
            f"cannot use {path}: {getattr(error, 'strerror', None) or error}"
        ) from error
    except ImportError as error:
        raise ConfigError(f"cannot use {path}: {error}") from error
    except OSError as error:
        raise OutputError(f"cannot use {path}: {error.strerror or error}") from error


def _place_beside(source: str, ending: str) -> Path:
    _, is_address, rest = source.rpartition("://")
    first = Path(rest.partition("?")[0]) if is_address else Path(rest).expanduser()
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


def _is_no_folder(path: Path) -> bool:
    return path.exists() and not path.is_dir()
