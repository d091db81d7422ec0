"""Who names an object: OV-SAM, the detector, or both together; and how far apart they are.

Input: a prediction and the detections that prompted it. Output: one `ChosenLabel` per prompt.

Let p be OV-SAM's probabilities over the vocabulary's classes, d the detector's class and s its
score. The detector's distribution is q: s on d, and the rest, 1 - s, as OV-SAM spreads it over the
other classes. Fused is their geometric mean, as OV-SAM fuses its own two halves:

    q(d) = s      q(k) = (1 - s) · p(k) / (1 - p(d))      f(k) = √(p(k) · q(k)), scaled to sum 1

A detector that is as sure of its class as OV-SAM changes nothing; a surer one pulls towards its
class, a less sure one away from it. The number of classes in the vocabulary plays no part. Where d
is a class that the model cannot see (`name_table.py`: "person"), f is q.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ovsam.errors import ConfigError

if TYPE_CHECKING:
    from ovsam.structures import Prediction
    from ovsam_pipeline.detectors.base import Detections
    from ovsam_pipeline.labelling.rules import LabelRules

# Detectors' scores may reach or leave [0, 1]; a certain detector would silence OV-SAM.
_LEAST_DOUBT = 1e-6


@dataclass(frozen=True)
class ChosenLabel:
    """The label of one object.

    Attributes:
        index: of the class in the vocabulary.
        score: of that class: OV-SAM's probability, the detector's score, or the fused one.
        detector_margin: OV-SAM's probability of its own label minus that of the detector's class;
            None where that class has no counterpart, or the model named nothing.
        is_by_detector: whether name and score are the detector's alone.
    """

    index: int
    score: float
    detector_margin: float | None
    is_by_detector: bool = False


def choose_label(
    prediction: Prediction, found: Detections, rules: LabelRules, row: int
) -> ChosenLabel:
    """Return the label of one prompt.

    A box without a class, or of a class without a counterpart, is OV-SAM's to name. Where the model
    named nothing there are no such boxes, as `rules` left them out, unless the detector breaks its
    word: a ConfigError.
    """
    name = found.category_names[row] if found.category_names is not None else None
    given = None if name is None else (rules.detector_labels or {}).get(name)
    if not prediction.is_named:
        if given is None:
            raise ConfigError(
                "expected the detector to name every box, got one without a class; the model names "
                "nothing here; correct the detector, or use --labels model with a model that does"
            )
        return ChosenLabel(given, float(found.scores[row]), None, is_by_detector=True)
    own, own_score = int(prediction.labels[row]), float(prediction.scores[row])
    if given is None:
        return ChosenLabel(own, own_score, None)
    logits = _normalise(prediction.fused_logits[row, :-1].astype(np.float64))
    margin = 0.0 if own == given else float(np.exp(logits[own]) - np.exp(logits[given]))
    score = float(found.scores[row])
    if rules.labels == "detector":
        return ChosenLabel(given, score, margin, is_by_detector=True)
    if rules.labels == "fused":
        from ovsam.classifier import EXCLUDED  # imports torch, which labels alone need

        # Of a class without a prototype the model has no probability to weigh the detector's with.
        is_known = prediction.fused_logits[row, given] > EXCLUDED
        fused = fuse_with_detector(logits, given, score, is_known=bool(is_known))
        best = int(fused.argmax())
        return ChosenLabel(best, float(np.exp(fused[best])), margin)
    return ChosenLabel(own, own_score, margin)


def fuse_with_detector(
    log_probabilities: np.ndarray, label: int, score: float, *, is_known: bool = True
) -> np.ndarray:
    """Return the log of the fused distribution; the formula is at the top of this file.

    `log_probabilities`: (K,) float64, OV-SAM's. `label`: index of the detector's class. `score`:
    the detector's, cut to [1e-6, 1 - 1e-6]. `is_known`: false where the model cannot see that
    class: q stands alone then. Returns (K,) float64 log-probabilities.
    """
    sure = min(max(score, _LEAST_DOUBT), 1 - _LEAST_DOUBT)
    others = np.delete(log_probabilities, label)
    if not len(others):
        return np.zeros(1)
    detector = np.log1p(-sure) + log_probabilities - np.logaddexp.reduce(others)
    detector[label] = np.log(sure)
    return _normalise((log_probabilities + detector) / 2 if is_known else detector)


def _normalise(logits: np.ndarray) -> np.ndarray:
    return logits - np.logaddexp.reduce(logits)
