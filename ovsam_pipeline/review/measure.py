"""Answers on a uniform sample → how many labels are right, with an interval that says how sure.

Exact tails, no normal approximation: shares are near 1 and samples small. Letters: N objects of the
output, n checked ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ovsam_pipeline.output.checked_labels import Precision

CONFIDENCE = 0.95
# Halvings of [0, 1]: more digits than a float32 has.
_HALVINGS = 40


def measure_precision(
    right: int, checked: int, unanswered: int = 0, confidence: float = CONFIDENCE
) -> Precision:
    """Return the precision of all labels, measured by a uniform sample of them.

    The interval is Clopper and Pearson's, two-sided.
    """
    drawn = checked + unanswered
    low, _ = bound_share(right, drawn, confidence)
    _, high = bound_share(right + unanswered, drawn, confidence)
    return Precision(checked, right, unanswered, low, high)


def measure_classes(
    classes: Sequence[str], is_right: NDArray[np.bool_], is_answered: NDArray[np.bool_]
) -> dict[str, Precision]:
    """Return the precision of each class of a uniform sample, those with most objects first.

    Args:
        classes: the label that each object was shown with, n names.
        is_right: (n,), whether that was right.
        is_answered: (n,), whether somebody said so.
    """
    names, of_object = np.unique(np.asarray(classes, object).astype(str), return_inverse=True)
    drawn = np.bincount(of_object, minlength=len(names))
    right = np.bincount(of_object[is_right & is_answered], minlength=len(names))
    checked = np.bincount(of_object[is_answered], minlength=len(names))
    return {
        str(names[i]): measure_precision(int(right[i]), int(checked[i]), int(drawn[i] - checked[i]))
        for i in np.argsort(-drawn, kind="stable")
    }


def bound_share(hits: int, draws: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Clopper and Pearson's interval of a share of which `hits` of `draws` were seen.

    Source: Clopper and Pearson, Biometrika 26 (1934). Each end is missed with probability (1 -
    confidence) / 2 at most.
    """
    if not draws:
        return 0.0, 1.0
    tail, misses = (1 - confidence) / 2, draws - hits
    # A share below `low` would show so many hits, that is so few misses, too rarely.
    low = 1 - _halve(lambda share: compute_tail(misses, draws, share) > tail) if hits else 0.0
    high = _halve(lambda share: compute_tail(hits, draws, share) > tail) if misses else 1.0
    return low, high


def compute_tail(most: int, draws: int, share: float) -> float:
    """Return the probability of at most `most` hits in draws that each hit so often."""
    if most >= draws or share <= 0:
        return 1.0
    if share >= 1 or most < 0:
        return 0.0
    hit, miss = math.log(share), math.log1p(-share)
    terms = (
        _log_choose(draws, hits) + hits * hit + (draws - hits) * miss for hits in range(most + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def compute_finite_tail(most: int, draws: int, hits: int, population: int) -> float:
    """Return the probability of at most `most` hits in draws without replacement.

    Of the `population`, `hits` are hits. For large ones it is `compute_tail`, else smaller.
    """
    fewest = max(0, draws - (population - hits))
    if most >= min(draws, hits):
        return 1.0
    whole = _log_choose(population, draws)
    terms = (
        _log_choose(hits, seen) + _log_choose(population - hits, draws - seen) - whole
        for seen in range(fewest, most + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def _log_choose(whole: int, part: int) -> float:
    return math.lgamma(whole + 1) - math.lgamma(part + 1) - math.lgamma(whole - part + 1)


def _halve(is_below: Callable[[float], bool]) -> float:
    """Return where a condition that holds from 0 on ends to hold."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return high
