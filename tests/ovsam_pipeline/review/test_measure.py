"""Intervals and tails against scipy's and the textbooks' numbers."""

import numpy as np
import pytest

from ovsam_pipeline.review.measure import (
    bound_share,
    compute_finite_tail,
    compute_tail,
    measure_classes,
    measure_precision,
)


@pytest.mark.parametrize(
    ("hits", "draws", "low", "high"),
    [
        (0, 10, 0.0, 0.30849710781876083),
        (10, 10, 0.6915028921812392, 1.0),
        (81, 100, 0.7193020420, 0.8815568039),
        (190, 200, 0.9099724623, 0.9757658345),
        (0, 0, 0.0, 1.0),
    ],
)
def test_interval_is_clopper_and_pearsons(hits, draws, low, high):
    """The ends are scipy.stats.beta.ppf's, computed once."""
    assert bound_share(hits, draws) == pytest.approx((low, high), abs=1e-6)


def test_tail_sums_the_binomial_terms():
    assert compute_tail(1, 3, 0.5) == pytest.approx(4 / 8)
    assert compute_tail(0, 29, 0.1) == pytest.approx(0.9**29)
    assert compute_tail(3, 3, 0.9) == 1.0
    assert compute_tail(0, 5, 0.0) == 1.0
    assert compute_tail(4, 5, 1.0) == 0.0


def test_tail_without_replacement_counts_hands():
    """Of 4 cards 2 are red: a hand of 2 has no red one in 1 of 6, at most one in 5 of 6."""
    assert compute_finite_tail(0, 2, 2, 4) == pytest.approx(1 / 6)
    assert compute_finite_tail(1, 2, 2, 4) == pytest.approx(5 / 6)
    assert compute_finite_tail(2, 2, 2, 4) == 1.0
    assert compute_finite_tail(0, 3, 2, 4) == 0.0


def test_tail_without_replacement_is_the_binomial_one_for_many():
    assert compute_finite_tail(3, 80, 10_000_000, 100_000_000) == pytest.approx(
        compute_tail(3, 80, 0.1), rel=1e-4
    )


def test_unanswered_widen_the_interval_on_both_sides():
    found = measure_precision(90, 100, unanswered=20)
    assert found.share == 0.9
    assert found.low == pytest.approx(bound_share(90, 120)[0])
    assert found.high == pytest.approx(bound_share(110, 120)[1])
    assert measure_precision(0, 0, 5).share is None


def test_classes_are_measured_apart_those_with_most_first():
    found = measure_classes(
        ["cup", "cup", "dog", "cup"],
        np.array([True, False, True, True]),
        np.array([True, True, True, False]),
    )
    assert list(found) == ["cup", "dog"]
    assert (found["cup"].checked, found["cup"].right, found["cup"].unanswered) == (2, 1, 1)
    assert found["dog"].share == 1.0
