"""What a worker's machine takes over from the driver, and what both must have in common.

Taken over: variables (credentials, caches), and the folder that relative paths are meant from. In
common: the version of ovsam, the labels (weights, vocabulary, detector), and the output folder,
which a probe file shows. What differs is one sentence with the machine in it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import ovsam
from ovsam.errors import ConfigError, OvsamError, describe_error
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.labelling.labeller import RunFacts
from ovsam_pipeline.output.folder import PROBE_PREFIX, remove_probes
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath, is_remote

_PASSED_ON = (
    "AWS_",
    "AZURE_",
    "DETECTRON2_",
    "FVCORE_",
    "GOOGLE_",
    "HF_",
    "HUGGINGFACE_",
    "OVSAM_",
    "TORCH_HOME",
)


@dataclass(frozen=True)
class DriverEnvironment:
    """The process that drives a run: its machine, its working folder, and variables.

    Sent as an argument and applied in the worker's process: Ray would show the environment that it
    starts processes with, credentials included, to everybody who sees its dashboard.
    """

    host: str
    folder: str
    variables: Mapping[str, str] = field(repr=False)

    @classmethod
    def describe(cls) -> Self:
        """Return the environment of this process."""
        passed = {name: text for name, text in os.environ.items() if name.startswith(_PASSED_ON)}
        return cls(platform.node(), str(Path.cwd()), passed)

    def apply(self) -> None:
        """Set the driver's variables in this process."""
        os.environ.update(self.variables)

    def enter_folder(self, sources: Sequence[str]) -> None:
        """Enter the driver's folder; a ConfigError where it is missing and a source needs it."""
        if Path(self.folder).is_dir():
            os.chdir(self.folder)
            return
        for source in sources:
            if not is_remote(source) and not Path(source).expanduser().is_absolute():
                raise ConfigError(
                    f"{platform.node()} has no folder {self.folder}, where the command was started "
                    f"and {source} is looked for; give absolute paths that every node has, or "
                    "addresses"
                )

    def name_node(self, error: OvsamError) -> OvsamError:
        """Return an error with this machine's name, unless this is the driver's machine."""
        return error if platform.node() == self.host else name_node(error, platform.node())


def name_node(error: OvsamError, host: str) -> OvsamError:
    """Return an error of a worker with its machine in front, where it does not name it."""
    text = str(error)
    return error if text.startswith((host, "on ")) else type(error)(f"on {host}: {text}")


@functools.cache
def identify_code() -> str:
    """Return the version of the `ovsam` that runs, and a hash of its source.

    In a clone, or beside one, two machines may run different sources of one version.
    """
    digest = hashlib.blake2b(digest_size=4)
    root = Path(ovsam.__file__).parents[1]
    for path in sorted((*root.glob("ovsam/**/*.py"), *root.glob("ovsam_pipeline/**/*.py"))):
        digest.update(path.read_bytes())
    return f"{ovsam.__version__} (source {digest.hexdigest()})"


def check_version(host: str, version: str) -> None:
    """Refuse a machine with another ovsam: see `identify_code`."""
    if version != identify_code():
        raise ConfigError(
            f"{host} has ovsam {version} and this machine {identify_code()}; install the same one "
            "on every node"
        )


def check_facts(host: str, expected: RunFacts, found: RunFacts) -> None:
    """Refuse a machine that would make other labels."""
    if found.fingerprint == expected.fingerprint:
        return
    names = [
        name.removesuffix("_hash")
        for name, value in expected.depends_on.items()
        if found.depends_on.get(name) != value
    ]
    what = " and ".join(names) or "something"
    raise ConfigError(
        f"{host} would label with a different {what} than the first worker; put the same files on "
        "every node, or on storage that all of them share (OVSAM_HOME)"
    )


@dataclass(frozen=True)
class Probe:
    """A file in the output folder that every worker has to see and to answer with another file.

    `path` is None for an object store, which all machines reach under one address.
    """

    path: Path | None

    def answer(self) -> None:
        """Answer from a worker; an OutputError where it does not see or cannot write the folder."""
        if self.path is None:
            return
        host, folder = platform.node(), self.path.parent
        if not self.path.is_file():
            raise OutputError(
                f"{host} does not see the output folder {folder} of this run: it must be the same "
                "one on every node (a shared file system), or an address (s3://…)"
            )
        try:
            _name_answer(self.path, host, os.getpid()).write_text("", encoding="utf-8")
        except OSError as error:
            raise OutputError(
                f"{host} cannot write the output folder {folder}: {describe_error(error)}; give "
                "the user of Ray's processes the right to, on every node"
            ) from error

    def check(self, host: str, process: int) -> None:
        """Raise an OutputError where the answer of a worker was written somewhere else."""
        if self.path is not None and not _name_answer(self.path, host, process).exists():
            raise OutputError(
                f"what {host} writes into {self.path.parent} does not arrive here: the folder must "
                "be the same one on every node (a shared file system), or an address (s3://…)"
            )


@contextmanager
def put_probe(output: AnyPath) -> Iterator[Probe]:
    """Keep a probe in an output folder while the block runs."""
    if isinstance(output, RemotePath):
        yield Probe(None)
        return
    path = output.absolute() / f"{PROBE_PREFIX}{secrets.token_hex(8)}"
    path.write_text("ovsam", encoding="utf-8")
    try:
        yield Probe(path)
    finally:
        remove_probes(output, path.name)


def _name_answer(probe: Path, host: str, process: int) -> Path:
    return probe.with_name(f"{probe.name}-{host}-{process}")
