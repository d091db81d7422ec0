"""List files: one image or archive a line, by path or address; they lie here or elsewhere."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urljoin

from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.sources.containers import open_containers
from ovsam_pipeline.sources.entry import Entry, is_uri, normalise
from ovsam_pipeline.sources.local import make_local_entry
from ovsam_pipeline.sources.remote import add_states, explain_remote, get_address, parse_place
from ovsam_pipeline.storage.remote_path import RemotePath
from ovsam_pipeline.storage.web_file import HttpFile


@dataclass(frozen=True)
class ListFile:
    """A text file of images.

    Attributes:
        text: as the user wrote it.
        file: the list.
    """

    text: str
    file: Path | RemotePath | HttpFile

    where = "in the list"
    may_repeat = True

    @property
    def root(self) -> str:
        """The folder of the list, which lines are relative to."""
        if isinstance(self.file, Path):
            return normalise(self.file.parent)
        return get_address(self.file).rpartition("/")[0]

    def check(self) -> None:
        """Look at the start of the file.

        Raises:
            SourceError: it cannot be read, or is no text.
        """
        with self._open() as stream:
            start = stream.read(4096)
        if b"\0" in start:
            raise SourceError(
                f"expected a text file with one image path a line, got binary: {self.text}"
            )

    def iterate(self, passed: Counter[str]) -> Iterator[Entry]:
        """Yield the images, line by line; see `Source.iterate`.

        Blank lines and lines that begin with # are skipped. Names are relative to the folder of the
        list; what lies outside of it keeps its absolute path or its address.
        """
        yield from open_containers(add_states(self._iterate_lines()), None, passed)

    def _iterate_lines(self) -> Iterator[Entry]:
        root = self.root
        with (
            self._open() as stream,
            io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape") as lines,
        ):
            for line in lines:
                item = line.strip()
                if item and not item.startswith("#"):
                    yield self._make_entry(item, root)

    def _make_entry(self, item: str, root: str) -> Entry:
        if is_uri(item):
            place = parse_place(item)
            if isinstance(place, Path):
                return make_local_entry(str(place), str(place))
            return Entry(place, get_address(place))
        if isinstance(self.file, Path) or item.startswith("/"):
            full = normalise(os.path.join(root, item))  # noqa: PTH118  the item may be absolute
            is_inside = not is_uri(root) and os.path.commonpath([root, full]) == root
            return make_local_entry(full, os.path.relpath(full, root) if is_inside else full)
        if isinstance(self.file, HttpFile):
            place = HttpFile(urljoin(self.file.url, item))
            inside = get_address(place).removeprefix(root + "/")
            return Entry(place, inside)
        return Entry(self.file.parent / item, os.path.normpath(item))

    def _open(self) -> IO[bytes]:
        try:
            return self.file.open("rb")
        except OSError as error:
            raise SourceError(
                f"cannot read the list {self.text}: {explain_remote(error)}"
            ) from error
