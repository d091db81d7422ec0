"""Which of our objects answers which annotation: one to one in each image, greedily by weight.

Letters: E pairs of an annotation and an object of its image.
"""

from __future__ import annotations

import numpy as np


def match_greedily(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return which pairs of the greedy one-to-one matching are taken: (E,) bool.

    The heaviest pair is taken, all pairs of its two ends fall away, and so on. `first`: (E,)
    numbers of the one side. `second`: of the other. `weights`: (E,), those of 0 and less never
    match; of equal ones the earlier pair goes first.
    """
    taken = np.zeros(len(weights), bool)
    # By rank, so that no two weights are equal and each round takes at least one pair.
    order = np.argsort(-weights, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    left = np.flatnonzero(weights > 0)
    if not len(left):
        return taken
    size_first, size_second = int(first.max()) + 1, int(second.max()) + 1
    while len(left):
        # A pair that is the best of both its ends is in the greedy matching, whatever comes later.
        best_first = _find_least(first[left], rank[left], size_first)
        best_second = _find_least(second[left], rank[left], size_second)
        is_best = (best_first[first[left]] == rank[left]) & (
            best_second[second[left]] == rank[left]
        )
        new = left[is_best]
        taken[new] = True
        is_used_first, is_used_second = np.zeros(size_first, bool), np.zeros(size_second, bool)
        is_used_first[first[new]] = True
        is_used_second[second[new]] = True
        left = left[~(is_used_first[first[left]] | is_used_second[second[left]])]
    return taken


def _find_least(groups: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    least = np.full(size, np.iinfo(np.int64).max)
    np.minimum.at(least, groups, values)
    return least
