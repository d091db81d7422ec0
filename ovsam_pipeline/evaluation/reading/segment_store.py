"""Masks of millions of objects, on disk while they are not looked at.

COCO segmentations are appended in the order of their file and come back by row: compressed run
lengths as bytes, anything else as it was. They lie in an unnamed temporary file, so memory stays
small and nothing is left on disk when the process ends.
"""

from __future__ import annotations

import mmap
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from ovsam.errors import describe_error
from ovsam.masks import to_rle
from ovsam_pipeline.errors import DatasetError, OutputError

_BUFFER_BYTES = 1 << 20
# Of some hundred bytes each.
MASKS_IN_MEMORY = 50_000


@dataclass(frozen=True, eq=False)
class RunLengths:
    """Compressed run lengths of n masks, joined."""

    codes: np.ndarray  # (b,) uint8, the characters
    lengths: np.ndarray  # (n,) int64, how many of them each mask has
    sizes_hw: np.ndarray  # (n, 2) int64, height and width that the masks claim


class SegmentStore:
    """Append-only rows of COCO segmentations: polygons, run lengths of both kinds, or None."""

    def __init__(self) -> None:
        self._stream = tempfile.TemporaryFile(prefix="ovsam-masks-", buffering=_BUFFER_BYTES)  # noqa: SIM115 - lives as long as the store
        weakref.finalize(self, self._stream.close)
        # Arrays, not lists: 16 bytes per row instead of some hundred.
        self._offsets = array("q", [0])
        self._heights, self._widths = array("i"), array("i")  # of run lengths, else -1
        self._map: mmap.mmap | bytes | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._offsets) - 1

    def append_many(self, segmentations: Sequence[Any]) -> None:
        """Add rows as in a COCO file: lists of polygons, {"size", "counts"}, or None."""
        pieces = []
        for item in segmentations:
            if isinstance(item, dict) and isinstance(counts := item["counts"], str):
                pieces.append(counts)
                self._heights.append(item["size"][0])
                self._widths.append(item["size"][1])
            else:
                pieces.append("" if item is None else orjson.dumps(item).decode())
                self._heights.append(-1)
                self._widths.append(-1)
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        self._append(lengths, "".join(pieces).encode("ascii"))

    def append_run_lengths(self, masks: RunLengths) -> None:
        """Add rows as `append_many`; a mask of no characters is None."""
        sizes_hw = masks.sizes_hw.astype(np.int32)
        self._heights.frombytes(sizes_hw[:, 0].tobytes())
        self._widths.frombytes(sizes_hw[:, 1].tobytes())
        self._append(masks.lengths, masks.codes.tobytes())

    def _append(self, lengths: np.ndarray, content: bytes) -> None:
        self._offsets.frombytes((np.cumsum(lengths) + self._offsets[-1]).tobytes())
        try:
            self._stream.write(content)
        except OSError as error:
            raise OutputError(
                f"cannot keep masks in {tempfile.gettempdir()}: {describe_error(error)}; name a "
                "folder with more space in TMPDIR"
            ) from error
        self._map = None

    def read(self, row: int) -> Any:
        """Return one row; see `read_many`."""
        return self.read_many(np.array([row]))[0]

    def read_many(self, rows: np.ndarray) -> list[Any]:
        """Return rows as they were appended, in the order asked for; -1 gives None."""
        content, offsets = self._map_file(), self._offsets
        result: list[Any] = []
        for row in rows.tolist():
            start, end = (offsets[row], offsets[row + 1]) if row >= 0 else (0, 0)
            if start == end:
                result.append(None)
            elif (height := self._heights[row]) < 0:
                result.append(orjson.loads(content[start:end]))
            else:
                size = [height, self._widths[row]]
                result.append({"size": size, "counts": content[start:end]})
        return result

    def read_rles(self, rows: np.ndarray, sizes_hw: np.ndarray) -> list[dict[str, Any]]:
        """Return rows as RLE, an empty mask for None and for row -1.

        `sizes_hw`: (n, 2) of their images, which polygons are drawn on; -1 where not known.
        """
        return [
            # Compressed run lengths are RLE already: most masks, of which there may be millions.
            item
            if isinstance(item, dict) and isinstance(item["counts"], bytes)
            else draw_segmentation(item, *size)
            for item, size in zip(self.read_many(rows), sizes_hw.tolist(), strict=True)
        ]

    def iterate_rles(
        self, rows: np.ndarray, sizes_hw: np.ndarray
    ) -> Iterator[tuple[slice, list[dict[str, Any]]]]:
        """Yield which rows, and those as RLE (see `read_rles`): so many as memory should hold."""
        for start in range(0, len(rows), MASKS_IN_MEMORY):
            some = slice(start, start + MASKS_IN_MEMORY)
            yield some, self.read_rles(rows[some], sizes_hw[some])

    def _map_file(self) -> mmap.mmap | bytes:
        """Return the file's bytes: pages of the disk cache, which the system can take back."""
        if self._map is None:
            self._stream.flush()
            size = self._offsets[-1]
            self._map = (
                mmap.mmap(self._stream.fileno(), size, access=mmap.ACCESS_READ) if size else b""
            )
        return self._map


def draw_segmentation(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """Return a checked segmentation as RLE; a side is -1 where the image's size is not known."""
    if segmentation is None:  # it overlaps nothing, whatever its size
        return to_rle(None, max(height, 1), max(width, 1))
    if isinstance(segmentation, list):
        check_size(height, width)
    return to_rle(segmentation, height, width)


def check_size(height: int, width: int) -> None:
    """Refuse to draw polygons on an image of unknown size (-1)."""
    if height < 0 or width < 0:
        raise DatasetError(
            "polygons need the height and width of their image, which the ground truth does not "
            "state; add `height` and `width` to its images"
        )
