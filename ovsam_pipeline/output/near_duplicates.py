"""The perceptual hashes of an output → groups of images that look the same.

Three steps, each for fewer pairs than the one before. Candidates are images that agree in all bits
of one of many random choices of the hash's bits (locality-sensitive hashing: Indyk and Motwani,
1998), the more reliable low frequencies among them; time grows little faster than their number.
Candidates that differ in few bits are compared by their frequencies, at last also with one as a
crop of the other. Who looks the same as a third image is in its group.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.output.folder import list_parts
from ovsam_pipeline.output.part_tables import iterate_tables
from ovsam_pipeline.sources.perceptual_hash import NUM_FREQUENCIES, SIDE, list_frequencies
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import FloatArray

_COLUMNS = ("file_name", "phash", "phash_detail")
_DETAIL_LETTERS = NUM_FREQUENCIES // 3 * 4
# Bits are chosen among the lowest frequencies, so many times.
_CHOSEN_FROM, _NUM_CHOICES = 40, 48
# Fewer chosen bits find more copies, and by chance more others; one more for twice the images.
_FEWEST_BITS, _MOST_BITS, _BITS_LESS = 12, 18, 4
# Of images that share a choice of bits, each is compared with so many at most.
_MOST_NEIGHBOURS = 256
# Copies differ in at most so many bits, nearly always; images of chance rarely in so few.
_MOST_APART = 14
# Correlations of the frequencies: as they are, and with one image as a crop of the other.
_LEAST_CORRELATION, _LEAST_ALIGNED = 0.5, 0.92
# Crops that are tried: how much of a side is left, and so many places along it.
_CROPS, _PLACES = (0.975, 0.95, 0.925, 0.9), 3
_PAIRS_AT_ONCE = 4096


def group_near_duplicates(output: AnyPath) -> dict[str, int]:
    """Return the number of the group of each image that looks like another one, by file name.

    Images that look like no other are not in it; nor are those that failed, are of one colour, or
    whose rows are of a version that stored no hashes. Memory: 200 bytes an image.
    """
    names, hashes, details = _read_hashes(output)
    groups = find_groups(hashes, details)
    rows = np.flatnonzero(groups >= 0)
    found = names.take(pa.array(rows)).to_pylist()
    return dict(zip(found, groups[rows].tolist(), strict=True))


def find_groups(hashes: NDArray[np.uint64], details: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return the group of each of N images, -1 of one that looks like no other: (N,) int64.

    `hashes`: (N,) uint64; `details`: (N, NUM_FREQUENCIES) int8, as `sources/perceptual_hash.py`
    makes them. Groups are numbered from 0 in the order of their first image.
    """
    parents = np.arange(len(hashes))
    for pairs in _iterate_candidates(hashes):
        new = pairs[:, parents[pairs[0]] != parents[pairs[1]]]
        for start in range(0, new.shape[1], _PAIRS_AT_ONCE):
            _join_similar(parents, details, new[:, start : start + _PAIRS_AT_ONCE])
    roots = np.array([_find_root(parents, row) for row in range(len(parents))], np.int64)
    _, number, counts = np.unique(roots, return_inverse=True, return_counts=True)
    is_grouped = counts[number] > 1
    groups = np.full(len(roots), -1, np.int64)
    # Roots are the first of their groups, so their order is that of the groups.
    groups[is_grouped] = np.unique(roots[is_grouped], return_inverse=True)[1]
    return groups


def _read_hashes(
    output: AnyPath,
) -> tuple[pa.ChunkedArray, NDArray[np.uint64], NDArray[np.int8]]:
    """Return names, hashes (N,) and details (N, NUM_FREQUENCIES) of the images that have them."""
    names: list[pa.Array] = []
    hashes, details = [np.zeros(0, np.uint64)], [np.zeros((0, NUM_FREQUENCIES), np.int8)]
    for table in iterate_tables(list_parts(output), _COLUMNS):
        if not set(_COLUMNS) <= set(table.column_names):
            continue  # of an earlier version
        texts = table["phash_detail"].to_pylist()
        is_whole = [text is not None and len(text) == _DETAIL_LETTERS for text in texts]
        known = table.filter(pa.array(is_whole, pa.bool_())).drop_null()
        names += known["file_name"].chunks
        hashes.append(known["phash"].to_numpy().astype(np.int64).view(np.uint64))
        details.append(_decode(known["phash_detail"].to_pylist()))
    return pa.chunked_array(names, pa.string()), np.concatenate(hashes), np.concatenate(details)


def _decode(texts: list[str]) -> NDArray[np.int8]:
    """Return details (N, NUM_FREQUENCIES) from their texts, which are of the right length."""
    try:
        stored = b64decode("".join(texts), validate=True)
        return np.frombuffer(stored, np.int8).reshape(len(texts), NUM_FREQUENCIES)
    except ValueError as error:
        raise OutputError(
            "expected phash_detail as ovsam writes it, got other text; label these images again "
            "with --on-existing overwrite"
        ) from error


