"""The rows that exist, in 28 bytes each: which image, in which state, where.

Input: what the footers of parts record. Output: a `DoneIndex`, which is searched for thousands of
images at once. Nothing here touches a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ovsam_pipeline.records import IMAGE_ID_BITS, Origin

# A key is 64 bits of the hash of a name, a computed id the first of them.
_KEY_SHIFT = np.uint64(64 - IMAGE_ID_BITS)
_KEY_REST = np.uint64((1 << (64 - IMAGE_ID_BITS)) - 1)
# Bits of a row's position: parts are far smaller than 2**30 rows.
_FAILED, _TRANSIENT = np.uint32(1 << 31), np.uint32(1 << 30)
_POSITION = np.uint32((1 << 30) - 1)


def compute_keys(texts: Iterable[str]) -> np.ndarray:
    """Return 64 bits that identify each file name or identity: (N,) uint64.

    Among ten million names the chance of two equal keys is 3 in a million.
    """
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)


def compute_key(text: str) -> int:
    """Return the key of one text."""
    return int(compute_keys([text])[0])


@dataclass(frozen=True)
class PartIndex:
    """What the footer of a part records: the settings, and of N rows, in order, which they are.

    Attributes:
        fingerprint: of the settings under which the rows were made.
        keys: (N,) uint64, `compute_key` of the file name.
        identities: (N,) uint64, `compute_key` of the image's identity when it was labelled.
        is_failed: (N,) bool, whether the status of the row is "failed".
        is_transient: (N,) bool, whether it failed for a reason that is not its own.
        origins: from where the images were listed, each once.
        origin_of: (N,) uint32, which of these.
    """

    fingerprint: str
    keys: np.ndarray
    identities: np.ndarray
    is_failed: np.ndarray
    is_transient: np.ndarray
    origins: tuple[Origin, ...]
    origin_of: np.ndarray

    def keep(self, is_kept: np.ndarray) -> PartIndex:
        """Return the index of the rows in an (N,) bool mask."""
        return PartIndex(
            self.fingerprint,
            self.keys[is_kept],
            self.identities[is_kept],
            self.is_failed[is_kept],
            self.is_transient[is_kept],
            self.origins,
            self.origin_of[is_kept],
        )


@dataclass(frozen=True, eq=False)
class DoneIndex:
    """Rows sorted by key; R rows in P parts.

    Attributes:
        names: file names of the P parts.
        keys: (R,) uint64, ascending, each once.
        identities: (R,) uint64.
        parts: (R,) uint32 numbers of parts.
        places: (R,) uint32 positions in the part; the highest bit is set for a failed row, the
            next one where it failed for a reason that is not its own.
        origins: from where the images were listed, each once.
        origin_of: (R,) uint32, which of these.
    """

    names: tuple[str, ...] = ()
    keys: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    identities: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    parts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))
    places: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))
    origins: tuple[Origin, ...] = ()
    origin_of: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.keys)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Return the row of each of (N,) uint64 keys: (N,) int64, -1 for none."""
        rows = np.searchsorted(self.keys, keys)
        if not len(self):
            return np.full(len(keys), -1, np.int64)
        rows[rows == len(self)] = 0
        return np.where(self.keys[rows] == keys, rows, -1)

    def is_failed(self, rows: np.ndarray) -> np.ndarray:
        """Return (N,) bool, whether rows are failed ones."""
        return (self.places[rows] & _FAILED) != 0

    def share_id(self, ids: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Return (N,) bool: whether a row of another image can have the id of a listed one.

        `ids`: (N,) int64. `keys`: (N,) uint64, of their names. A computed id is the start of the
        key, so that rows of equal ids are neighbours.
        """
        first, last = self._find_id_rows(ids)
        own = self.find(keys)
        return last - first > ((own >= first) & (own < last))

    def find_id(self, image_id: int) -> list[tuple[str, int]]:
        """Return part and position of the rows whose computed id is this one."""
        first, last = self._find_id_rows(np.array([image_id], np.int64))
        rows = np.arange(int(first[0]), int(last[0]))
        return [(part, int(i)) for part, found in self.group(rows).items() for i in found]

    def _find_id_rows(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the first row of each computed id, and the one after the last: (N,) int64 each."""
        is_short = (ids >= 0) & (ids < 1 << IMAGE_ID_BITS)
        starts = np.where(is_short, ids, 0).astype(np.uint64) << _KEY_SHIFT
        first = np.searchsorted(self.keys, starts)
        last = np.searchsorted(self.keys, starts | _KEY_REST, side="right")
        return first, np.where(is_short, last, first)

    def is_transient(self, rows: np.ndarray) -> np.ndarray:
        """Return (N,) bool, whether rows failed for a reason that is not the image's."""
        return (self.places[rows] & _TRANSIENT) != 0

    def find_row(self, file_name: str) -> int:
        """Return the row of one image, -1 for none."""
        return int(self.find(compute_keys([file_name]))[0])

    def find_place(self, file_name: str) -> tuple[int, str, int] | None:
        """Return the key of the identity, the part and the position of one image's row, or None."""
        row = self.find_row(file_name)
        if row < 0:
            return None
        position = int(self.places[row] & _POSITION)
        return int(self.identities[row]), self.names[int(self.parts[row])], position

    def group(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return rows, given by (N,) indices or an (R,) mask: part → (K,) positions, ascending."""
        return _group_by_part(self.names, self.parts[rows], self.places[rows] & _POSITION)


def build_done_index(
    indices: Mapping[str, PartIndex],
) -> tuple[DoneIndex, dict[str, np.ndarray]]:
    """Join the indices of parts, given by name.

    Also returns the rows to remove, of images that an earlier part has too: part → (K,) positions.
    """
    names, every = tuple(indices), list(indices.values())
    lengths = [len(index.keys) for index in every]
    parts = np.repeat(np.arange(len(every), dtype=np.uint32), lengths)
    places = _concatenate([np.arange(length, dtype=np.uint32) for length in lengths], np.uint32)
    places[_concatenate([index.is_failed for index in every], bool)] |= _FAILED
    places[_concatenate([index.is_transient for index in every], bool)] |= _TRANSIENT
    keys = _concatenate([index.keys for index in every], np.uint64)
    # Stable: of two rows of one image the one of the earlier part comes first.
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    is_double = np.zeros(len(keys), bool)
    is_double[1:] = keys[1:] == keys[:-1]
    rows = order[is_double]
    doubled = _group_by_part(names, parts[rows], places[rows] & _POSITION)
    kept = order[~is_double]
    identities = _concatenate([index.identities for index in every], np.uint64)[kept]
    origins, origin_of = _join_origins(every)
    done = DoneIndex(
        names, keys[~is_double], identities, parts[kept], places[kept], origins, origin_of[kept]
    )
    return done, doubled


def join_part_indices(fingerprint: str, indices: Sequence[PartIndex]) -> PartIndex:
    """Return the index of one part with the rows of several, under another fingerprint."""
    origins, origin_of = _join_origins(indices)
    return PartIndex(
        fingerprint,
        _concatenate([index.keys for index in indices], np.uint64),
        _concatenate([index.identities for index in indices], np.uint64),
        _concatenate([index.is_failed for index in indices], bool),
        _concatenate([index.is_transient for index in indices], bool),
        origins,
        origin_of,
    )


def _join_origins(indices: Sequence[PartIndex]) -> tuple[tuple[Origin, ...], np.ndarray]:
    """Return all origins of some parts, each once, and which of them each row has."""
    numbers: dict[Origin, int] = {}
    joined = []
    for index in indices:
        own = [numbers.setdefault(origin, len(numbers)) for origin in index.origins]
        joined.append(np.array(own, np.uint32)[index.origin_of])
    return tuple(numbers), _concatenate(joined, np.uint32)


def _concatenate(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype)


def _group_by_part(
    names: Sequence[str], parts: np.ndarray, positions: np.ndarray
) -> dict[str, np.ndarray]:
    """Return, of N rows given by number of the part and position, the positions by part name."""
    order = np.lexsort((positions, parts))
    numbers, starts = np.unique(parts[order], return_index=True)
    # One empty group where there are no rows at all.
    groups = np.split(positions[order].astype(np.int64), starts[1:])
    return {names[number]: group for number, group in zip(numbers.tolist(), groups, strict=False)}
