"""What must hold on every machine of a cluster before work starts, and the sentence where not.

The same version of this package, the same labels (weights, vocabulary, detector), and one output
that all see and can write. Pure Python on facts and files; nothing here knows of Ray.
"""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import ovsam
from ovsam.errors import ConfigError, OvsamError
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.labelling.facts import RunFacts
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath, is_remote

_PREFIX = ".probe-"


def check_version(host: str, version: str) -> None:
    """Refuse a machine with another version of this package.

    Raises:
        ConfigError: it has another one.
    """
    if version != ovsam.__version__:
        raise ConfigError(
            f"{host} has ovsam {version} and this machine {ovsam.__version__}; install the same "
            "version on every node"
        )


def check_facts(host: str, expected: RunFacts, came: RunFacts) -> None:
    """Refuse a machine that would make other labels.

    Raises:
        ConfigError: weights, detector or vocabulary differ there.
    """
    if came.fingerprint == expected.fingerprint:
        return
    names = [
        name.removesuffix("_hash")
        for name, value in expected.depends_on.items()
        if came.depends_on.get(name) != value
    ]
    what = " and ".join(names) or "something"
    raise ConfigError(
        f"{host} would label with a different {what} than the first worker; put the same files on "
        "every node, or on storage that all of them share (OVSAM_HOME)"
    )


class Probe:
    """A file in the output folder that every worker has to see and to answer; a context manager.

    Attributes:
        path: of the file; None for an object store, which all see under one address.

    Args:
        output: the output folder.
    """

    def __init__(self, output: AnyPath) -> None:
        self.path: Path | None = None
        if not isinstance(output, RemotePath):
            self.path = output.absolute() / f"{_PREFIX}{secrets.token_hex(8)}"

    def __enter__(self) -> Self:
        if self.path is not None:
            # Of a driver that was killed: this run holds the folder, so no other one is alive.
            _remove(self.path.parent.glob(f"{_PREFIX}*"))
            self.path.write_text("ovsam", encoding="utf-8")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.path is not None:
            _remove(self.path.parent.glob(f"{self.path.name}*"))

    def check(self, host: str, process: int) -> None:
        """Look for the answer of a worker.

        Raises:
            OutputError: it wrote somewhere else.
        """
        if self.path is not None and not _name_answer(self.path, host, process).exists():
            raise OutputError(
                f"what {host} writes into {self.path.parent} does not arrive here: the folder must "
                "be the same one on every node (a shared file system), or an address (s3://…)"
            )


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()


def answer_probe(probe: Path) -> None:
    """Answer from the machine of a worker.

    Raises:
        OutputError: the folder is not there, is another one, or cannot be written.
    """
    host = platform.node()
    if not probe.is_file():
        raise OutputError(
            f"{host} does not see the output folder {probe.parent} of this run: it must be the "
            "same one on every node (a shared file system), or an address (s3://…)"
        )
    try:
        _name_answer(probe, host, os.getpid()).write_text("", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{host} cannot write the output folder {probe.parent}: {error.strerror}; give the "
            "user of Ray's processes the right to, on every node"
        ) from error


def enter_folder(folder: str, sources: Sequence[str]) -> None:
    """Go to the folder that the command was started in, as its relative paths are meant from there.

    Raises:
        ConfigError: this machine has no such folder, and a source needs it.
    """
    if Path(folder).is_dir():
        os.chdir(folder)
        return
    for source in sources:
        if not is_remote(source) and not Path(source).expanduser().is_absolute():
            raise ConfigError(
                f"{platform.node()} has no folder {folder}, where the command was started and "
                f"{source} is looked for; give absolute paths that every node has, or addresses"
            )


def name_node(error: OvsamError, host: str) -> OvsamError:
    """Return an error of a worker with its machine in front, where it does not say it."""
    text = str(error)
    return error if text.startswith((host, "on ")) else type(error)(f"on {host}: {text}")


def _name_answer(probe: Path, host: str, process: int) -> Path:
    return probe.with_name(f"{probe.name}-{host}-{process}")
