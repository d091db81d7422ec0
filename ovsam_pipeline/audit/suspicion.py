"""Measurements of annotations and objects → how likely each is an error: 0..1.

Each kind of error has odds: how much more often such measurements come from an error of that kind
than from a right annotation, times how common errors are taken to be. The suspicion is
odds / (1 + odds), which puts all kinds into one list. The exponents were fitted by logistic
regression on 200 generated scenes with errors put in (`ovsam scenes --seed 9101`, nano) and
rounded; benchmarks/trust/audit.py measures them on other scenes.

Every function takes and returns (n,) float64; NaN stands for a measurement that there is not.
"""

from __future__ import annotations

import numpy as np

PRIOR = 0.02
"""Share of the annotations that are taken to have an error of each kind."""

# Where a measurement is as often that of an error as of a right annotation, in 1 - measurement.
_EVEN_ASKED, _EVEN_SUPPORT, _EVEN_STABILITY = 0.2, 0.4, 0.2
_EVEN_NAME = 0.02
_LEAST = 0.01
# What the detector overlooks is no error: support of less says no more.
_LEAST_SUPPORT = 0.1
# A probability of less is not to be had from a softmax that nobody calibrated.
_LEAST_PROBABILITY = 1e-3
_MISSING_AT_MOST = 63.0
_CERTAIN = 0.98


def to_suspicion(odds: np.ndarray) -> np.ndarray:
    """Return the suspicion of odds, which may be infinite."""
    return np.where(np.isinf(odds), 1.0, odds / (1.0 + np.minimum(odds, 1e300)))


def compute_box_odds(asked: np.ndarray, support: np.ndarray, stability: np.ndarray) -> np.ndarray:
    """Return the odds that a box is at a wrong place, of a wrong size, or around nothing.

    `asked`: IoU of the annotated box with the tight box of our mask for it. `support`: IoU with the
    box of ours that answers it, 0 for none. `stability`: that of our mask.
    """
    odds = PRIOR * ((1 - np.clip(support, _LEAST_SUPPORT, 1 - _LEAST)) / _EVEN_SUPPORT) ** 3.5
    # Where nobody asked, what we found speaks alone.
    by_asked = ((1 - np.clip(asked, 0, 1 - _LEAST)) / _EVEN_ASKED) ** 2
    by_stability = ((1 - np.clip(stability, 0, 1 - _LEAST)) / _EVEN_STABILITY) ** 2
    return odds * np.where(np.isnan(asked), 1.0, by_asked * by_stability)


def compute_name_odds(given: np.ndarray) -> np.ndarray:
    """Return the odds that a name is wrong, of the probability that the model gives it.

    NaN, and the model's own name, which the caller leaves out, have no odds.
    """
    odds = PRIOR * (_EVEN_NAME / np.clip(given, _LEAST_PROBABILITY, 1)) ** 1.6
    return np.where(np.isnan(given), 0.0, odds)


def compute_missing_odds(
    box_scores: np.ndarray, name_scores: np.ndarray, mask_scores: np.ndarray, covered: np.ndarray
) -> np.ndarray:
    """Return the odds that an object of ours is one that was not annotated.

    `covered`: share of its mask that annotated objects hold.
    """
    bare = np.clip(1 - covered, 0, 1)
    scores = np.clip(box_scores, 0, 1) ** 1.7 * np.clip(name_scores, 0, 1) ** 0.8
    return PRIOR * _MISSING_AT_MOST * scores * np.clip(mask_scores, 0, 1) ** 0.3 * bare**1.7


def compute_shape_odds(mask_iou: np.ndarray, stability: np.ndarray) -> np.ndarray:
    """Return the odds that a mask is wrong, of its IoU with ours for the same box."""
    odds = PRIOR * ((1 - np.clip(mask_iou, 0, 1)) / 0.3) ** 4 * np.clip(stability, 0, 1) ** 2
    return np.where(np.isnan(mask_iou), 0.0, odds)


def judge_contradiction(iou: np.ndarray, is_told: np.ndarray) -> np.ndarray:
    """Return the suspicion of an annotation whose box is not that of its own mask."""
    return np.where(is_told, np.clip(1 - iou, 0.5, _CERTAIN), 0.0)


def compute_other_name_odds(scores: np.ndarray) -> np.ndarray:
    """Return the odds that a name is wrong where the object found there has another one.

    `scores`: of our name; the model was not asked what it gives the annotated one.
    """
    sure = np.clip(scores, 0, 1)
    return PRIOR * 8 * sure / (1 - sure + PRIOR)


def compute_swap_odds(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the odds that two names are exchanged, of the odds that each is wrong.

    Two independent measurements speak for one error, which is as common as others.
    """
    return first * second / PRIOR
