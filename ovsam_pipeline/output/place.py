"""Where a run writes, or an earlier one wrote: -o and OUT on the command line → checked places.

Input: texts as the user wrote them. Output: local folders, or prefixes on a store whose bucket
exists. What is wrong with them is reported here, before anything slow.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ovsam.decode import IMAGE_SUFFIXES
from ovsam.errors import ConfigError, describe_error, explain
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.sources.patterns import split_pattern
from ovsam_pipeline.sources.place import STANDARD_INPUT
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath, is_remote, parse_path

# What follows the path of an address: a signature, a region.
_OPTIONS = re.compile(r"\?[^/]*=.*")
_READ_ONLY = ("http", "https", "file")


def choose_output(sources: Sequence[str], output: str | None, ending: str) -> AnyPath:
    """Return the output folder: as given, or beside the sources, their name with `ending`.

    The output of sources with addresses is in the current folder.
    """
    path = _choose_default(sources, ending) if output is None else parse_output(output)
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
        path.exists()  # which lists: a login that may not is refused here
    except (FileNotFoundError, PermissionError, ValueError, ImportError) as error:
        raise ConfigError(f"cannot use {path}: {describe_error(error)}") from error
    except OSError as error:
        raise OutputError(f"cannot use {path}: {describe_error(error)}") from error


def _choose_default(sources: Sequence[str], ending: str) -> Path:
    """Return the output beside the folder of the images, or beside a list or archive.

    Several sources have the output of the deepest folder that holds them all, as their names are
    relative to it: so files that a shell lists for "photos/*.jpg" share one, whichever is first.
    """
    sources = [_OPTIONS.sub("", source) if is_remote(source) else source for source in sources]
    if len(sources) == 1 and (file := _find_collection(sources[0])):
        return file.parent / f"{file.name}{ending}"
    folders = [_find_folder(source) for source in sources]
    # Beside folders of this machine, those elsewhere do not count.
    local = [folder for folder in folders if folder.is_absolute()] or folders
    common = Path(os.path.commonpath(local))
    if not common.name:
        raise ConfigError("the sources have no folder in common: name one for the output, as -o")
    return (common.parent if common.is_absolute() else Path.cwd()) / f"{common.name}{ending}"


def _find_collection(source: str) -> Path | None:
    """Return the place for the output of one list, archive or table; None for all else.

    Images, also one alone, are those of their folder: another one may come beside it.
    """
    if source == STANDARD_INPUT or source.startswith("/dev/"):
        return Path.cwd() / "stdin"
    if split_pattern(source)[1]:
        return None
    path = _to_path(source)
    is_image = path.suffix.lower() in IMAGE_SUFFIXES
    if is_image or not path.suffix or (path.is_absolute() and path.is_dir()):
        return None
    return path if path.is_absolute() else Path.cwd() / path.name


def _find_folder(source: str) -> Path:
    """Return the folder that a source is or lies in: absolute, or relative for an address."""
    folder, pattern = split_pattern(source)
    path = _to_path(folder)
    if pattern:
        return path
    is_file = path.is_file() if path.is_absolute() else path.suffix.lower() in IMAGE_SUFFIXES
    return path.parent if is_file else path


def _to_path(source: str) -> Path:
    """Return a local path, links kept; or the path of an address, relative."""
    if is_remote(source):
        return Path(source.partition("://")[2])
    return Path(os.path.abspath(Path(source).expanduser()))  # noqa: PTH100  resolves ".." alone


def _is_same(source: str, path: AnyPath) -> bool:
    if isinstance(path, RemotePath):
        return source.rstrip("/") == path.uri
    # Path.resolve raises for links in a circle.
    return not is_remote(source) and os.path.realpath(source) == os.path.realpath(path)
