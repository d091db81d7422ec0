"""Answers on a uniform sample → the greatest risk up to which labels are as right as was asked.

Learn then test (Angelopoulos et al., arXiv 2110.01052, section 4) by a fixed sequence: the objects
of least risk are tested first, then a percent of the output more each time, up to the first test
that fails. The sequence is fixed before an answer is looked at, so that many thresholds need no
correction: the first of them that is not good enough passes with a probability of at most 1 -
confidence, and no later one is tested unless it does.

One test: were one label more wrong than the target allows, so few wrong ones among the checked
would be seen too rarely. The tail is exact for the objects that there are, drawn without
replacement (hypergeometric); for large outputs it is the binomial one of Clopper and Pearson.

Letters: N objects of the output, n objects of the sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovsam_pipeline.review.measure import compute_finite_tail, compute_tail

# Of the objects, tested first: fewer are too few checks to pass by, more are not the surest ones.
_FIRST_SHARE = 0.25
_STEP = 0.01
# The first test gets as many checks as it needs in all but a few of the samples.
_DEVIATIONS = 1.3
_DIGITS = 4


@dataclass(frozen=True)
class Passed:
    """The most lenient threshold that passed, or, if none did, the strictest, which was tested.

    Attributes:
        threshold: greatest risk of the objects tested.
        accepted: how many of all objects have no greater risk.
        checks: how many of the sample.
        wrong: how many of these are wrong or unanswered.
        has_passed: whether precision is what was asked for.
    """

    threshold: float
    accepted: int
    checks: int
    wrong: int
    has_passed: bool


def find_threshold(
    risk: NDArray[np.float32],
    checked_risk: NDArray[np.float32],
    is_right: NDArray[np.bool_],
    target: float,
    confidence: float,
) -> Passed | None:
    """Return up to which risk precision is at least `target`, with this confidence.

    Args:
        risk: (N,) of all objects that the sample was drawn from.
        checked_risk: (n,) of the objects of the sample.
        is_right: (n,), False also for those without an answer.
        target: precision asked for, in (0, 1).
        confidence: least probability, in (0, 1), that no threshold is returned that misses it.

    Returns:
        None where nothing was checked.
    """
    # In float64, as filters compare: a threshold has digits that a float32 has not.
    ranked = np.sort(risk).astype(np.float64)
    order = np.argsort(checked_risk)
    checked, is_wrong = checked_risk[order].astype(np.float64), ~is_right[order]
    wrong_before = np.concatenate([[0], np.cumsum(is_wrong)])
    last: Passed | None = None
    for threshold in _list_thresholds(ranked, len(checked), target, confidence):
        accepted = int(np.searchsorted(ranked, threshold, "right"))
        checks = int(np.searchsorted(checked, threshold, "right"))
        wrong = int(wrong_before[checks])
        has_passed = is_shown(wrong, checks, accepted, target, confidence)
        if has_passed or last is None:
            last = Passed(float(threshold), accepted, checks, wrong, has_passed)
        if not has_passed:
            break
    return last


def is_shown(wrong: int, checks: int, accepted: int, target: float, confidence: float) -> bool:
    """Whether so few wrong labels among the checks show a precision of at least `target`.

    `accepted`: all objects that the checks were drawn from.
    """
    # The fewest wrong labels that would be too many; the margin is for products like .1 x 30.
    too_many = math.floor(accepted * (1 - target) + 1e-9) + 1
    if too_many > accepted:
        return True
    return compute_finite_tail(wrong, checks, too_many, accepted) <= 1 - confidence + 1e-12


def count_fewest(target: float, confidence: float, wrong: int = 0) -> int:
    """Return the fewest checks that can show a precision with so many wrong labels among them.

    Of an output so large that the sample is a small part of it.
    """
    checks = math.ceil(math.log(1 - confidence) / math.log(target)) + wrong
    while compute_tail(wrong, checks, 1 - target) > 1 - confidence + 1e-12:
        checks += 1
    return checks


def count_allowed(target: float, confidence: float, checks: int) -> int:
    """Return the most wrong labels among checks that still show a precision; -1 where none would.

    Of an output so large that the sample is a small part of it.
    """
    low, high = -1, checks
    while high - low > 1:
        middle = (low + high) // 2
        is_enough = compute_tail(middle, checks, 1 - target) <= 1 - confidence + 1e-12
        low, high = (middle, high) if is_enough else (low, middle)
    return low


def _list_thresholds(
    ranked: NDArray[np.float64], num_checks: int, target: float, confidence: float
) -> NDArray[np.float64]:
    """Return the risks to test at, rising; they depend on no answer."""
    if not len(ranked) or not num_checks:
        return np.zeros(0)
    fewest = count_fewest(target, confidence)
    first = (
        fewest + _DEVIATIONS * math.sqrt(fewest * max(0.0, 1 - fewest / num_checks))
    ) / num_checks
    if len(ranked) == num_checks:
        first = 0.0  # all are checked
    shares = np.arange(max(_FIRST_SHARE, first), 1, _STEP)
    places = np.append(np.ceil(shares * len(ranked)).astype(int), len(ranked)) - 1
    return np.unique([_round_up(float(risk)) for risk in ranked[places]])


def _round_up(risk: float) -> float:
    """Return a risk with so few digits that people can type it, and no smaller."""
    if risk <= 0:
        return risk
    digits = _DIGITS - 1 - math.floor(math.log10(risk))
    rounded = round(risk, digits)
    return rounded if rounded >= risk else round(rounded + 10.0**-digits, digits)
