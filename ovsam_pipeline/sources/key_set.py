"""A set of 64-bit keys at 8 to 16 bytes each: which of millions of images were met before."""

from __future__ import annotations

import numpy as np


class KeySet:
    """Keys met so far, in sorted runs that double in length: adding one costs O(log n).

    A Python set of ints takes about 70 bytes per key.
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def __len__(self) -> int:
        """Return the number of different keys."""
        return sum(len(run) for run in self._runs)

    def __contains__(self, key: int) -> bool:
        """Return whether one key was added."""
        wanted = np.array([key], np.uint64)
        return any(bool(contains(run, wanted)[0]) for run in self._runs)

    def add(self, keys: np.ndarray) -> np.ndarray:
        """Add keys, (N,) uint64 in any order, best thousands at once.

        Return (N,) bool, whether a key is met for the first time; of equal ones only the first is.
        """
        is_new = np.zeros(len(keys), bool)
        _, first = np.unique(keys, return_index=True)
        is_new[first] = True
        for run in self._runs:
            is_new &= ~contains(run, keys)
        self._insert(np.sort(keys[is_new]))
        return is_new

    def _insert(self, run: np.ndarray) -> None:
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            merged = np.concatenate([self._runs.pop(), run])
            merged.sort(kind="stable")  # two sorted halves: a merge
            run = merged
        if len(run):
            self._runs.append(run)


def contains(run: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return (N,) bool, which keys are in a sorted run."""
    places = np.searchsorted(run, keys)
    places[places == len(run)] = 0
    return run[places] == keys if len(run) else np.zeros(len(keys), bool)
