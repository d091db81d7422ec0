"""The threshold that a sample certifies: by hand, and over many samples of known truth."""

import numpy as np
import pytest

from ovsam_pipeline.review.certificate import count_allowed, count_fewest, find_threshold, is_shown


def test_fewest_checks_are_those_of_the_binomial_tail():
    """.9**28 is above .05 and .9**29 below; with one wrong label 46 are needed."""
    assert count_fewest(0.9, 0.95) == 29
    assert count_fewest(0.9, 0.95, wrong=1) == 46
    assert count_fewest(0.95, 0.95) == 59
    assert count_fewest(0.99, 0.95) == 299


def test_most_wrong_checks_are_the_other_side_of_the_fewest():
    assert [count_allowed(0.9, 0.95, n) for n in (0, 28, 29, 45, 46, 60, 61)] == [
        -1,
        -1,
        0,
        0,
        1,
        1,
        2,
    ]


def test_whole_check_needs_no_chance():
    """Where all 20 are checked, 2 wrong ones are a precision of .9 for sure, and 3 are not."""
    assert is_shown(2, 20, 20, 0.9, 0.95)
    assert not is_shown(3, 20, 20, 0.9, 0.95)


def test_right_sample_accepts_everything():
    risk = np.linspace(0, 1, 1000, dtype=np.float32)
    found = find_threshold(risk, risk[::5], np.ones(200, bool), 0.9, 0.95)
    assert found is not None
    assert found.has_passed
    assert (found.accepted, found.checks, found.wrong, found.threshold) == (1000, 200, 0, 1.0)


def test_first_failed_test_ends_the_sequence():
    """The best half is right, all else wrong: no threshold far above the half passes."""
    risk = np.linspace(0, 1, 10_000, dtype=np.float32)
    checked = risk[25::50]
    found = find_threshold(risk, checked, checked < 0.5, 0.9, 0.95)
    assert found is not None
    assert found.has_passed
    assert 0.5 <= found.accepted / 10_000 <= 0.5 / 0.9
    assert found.accepted == (risk <= found.threshold).sum()


def test_too_few_checks_pass_no_test():
    risk = np.linspace(0, 1, 10_000, dtype=np.float32)
    found = find_threshold(risk, risk[::400], np.ones(25, bool), 0.9, 0.95)
    assert found is not None
    assert not found.has_passed
    assert find_threshold(risk, risk[:0], np.ones(0, bool), 0.9, 0.95) is None


def test_bad_labels_pass_no_test():
    risk = np.linspace(0, 1, 1000, dtype=np.float32)
    found = find_threshold(risk, risk[::5], np.arange(200) % 2 == 0, 0.9, 0.95)
    assert found is not None
    assert not found.has_passed


def test_equal_risks_are_accepted_together():
    risk = np.zeros(1000, np.float32)
    found = find_threshold(risk, risk[:200], np.ones(200, bool), 0.9, 0.95)
    assert found is not None
    assert (found.accepted, found.threshold) == (1000, 0.0)


@pytest.mark.parametrize("num_objects", [400, 3000])
def test_promise_is_broken_in_at_most_one_of_twenty_samples(num_objects):
    """Labels whose precision falls from 1 to .55 along the risk: .9 is true of a part alone."""
    rng = np.random.default_rng(7)
    risk = np.sort(rng.random(num_objects)).astype(np.float32)
    is_right = rng.random(num_objects) > risk**2 / 1.3
    precision = np.cumsum(is_right) / np.arange(1, num_objects + 1)
    assert precision[-1] < 0.9
    broken = certified = 0
    for _ in range(300):
        sample = rng.choice(num_objects, 200, replace=False)
        found = find_threshold(risk, risk[sample], is_right[sample], 0.9, 0.95)
        assert found is not None
        certified += found.has_passed
        broken += found.has_passed and bool(precision[found.accepted - 1] < 0.9)
    assert certified > 180
    assert broken <= 24  # of 15 expected at the very most, 24 are 2.4 deviations away


def test_threshold_can_be_typed():
    """Four digits, rounded up, so that the objects tested are those within it."""
    risk = (np.arange(1, 1001) / 7777).astype(np.float32)
    found = find_threshold(risk, risk[::5], np.ones(200, bool), 0.9, 0.95)
    assert found is not None
    assert found.threshold == 0.1286
    assert found.accepted == 1000
