import itertools

import numpy as np
import pytest

from ovsam_pipeline.audit.matching import match_greedily


def match_slowly(first, second, weights):
    """The definition: heaviest pair first, each end once."""
    taken, used_first, used_second = set(), set(), set()
    for pair in sorted(range(len(weights)), key=lambda i: -weights[i]):
        if weights[pair] > 0 and first[pair] not in used_first and second[pair] not in used_second:
            taken.add(pair)
            used_first.add(first[pair])
            used_second.add(second[pair])
    return taken


@pytest.mark.parametrize("seed", range(20))
def test_rounds_of_best_pairs_are_the_greedy_matching(seed) -> None:
    rng = np.random.default_rng(seed)
    pairs = np.array(list(itertools.product(range(7), range(9))))
    weights = rng.integers(0, 6, len(pairs)) / 5  # with ties and zeros
    taken = match_greedily(pairs[:, 0], pairs[:, 1], weights)
    assert set(np.flatnonzero(taken).tolist()) == match_slowly(*pairs.T.tolist(), weights)


def test_nothing_matches_without_pairs() -> None:
    none = np.zeros(0, np.int64)
    assert match_greedily(none, none, np.zeros(0)).tolist() == []
