"""COCO and LVIS JSON files as sources: every entry of `images`, with its id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ovsam_pipeline.sources.coco_file import CocoImages
from ovsam_pipeline.sources.entry import Entry, normalise
from ovsam_pipeline.sources.local import get_state
from ovsam_pipeline.sources.remote import add_states, get_address


@dataclass(frozen=True)
class CocoFile:
    """The images of one JSON file, held compactly.

    Attributes:
        text: as the user wrote it.
        images: its entries.
    """

    text: str
    images: CocoImages

    where = "in"
    may_repeat = True

    @property
    def root(self) -> str:
        """The folder or address that its names are relative to."""
        root = self.images.root
        return normalise(root) if isinstance(root, Path) else get_address(root)

    def iterate(self, passed: Counter[str]) -> Iterator[Entry]:  # noqa: ARG002  as Source
        """Yield the entries in the order of the file; see `Source.iterate`."""
        yield from add_states(self._iterate_entries())

    def _iterate_entries(self) -> Iterator[Entry]:
        for image in self.images:
            size_bytes, mtime_ns = (
                get_state(image.path) if isinstance(image.path, Path) else (-1, 0)
            )
            yield Entry(image.path, image.name, size_bytes, mtime_ns, None, *image[2:])
