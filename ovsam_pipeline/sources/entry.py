"""What every kind of source gives: entries, not yet named across sources.

Also the small rules on names that all kinds share.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from ovsam_pipeline.records import ImagePlace

_URI = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]+://")


class Entry(NamedTuple):
    """One image of a source.

    Attributes:
        place: where its bytes are; a str is a path on this machine.
        name: relative to the source's root; an absolute path or a URI when it lies outside.
        size_bytes: -1 where it could not be found, or where nobody says.
        mtime_ns: 0 where it could not be found, or where nobody says.
        version: stands for size and time where they do not tell a change.
        image_id: from a COCO file.
        width: pixels, as a COCO file states them.
        height: as `width`.
    """

    place: str | ImagePlace
    name: str
    size_bytes: int = -1
    mtime_ns: int = 0
    version: str | None = None
    image_id: int | None = None
    width: int | None = None
    height: int | None = None


class Source(Protocol):
    """One source, opened and checked as far as that needs no listing."""

    @property
    def text(self) -> str:
        """The source as the user wrote it."""

    @property
    def root(self) -> str:
        """What names are relative to: an absolute path or a URI, without a slash at the end."""

    @property
    def where(self) -> str:
        """The preposition of the sentence that says where nothing was found."""

    @property
    def may_repeat(self) -> bool:
        """Whether one image may come twice."""

    def iterate(self, passed: Counter[str]) -> Iterator[Entry]:
        """List the images in a fixed order; files passed over are counted by suffix in `passed`."""


def is_uri(text: str) -> bool:
    """Whether a text is an address ("s3://…", "https://…") and no path of this machine."""
    return _URI.match(text) is not None


def get_suffix(path: str) -> str:
    """Return the lower-case suffix of the last part, with its dot; "" without one."""
    name = path.rpartition("/")[2]
    return "." + name.rpartition(".")[2].lower() if "." in name[1:] else ""


def normalise(path: str | Path) -> str:
    """Return the absolute path without "..", links kept."""
    text = str(path)
    # Most are normal: telling so is faster by far than making them so.
    if text[:1] == "/" and "/." not in text and "//" not in text and text[-1] != "/":
        return text
    return os.path.abspath(text)  # noqa: PTH100  Path.absolute keeps ".."


def take_image(name: str, wanted: frozenset[str], passed: Counter[str]) -> bool:
    """Whether a file is wanted by its suffix; counts it in `passed` where not."""
    suffix = get_suffix(name)
    if suffix in wanted:
        return True
    passed[suffix] += 1
    return False
