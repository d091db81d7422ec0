"""The opinions on an object → how likely it is wrong.

The opinions are probabilities of different things that must all hold: that the label is right, that
the mask is, that there is an object at all. Their product ranks errors better than any of them
alone (benchmarks/trust/ranking.py).
"""

from __future__ import annotations

import numpy as np

from ovsam.structures import FloatArray


def estimate_risks(
    score: FloatArray, mask_score: FloatArray, detector_score: FloatArray
) -> FloatArray:
    """Return how likely each of N objects is wrong, in [0, 1]: (N,) float32.

    Each opinion is (N,), NaN where there is none.
    """
    chances = np.stack([score, mask_score, detector_score]).astype(np.float32)
    chances = np.clip(np.nan_to_num(chances, nan=1.0), 0, 1)
    return 1 - chances.prod(axis=0)


def estimate_risk(score: float, mask_score: float, detector_score: float) -> float:
    """Return how likely one object is wrong; see `estimate_risks`."""
    numbers = (np.array([value], np.float32) for value in (score, mask_score, detector_score))
    return float(estimate_risks(*numbers)[0])