def _iterate_candidates(hashes: NDArray[np.uint64]) -> Iterator[NDArray[np.int64]]:
    """Yield pairs of rows whose hashes agree in chosen bits and differ in few: (2, M) int64."""
    if len(hashes) < 2:
        return
    random = np.random.default_rng(0)
    num_bits = int(np.clip(np.log2(len(hashes)) - _BITS_LESS, _FEWEST_BITS, _MOST_BITS))
    for _ in range(_NUM_CHOICES):
        chosen = random.choice(_CHOSEN_FROM, num_bits, replace=False)
        mask = np.bitwise_or.reduce(np.uint64(1) << (np.uint64(63) - chosen.astype(np.uint64)))
        keys = hashes & mask
        # Equal hashes side by side: of very many, each has its like among its neighbours.
        order = np.lexsort((hashes, keys))
        for places in _compare_neighbours(keys[order], hashes[order]):
            yield order[places]


def _compare_neighbours(
    keys: NDArray[np.uint64], hashes: NDArray[np.uint64]
) -> Iterator[NDArray[np.int64]]:
    """Yield places of equal keys whose hashes are near: (2, M) int64; all are sorted by key."""
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    ends = np.repeat(np.r_[starts[1:], len(keys)], np.diff(np.r_[starts, len(keys)]))
    places = np.arange(len(keys))
    for step in range(1, _MOST_NEIGHBOURS + 1):
        places = places[places + step < ends[places]]
        if not len(places):
            return
        apart = np.bitwise_count(hashes[places] ^ hashes[places + step])
        near = places[apart <= _MOST_APART]
        yield np.stack([near, near + step])


def _join_similar(
    parents: NDArray[np.int64], details: NDArray[np.int8], pairs: NDArray[np.int64]
) -> None:
    """Join the groups of those of (2, M) pairs of rows that look the same."""
    one, other = (_to_unit(details[rows].astype(np.float32)) for rows in pairs)
    correlations = (one * other).sum(axis=1)
    unsure = np.flatnonzero((correlations >= _LEAST_CORRELATION) & (correlations < _LEAST_ALIGNED))
    if len(unsure):
        one, other = one[unsure], other[unsure]
        cropped = np.maximum(_match_crops(one, other), _match_crops(other, one))
        correlations[unsure] = np.maximum(correlations[unsure], cropped)
    for pair in pairs[:, correlations >= _LEAST_ALIGNED].T.tolist():
        low, high = sorted(_find_root(parents, row) for row in pair)
        parents[high] = low


def _find_root(parents: NDArray[np.int64], row: int) -> int:
    """Return the first image of a row's group, and shorten the way to it."""
    root = row
    while parents[root] != root:
        root = int(parents[root])
    while parents[row] != root:
        parents[row], row = root, int(parents[row])
    return root


def _to_unit(rows: FloatArray) -> FloatArray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def _match_crops(whole: FloatArray, crops: FloatArray) -> FloatArray:
    """Return how well the best crop of each image matches another image: (M,) float32 in [-1, 1].

    Both are (M, NUM_FREQUENCIES) frequencies of unit length.
    """
    best = np.full(len(whole), -1, np.float32)
    for transform in _CROP_TRANSFORMS:
        np.maximum(best, (_to_unit(whole @ transform) * crops).sum(axis=1), out=best)
    return best


def _build_crop_transforms() -> list[FloatArray]:
    """Return for each crop a matrix from an image's frequencies to the crop's, as rows."""
    places = [(share, start) for share in _CROPS for start in np.linspace(0, 1 - share, _PLACES)]
    along = {place: _transform_axis(*place) for place in places}
    rows, columns = list_frequencies()
    return [
        (along[vertical][np.ix_(rows, rows)] * along[horizontal][np.ix_(columns, columns)]).astype(
            np.float32
        )
        for vertical in places
        for horizontal in places
        if vertical[0] == horizontal[0]
    ]


def _transform_axis(share: float, start: float) -> FloatArray:
    """Return the frequencies of a part of a line, in rows by those of the whole: (SIDE, SIDE)."""
    numbers = np.arange(SIDE)
    centres = (numbers + 0.5) / SIDE
    scale = np.where(numbers == 0, np.sqrt(1 / SIDE), np.sqrt(2 / SIDE))
    line = np.cos(np.pi * np.outer(centres, numbers)) * scale
    part = np.cos(np.pi * np.outer(start + share * centres, numbers)) * scale
    # Pixels of the part from the whole's frequencies, then their own frequencies.
    frequencies: FloatArray = (line.T @ part).T.astype(np.float32)
    return frequencies


_CROP_TRANSFORMS = _build_crop_transforms()
