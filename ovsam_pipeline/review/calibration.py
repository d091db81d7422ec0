"""Checked labels → what a score is worth: the probability that a label of this score is right.

calibrated = sigmoid(slope · logit(score) + offset), by maximum likelihood of right and wrong under
a prior that begins with a temperature. A softmax at another temperature 1 / slope, whose rest
is shared by R rivals, moves a score exactly so, with the offset (slope - 1) · log R: one number is
to be found, which 50 answers are enough for. More answers leave it, as Platt's scaling does, which
also knows that some boxes hold no object. benchmarks/trust/calibration.py compares all three.

Letters: n checked labels.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ovsam_pipeline.output.checked_labels import FittedMap, ScoreMap, squash, stretch

FEWEST_ANSWERS = 50
# Measured: offsets that fit are those of 5 to 20 rivals, with many classes.
_RIVALS = 12
# How many answers' worth of faith in slope 1, and in the offset of a temperature.
_PRIOR_WEIGHTS = (1.0, 3.0)
_STEPS = 50
_BINS = 10
_FOLDS = 10
_ANSWERS_OF_BIN = 20


def fit_score_map(scores: ArrayLike, is_right: NDArray[np.bool_]) -> ScoreMap:
    """Return the map under which the answers (n,) are likeliest, by Newton's method.

    Source: Platt, Probabilistic outputs for support vector machines (1999); the prior is ours.
    """
    # With logits counted from log R, the offset of a temperature is the same for each slope.
    logits = stretch(scores) + math.log(_RIVALS)
    inputs = np.stack([logits, np.ones_like(logits)], 1)
    prior, weights = np.array([1.0, -math.log(_RIVALS)]), np.diag(_PRIOR_WEIGHTS)
    found = prior.copy()
    for _ in range(_STEPS):
        chances = squash(inputs @ found)
        gradient = inputs.T @ (is_right - chances) - weights @ (found - prior)
        curvature = (inputs * (chances * (1 - chances))[:, None]).T @ inputs + weights
        step = np.linalg.solve(curvature, gradient)
        found = found + step / max(1.0, float(np.abs(step).max()))  # far steps may overshoot
        if np.abs(step).max() < 1e-9:
            break
    slope, offset = map(float, found)
    if slope < 0:  # these answers say that better scores are worse: then scores tell nothing
        return ScoreMap(0.0, float(stretch((is_right.sum() + 1) / (len(is_right) + 2))))
    return ScoreMap(slope, offset + slope * math.log(_RIVALS))


def cross_fit(scores: ArrayLike, is_right: NDArray[np.bool_], folds: int = _FOLDS) -> FittedMap:
    """Return the map of all answers (n,), and how well such maps do on answers they have not seen.

    Each of `folds` parts of the answers gets its probabilities from a map of all others.
    """
    values = np.asarray(scores, np.float64)
    chances = np.empty(len(values))
    # Whole runs of answers, as those of one image lie together and are alike.
    part = np.arange(len(values)) * folds // max(1, len(values))
    for number in range(folds):
        held = part == number
        chances[held] = fit_score_map(values[~held], is_right[~held]).apply(values[held])
    found = fit_score_map(values, is_right)
    # In bins of few answers chance alone looks like an error.
    bins = min(_BINS, max(2, len(values) // _ANSWERS_OF_BIN))
    return FittedMap(
        found.slope,
        found.offset,
        len(values),
        int(is_right.sum()),
        measure_error(values, is_right, bins),
        measure_error(chances, is_right, bins),
        tuple(list_bins(values, is_right, bins)),
        tuple(list_bins(chances, is_right, bins)),
    )


def measure_error(chances: ArrayLike, is_right: NDArray[np.bool_], bins: int = _BINS) -> float:
    """Return the expected calibration error: mean distance of probability and truth over bins.

    Args:
        chances: (n,) probabilities in [0, 1].
        is_right: (n,).
        bins: of equal width; each counts by the labels in it.
    """
    rows = list_bins(chances, is_right, bins)
    total = sum(count for _, _, count in rows)
    return sum(count * abs(mean - share) for mean, share, count in rows) / total if total else 0.0


def list_bins(
    chances: ArrayLike, is_right: NDArray[np.bool_], bins: int = _BINS
) -> list[tuple[float, float, int]]:
    """Return mean probability, share of right labels and count of each bin that holds any."""
    values = np.asarray(chances, np.float64)
    of_label = np.minimum((values * bins).astype(int), bins - 1)
    counts = np.bincount(of_label, minlength=bins)
    sums = np.bincount(of_label, values, bins)
    right = np.bincount(of_label, is_right.astype(np.float64), bins)
    return [
        (float(sums[i] / counts[i]), float(right[i] / counts[i]), int(counts[i]))
        for i in np.flatnonzero(counts)
    ]
