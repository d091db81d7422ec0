"""Score maps: that they find what the answers were made with, and hold where there is little."""

import numpy as np
import pytest

from ovsam_pipeline.output.checked_labels import ScoreMap
from ovsam_pipeline.review.calibration import cross_fit, fit_score_map, list_bins, measure_error


def draw(truth: ScoreMap, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    scores = rng.random(count)
    return scores, rng.random(count) < truth.apply(scores)


def test_many_answers_find_the_map_they_were_made_with():
    scores, is_right = draw(ScoreMap(1.7, -0.8), 20_000)
    found = fit_score_map(scores, is_right)
    assert (found.slope, found.offset) == pytest.approx((1.7, -0.8), abs=0.08)


def test_map_lowers_the_error_on_labels_it_has_not_seen():
    scores, is_right = draw(ScoreMap(2.0, 2.5), 5000)
    found = fit_score_map(scores[:50], is_right[:50])
    before = measure_error(scores[50:], is_right[50:])
    assert before > 0.2
    assert measure_error(found.apply(scores[50:]), is_right[50:]) < 0.06


def test_map_keeps_the_order_of_scores():
    found = fit_score_map(np.array([0.2, 0.9, 0.8, 0.4]), np.array([False, True, True, False]))
    mapped = found.apply([0.0, 0.3, 0.7, 1.0])
    assert (np.diff(mapped) > 0).all()
    assert ((mapped >= 0) & (mapped <= 1)).all()


def test_scores_that_tell_the_wrong_way_round_tell_nothing():
    scores = np.linspace(0.01, 0.99, 100)
    found = fit_score_map(scores, scores < 0.5)
    assert found.slope == 0
    assert found.apply([0.1, 0.9]) == pytest.approx([0.5, 0.5], abs=0.01)


@pytest.mark.parametrize("is_right", [np.ones(60, bool), np.zeros(60, bool)], ids=["all", "none"])
def test_equal_answers_and_equal_scores_give_finite_maps(is_right):
    found = fit_score_map(np.full(60, 1.0), is_right)
    assert np.isfinite([found.slope, found.offset]).all()
    assert abs(float(found.apply(1.0)) - is_right[0]) < 0.2


def test_error_is_the_weighted_distance_of_bins():
    """Two bins: .25 where all 3 are right, and .95 where 1 of 2 is: (3 x .75 + 2 x .45) / 5."""
    chances = np.array([0.25, 0.25, 0.25, 0.95, 0.95])
    is_right = np.array([True, True, True, True, False])
    assert measure_error(chances, is_right) == pytest.approx((3 * 0.75 + 2 * 0.45) / 5)
    assert list_bins(chances, is_right) == [(0.25, 1.0, 3), (0.95, 0.5, 2)]


def test_certain_scores_are_in_the_last_bin():
    assert list_bins(np.array([1.0]), np.array([True])) == [(1.0, 1.0, 1)]


def test_error_after_is_out_of_sample():
    scores, is_right = draw(ScoreMap(2.0, 2.5), 400)
    found = cross_fit(scores, is_right)
    assert (found.answers, found.right) == (400, is_right.sum())
    assert found.error_before == pytest.approx(measure_error(scores, is_right))
    assert found.error_after < found.error_before / 3
    assert sum(count for _, _, count in found.bins_after) == 400
