"""The rows that exist, in 25 bytes each: which image, in which state, where.

Input: the indices of parts, one after another. Output: a `DoneIndex`, asked for thousands of images
at once. Nothing here touches a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


def compute_key(text: str) -> int:
    """Return 64 bits that stand for a file name or an identity in the index."""
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def compute_keys(texts: Iterable[str]) -> np.ndarray:
    """Return (N,) uint64, `compute_key` of each."""
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)


def compute_part_name(identities: Iterable[str], fingerprint: str) -> str:
    """Return the file name of the part that holds the rows of some images.

    The name depends on the images and the settings alone, so writing the same part twice replaces
    it instead of doubling it.

    Args:
        identities: of the images, in any order.
        fingerprint: of the settings.
    """
    digest = hashlib.blake2b(fingerprint.encode(), digest_size=8)
    for identity in sorted(identities):
        digest.update(identity.encode("utf-8") + b"\0")
    return f"part-{digest.hexdigest()}.parquet"


_FAILED = np.uint32(1 << 31)


@dataclass(frozen=True)
class PartRows:
    """What a part's footer says of its rows, in their order; N rows.

    Attributes:
        keys: (N,) uint64, `shards.compute_key` of the file name.
        identities: (N,) uint64, `shards.compute_key` of the ImageRecord's identity when it was
            labelled.
        is_failed: (N,) bool, whether the row says "failed".
    """

    keys: np.ndarray
    identities: np.ndarray
    is_failed: np.ndarray


class RowsByPart(Mapping[str, np.ndarray]):
    """Some rows, by part: file name of a part → (K,) int64 positions in it, ascending.

    Args:
        names: of all parts.
        parts: (N,) part number of each row.
        positions: (N,) position of each row in its part.
    """

    def __init__(self, names: Sequence[str], parts: np.ndarray, positions: np.ndarray) -> None:
        order = np.lexsort((positions, parts))
        self._positions = positions[order].astype(np.int64)
        numbers, starts = np.unique(parts[order], return_index=True)
        ends = np.append(starts[1:], len(order))[: len(numbers)].tolist()
        self._spans = {
            names[number]: (start, end)
            for number, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True)
        }

    def __getitem__(self, name: str) -> np.ndarray:
        start, end = self._spans[name]
        return self._positions[start:end]

    def __iter__(self) -> Iterator[str]:
        return iter(self._spans)

    def __len__(self) -> int:
        """Return the number of parts."""
        return len(self._spans)


@dataclass(frozen=True, eq=False)
class DoneIndex:
    """Rows sorted by key; R rows in P parts.

    Attributes:
        names: file names of the P parts.
        keys: (R,) uint64, ascending, each once.
        identities: (R,) uint64.
        parts: (R,) uint32 numbers of parts.
        places: (R,) uint32 positions in the part; the highest bit says "failed".
    """

    names: tuple[str, ...] = ()
    keys: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    identities: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    parts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))
    places: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.keys)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Return (N,) int64, where each of (N,) uint64 keys stands here; -1 for none."""
        rows = np.searchsorted(self.keys, keys)
        if not len(self):
            return np.full(len(keys), -1, np.int64)
        rows[rows == len(self)] = 0
        return np.where(self.keys[rows] == keys, rows, -1)

    def is_failed(self, rows: np.ndarray) -> np.ndarray:
        """Return (N,) bool, whether rows say "failed"."""
        return (self.places[rows] & _FAILED) != 0

    def find_place(self, key: int) -> tuple[int, str, int] | None:
        """Return identity, part name and position of one image; None where it has no row."""
        row = int(self.find(np.array([key], np.uint64))[0])
        if row < 0:
            return None
        position = int(self.places[row] & ~_FAILED)
        return int(self.identities[row]), self.names[int(self.parts[row])], position

    def group(self, rows: np.ndarray) -> RowsByPart:
        """Return rows, given by (N,) indices or an (R,) mask, by part."""
        return RowsByPart(self.names, self.parts[rows], self.places[rows] & ~_FAILED)


class DoneIndexBuilder:
    """Collects the rows of parts."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._rows: list[PartRows] = []

    def add(self, name: str, rows: PartRows) -> None:
        """Take what a part's footer says."""
        self._names.append(name)
        self._rows.append(rows)

    def build(self) -> tuple[DoneIndex, RowsByPart]:
        """Return the index, and the rows of images that an earlier part has as well."""
        rows, self._rows = self._rows, []
        lengths = [len(part.keys) for part in rows]
        parts = np.repeat(np.arange(len(rows), dtype=np.uint32), lengths)
        places = _concatenate([np.arange(length, dtype=np.uint32) for length in lengths], np.uint32)
        places[_concatenate([part.is_failed for part in rows], bool)] |= _FAILED
        keys = _concatenate([part.keys for part in rows], np.uint64)
        # Stable: of two rows of one image the one of the earlier part comes first.
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        is_double = np.zeros(len(keys), bool)
        is_double[1:] = keys[1:] == keys[:-1]
        doubled = RowsByPart(
            self._names, parts[order][is_double], places[order][is_double] & ~_FAILED
        )
        kept = order[~is_double]
        identities = _concatenate([part.identities for part in rows], np.uint64)[kept]
        index = DoneIndex(
            tuple(self._names), keys[~is_double], identities, parts[kept], places[kept]
        )
        return index, doubled


def _concatenate(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype)
