"""Masks of millions of objects, on disk while they are not looked at.

COCO segmentations go in as they stand in the JSON file, in order, and come out by row. They lie in
an unnamed temporary file, so memory stays small and nothing is left behind when the process ends.
"""

from __future__ import annotations

import mmap
import tempfile
import weakref
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from ovsam_pipeline.errors import OutputError

__all__ = ["SegmentStore"]

_BUFFER_BYTES = 1 << 20


class SegmentStore:
    """Append-only rows of COCO segmentations: polygons, run lengths of both kinds, or None."""

    def __init__(self) -> None:
        self._stream = tempfile.TemporaryFile(prefix="ovsam-masks-", buffering=_BUFFER_BYTES)  # noqa: SIM115 - lives as long as the store
        weakref.finalize(self, self._stream.close)
        self._offsets = array("q", [0])
        self._map: mmap.mmap | bytes | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._offsets) - 1

    def append(self, segmentation: Any) -> None:
        """Add a row; see `append_many`."""
        self.append_many([segmentation])

    def append_many(self, segmentations: Sequence[Any]) -> None:
        """Add rows.

        Args:
            segmentations: as in a COCO file: list of polygons, {"size", "counts"}, or None.

        Raises:
            OutputError: the temporary file cannot be written (disk full).
        """
        pieces = [_dump(item) for item in segmentations]
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        self._offsets.frombytes((np.cumsum(lengths) + self._offsets[-1]).tobytes())
        try:
            self._stream.write("".join(pieces).encode("ascii"))
        except OSError as error:
            raise OutputError(
                f"cannot keep masks in {tempfile.gettempdir()}: {error.strerror}; name a folder "
                "with more space in TMPDIR"
            ) from error
        self._map = None

    def read(self, row: int) -> Any:
        """Return a row as it was appended (`counts` of compressed run lengths as text)."""
        return self.read_many(np.array([row]))[0]

    def read_many(self, rows: np.ndarray) -> list[Any]:
        """Return rows, in the order asked for.

        Args:
            rows: (M,) integers; -1 gives None.
        """
        content = self._map_file()
        result = []
        for row in rows.tolist():
            start, end = (self._offsets[row], self._offsets[row + 1]) if row >= 0 else (0, 0)
            result.append(None if start == end else _load(content[start:end]))
        return result

    def _map_file(self) -> mmap.mmap | bytes:
        """Return the file's bytes: pages of the disk cache, which the system can take back."""
        if self._map is None:
            self._stream.flush()
            size = self._offsets[-1]
            self._map = (
                mmap.mmap(self._stream.fileno(), size, access=mmap.ACCESS_READ) if size else b""
            )
        return self._map


def _dump(segmentation: Any) -> str:
    """Return ASCII: "H W counts" of compressed run lengths, by far the most; else JSON."""
    if segmentation is None:
        return ""
    if isinstance(segmentation, dict) and isinstance(counts := segmentation["counts"], str):
        height, width = segmentation["size"]
        return f"{height} {width} {counts}"
    return orjson.dumps(segmentation).decode()


def _load(data: bytes) -> Any:
    if data[:1] in b"[{":
        return orjson.loads(data)
    height, width, counts = data.split(b" ", 2)
    return {"size": [int(height), int(width)], "counts": counts.decode()}
