import numpy as np

from ovsam_pipeline.audit.suspicion import (
    PRIOR,
    compute_box_odds,
    compute_missing_odds,
    compute_name_odds,
    compute_shape_odds,
    compute_swap_odds,
    to_suspicion,
)


def test_odds_become_a_share() -> None:
    assert to_suspicion(np.array([0.0, 1.0, 3.0, np.inf])).tolist() == [0.0, 0.5, 0.75, 1.0]


def test_a_box_is_as_doubtful_as_before_where_measurements_say_nothing() -> None:
    odds = compute_box_odds(np.array([0.8]), np.array([0.6]), np.array([0.8]))
    assert np.isclose(odds, PRIOR)


def test_each_measurement_of_a_box_moves_its_odds_the_right_way() -> None:
    base = [0.9, 0.9, 0.9]
    first = compute_box_odds(*map(np.array, base))
    for place in range(3):
        worse = [*base[:place], 0.3, *base[place + 1 :]]
        assert compute_box_odds(*map(np.array, worse)) > first


def test_a_box_that_nobody_asked_about_is_judged_by_what_was_found() -> None:
    odds = compute_box_odds(np.array([np.nan]), np.array([0.6]), np.array([1.0]))
    assert np.isclose(odds, PRIOR)


def test_a_name_is_doubtful_where_the_model_gives_it_little() -> None:
    odds = compute_name_odds(np.array([np.nan, 0.5, 0.02, 0.0]))
    assert odds[0] == 0
    assert odds[1] < odds[2] < odds[3] < np.inf
    assert np.isclose(odds[2], PRIOR)


def test_covered_objects_and_weak_ones_are_not_missing() -> None:
    ones, zero = np.ones(1), np.zeros(1)
    assert compute_missing_odds(ones, ones, ones, ones) == 0
    assert compute_missing_odds(zero, ones, ones, zero) == 0
    assert to_suspicion(compute_missing_odds(ones, ones, ones, zero)) > 0.5


def test_two_doubtful_names_that_fit_each_other_are_exchanged() -> None:
    single = compute_name_odds(np.array(0.001))
    assert compute_swap_odds(single, single) > single


def test_masks_are_doubtful_by_their_overlap_with_ours() -> None:
    odds = compute_shape_odds(np.array([np.nan, 1.0, 0.2]), np.array([1.0, 1.0, 1.0]))
    assert odds[0] == odds[1] == 0
    assert odds[2] > 0.5
