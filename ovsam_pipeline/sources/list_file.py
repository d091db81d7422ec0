"""List files: one image or archive per line, by path or address; the list may lie anywhere."""

from __future__ import annotations

import io
import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal
from urllib.parse import urljoin

from ovsam.errors import explain
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.containers import open_containers
from ovsam_pipeline.sources.left_out import LeftOut
from ovsam_pipeline.sources.place import (
    Place,
    add_states,
    get_root,
    get_state,
    normalise,
    parse_place,
)
from ovsam_pipeline.sources.source import join_name, make_record
from ovsam_pipeline.storage.remote_path import RemotePath, is_remote
from ovsam_pipeline.storage.web_file import HttpFile


@dataclass(frozen=True)
class ListFile:
    """A text file of images; lines are relative to the folder that it lies in."""

    text: str
    file: Place | PipedList

    where = "in the list"
    may_repeat = True

    @property
    def root(self) -> str:
        """The folder of the list, of one that is piped the current one; see `Source.root`."""
        if isinstance(self.file, PipedList):
            return normalise(Path.cwd())
        return get_root(self.file).rpartition("/")[0] or "/"

    def check(self) -> None:
        """Look at the start of the file."""
        with self._open() as stream:
            start = stream.read(4096)
        if b"\0" in start:
            raise SourceError(
                f"expected a text file with one image path per line, got binary: {self.text}"
            )

    def iterate(self, prefix: str, left_out: LeftOut) -> Iterator[ImageRecord]:
        """Yield the images, line by line; see `Source.iterate`.

        Blank lines and lines that begin with # are skipped. Names are relative to the folder of the
        list; what lies outside of it keeps its absolute path or its address.
        """
        yield from open_containers(add_states(self._iterate_lines(prefix)), None, left_out)

    def _iterate_lines(self, prefix: str) -> Iterator[ImageRecord]:
        root = self.root
        with (
            # Windows editors write a byte-order mark; names may hold any bytes.
            self._open() as stream,
            io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape") as lines,
        ):
            for number, line in enumerate(lines, 1):
                item = line.strip()
                if not item or item.startswith("#"):
                    continue
                try:
                    place = self._resolve(item, root)
                except SourceError as error:
                    raise SourceError(f"line {number} of {self.text}: {error}") from error
                name = get_root(place).removeprefix(root.rstrip("/") + "/")
                yield make_record(join_name(prefix, name), place, *get_state(place))

    def _resolve(self, item: str, root: str) -> Place:
        """Return the place that a line means; a list from elsewhere means no file of this machine.

        A line that was fetched must not choose which files of ours are read.
        """
        if is_remote(item):
            place = parse_place(item)
        elif isinstance(self.file, HttpFile):
            place = HttpFile(urljoin(self.file.url, item))
        elif isinstance(self.file, RemotePath):
            place = _join_remote(self.file.parent, item)
        else:
            place = Path(normalise(os.path.join(root, item)))  # noqa: PTH118  it may be absolute
        if isinstance(place, Path) and not isinstance(self.file, Path | PipedList):
            raise SourceError(
                f"expected an address, or a name beside the list, got {item}: a list from "
                "elsewhere cannot name files of this machine; copy the list here"
            )
        return place

    def _open(self) -> IO[bytes]:
        with explain("cannot read the list", self.text, SourceError):
            return self.file.open("rb")


class PipedList:
    """What another program lists, read to its end at once: a pipe cannot be read twice."""

    def __init__(self, source: int | str) -> None:
        """Read a file descriptor, or a path such as "/dev/fd/63"."""
        self._copy = tempfile.TemporaryFile()  # noqa: SIM115  read as often as images are listed
        with (
            explain("cannot read the list", source, SourceError),
            open(source, "rb", closefd=isinstance(source, str)) as stream,
        ):
            shutil.copyfileobj(stream, self._copy)

    def __del__(self) -> None:
        """Close without a warning: like a path, a list may simply be dropped."""
        self._copy.close()

    def open(self, mode: Literal["rb"] = "rb") -> IO[bytes]:
        """Open it anew, as `Path.open`."""
        self._copy.seek(0)
        return os.fdopen(os.dup(self._copy.fileno()), mode)


def _join_remote(folder: RemotePath, item: str) -> Place:
    """Return the object that a line of a list in a prefix means, ".." resolved in the bucket."""
    if item.startswith("/"):
        return Path(item)
    scheme, _, key = folder.uri.partition("://")
    joined = posixpath.normpath(f"{key}/{item}")
    if joined.startswith("..") or joined.partition("/")[0] != key.partition("/")[0]:
        raise SourceError(f"expected a name in the bucket of the list, got {item}")
    return RemotePath(f"{scheme}://{joined}")
