"""What every kind of source gives: image records; and the rules on names that all kinds share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ovsam_pipeline.records import ImagePlace, ImageRecord, compute_image_id
from ovsam_pipeline.sources.left_out import LeftOut
from ovsam_pipeline.storage.remote_path import is_remote


class Source(Protocol):
    """One source, opened and checked as far as that needs no listing."""

    @property
    def text(self) -> str:
        """The source as the user wrote it."""

    @property
    def root(self) -> str:
        """What names are relative to: an absolute path or an address, without a final slash."""

    @property
    def where(self) -> str:
        """The preposition for "found no images WHERE TEXT"."""

    @property
    def may_repeat(self) -> bool:
        """Whether one image may come twice."""

    def iterate(self, prefix: str, left_out: LeftOut) -> Iterator[ImageRecord]:
        """List the images in a fixed order, their names with `prefix` in front.

        What is not listed is counted in `left_out`.
        """


def make_record(
    name: str,
    place: ImagePlace,
    size_bytes: int = -1,
    mtime_ns: int = 0,
    version: str | None = None,
) -> ImageRecord:
    """Build the record of an image that no COCO file numbers."""
    name = make_unicode(name)
    image_id = compute_image_id(name)
    return ImageRecord(image_id, name, place, size_bytes, mtime_ns, None, None, version)


def make_unicode(name: str) -> str:
    """Escape what no file name of UTF-8 has: Parquet and JSON take only Unicode."""
    if "\0" in name:
        name = name.replace("\0", "\\x00")
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def make_relative(name: str) -> str:
    """Return a name that a file gives as a relative one: not absolute, without "..".

    So no file can name another one outside of the folder, and no output has such a name.
    """
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def join_name(prefix: str, name: str) -> str:
    """Put the prefix in front of a name, unless it is an absolute path or an address."""
    return name if name.startswith("/") or is_remote(name) else prefix + name
