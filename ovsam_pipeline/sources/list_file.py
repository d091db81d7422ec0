"""List files: one image or archive per line, by path or address; the list may lie anywhere."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
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
from ovsam_pipeline.storage.remote_path import is_remote
from ovsam_pipeline.storage.web_file import HttpFile


@dataclass(frozen=True)
class ListFile:
    """A text file of images; lines are relative to the folder that it lies in."""

    text: str
    file: Place

    where = "in the list"
    may_repeat = True

    @property
    def root(self) -> str:
        """The folder of the list; see `Source.root`."""
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
            for line in lines:
                item = line.strip()
                if item and not item.startswith("#"):
                    name, place = self._resolve(item, root)
                    yield make_record(join_name(prefix, name), place, *get_state(place))

    def _resolve(self, item: str, root: str) -> tuple[str, Place]:
        """Return the name and the place that a line means."""
        if is_remote(item):
            place = parse_place(item)
            return get_root(place), place
        if isinstance(self.file, Path) or item.startswith("/"):
            path = normalise(os.path.join(root, item))  # noqa: PTH118  the item may be absolute
            return path.removeprefix(root.rstrip("/") + "/"), Path(path)
        if isinstance(self.file, HttpFile):
            web = HttpFile(urljoin(self.file.url, item))
            return get_root(web).removeprefix(root + "/"), web
        return os.path.normpath(item), self.file.parent / item

    def _open(self) -> IO[bytes]:
        with explain("cannot read the list", self.text, SourceError):
            return self.file.open("rb")
