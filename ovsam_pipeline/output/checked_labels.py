"""What people's checks have shown of an output: a certificate in run.json, OUT/calibration.json.

Both tell of the labels of one run's settings, by its fingerprint. No later run removes them: one
with the same settings leaves them as they are, after others they are stale, and said to be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ovsam.checked_json import parse_json, refuse_pipe
from ovsam.errors import ConfigError, describe_error
from ovsam.strict import build_strict
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.storage.atomic import write_atomically
from ovsam_pipeline.storage.remote_path import AnyPath

CALIBRATION_FILE = "calibration.json"
CERTIFIED = "certified"
"""The key of the certificate in run.json."""
# Scores are float32: nearer to 1, 1 - score is 0.
_LEAST = 1e-6


@dataclass(frozen=True)
class Precision:
    """How many labels are right.

    Attributes:
        checked: objects of the sample that somebody answered.
        right: those of them whose label was right.
        unanswered: objects of the sample without an answer.
        low: lower end of the interval, in [0, 1]: as if all unanswered labels were wrong.
        high: its upper end: as if they were all right.
    """

    checked: int
    right: int
    unanswered: int
    low: float
    high: float

    @property
    def drawn(self) -> int:
        """Objects of the sample."""
        return self.checked + self.unanswered

    @property
    def share(self) -> float | None:
        """Right ones among the answered, in [0, 1]; None without an answer."""
        return self.right / self.checked if self.checked else None

    def to_dict(self) -> dict[str, float | None]:
        """Return plain values for JSON."""
        ends = {"low": round(self.low, 4), "high": round(self.high, 4)}
        return {
            **asdict(self),
            **ends,
            "share": None if self.share is None else round(self.share, 4),
        }


@dataclass(frozen=True)
class ScoreMap:
    """What turns a score into a probability: sigmoid(slope · logit(score) + offset)."""

    slope: float
    offset: float

    def apply(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return the probabilities of scores, both of any shape and in [0, 1]."""
        return squash(self.slope * stretch(scores) + self.offset)


@dataclass(frozen=True)
class FittedMap:
    """A score map, and how it was found.

    Attributes:
        slope: see `ScoreMap`.
        offset: see `ScoreMap`.
        answers: checked labels that it is from.
        right: how many of them were right.
        error_before: expected calibration error of the scores as they are.
        error_after: that of the map on answers that it was not found from.
        bins_before: mean score, share of right labels, and count, of each bin of scores.
        bins_after: the same of probabilities, each of a map that had not seen the answer.
    """

    slope: float
    offset: float
    answers: int
    right: int
    error_before: float
    error_after: float
    bins_before: tuple[tuple[float, float, int], ...]
    bins_after: tuple[tuple[float, float, int], ...]

    @property
    def map(self) -> ScoreMap:
        """The map itself."""
        return ScoreMap(self.slope, self.offset)


@dataclass(frozen=True)
class Calibration:
    """OUT/calibration.json.

    Attributes:
        label: from 1 - risk: the label is right, name and mask.
        name: from the score: the name is right where there is an object at all; None where too few
            answers are on objects.
        sampled: objects of the uniform sample, answered or not.
        people: who answered.
        fingerprint: of the labels.
        at: when, ISO 8601 in UTC.
    """

    label: FittedMap
    name: FittedMap | None
    sampled: int
    people: tuple[str, ...]
    fingerprint: str
    at: str


@dataclass(frozen=True)
class ClassCertificate:
    """The threshold of one class; as in `Certificate`."""

    category: str
    threshold: float
    accepted: int
    objects: int
    checks: int
    wrong: int


@dataclass(frozen=True)
class Certificate:
    """run.json's `certified`: up to which risk labels are as right as was asked.

    Attributes:
        target: least share of right labels among the accepted ones.
        confidence: least probability, before the sample was drawn, not to promise this wrongly.
        threshold: greatest risk of accepted objects; None: none could be certified.
        accepted: objects within the threshold.
        objects: all objects.
        later: how many of them came after the sample was drawn, which it says nothing of.
        checks: objects of the sample within the threshold, or in the strictest test that failed.
        wrong: how many of these were wrong or not answered.
        sampled: objects of the whole sample.
        unanswered: how many of these nobody answered.
        right: how many of these were right.
        looks: how often a sample of these labels was tested for this target, this time included.
        classes: thresholds of single classes, which hold together with the same confidence.
        people: who answered.
        fingerprint: of the labels.
        at: when, ISO 8601 in UTC.
        stale: whether a run with other settings has changed the labels since.
        revised: whether people have taken back answers since that it rests on.
    """

    target: float
    confidence: float
    threshold: float | None
    accepted: int
    objects: int
    later: int
    checks: int
    wrong: int
    sampled: int
    unanswered: int
    right: int
    looks: int
    classes: tuple[ClassCertificate, ...]
    people: tuple[str, ...]
    fingerprint: str
    at: str
    stale: bool = False
    revised: bool = False

    @property
    def accepted_share(self) -> float:
        """Accepted objects among all, in [0, 1]."""
        return self.accepted / self.objects if self.objects else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `from_run` reads them back."""
        return {**asdict(self), "accepted_share": round(self.accepted_share, 4)}


def read_certificate(run: Mapping[str, Any]) -> Certificate | None:
    """Return the certificate in what run.json holds; None without one, or with a damaged one."""
    stored = run.get(CERTIFIED)
    if not isinstance(stored, Mapping):
        return None
    try:
        values = {name: value for name, value in stored.items() if name != "accepted_share"}
        found = build_strict(Certificate, values, CERTIFIED)
    except ConfigError:
        return None
    if not (0 < found.target < 1 and 0 < found.confidence < 1):
        return None
    is_stale = found.stale or found.fingerprint != run.get("fingerprint")
    return replace(found, stale=is_stale)


def carry_certificate(run: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is to be written as run.json, with the certificate of the one before."""
    if CERTIFIED in run or not isinstance(old.get(CERTIFIED), dict):
        return dict(run)
    stored = old[CERTIFIED]
    is_stale = stored.get("fingerprint") != run.get("fingerprint", stored.get("fingerprint"))
    return {**run, CERTIFIED: {**stored, "stale": is_stale}}


def read_calibration(output: AnyPath) -> Calibration | None:
    """Return the calibration of an output; None where nobody has asked for one."""
    path = output / CALIBRATION_FILE
    try:
        refuse_pipe(path)
        return build_strict(Calibration, parse_json(path.read_bytes()), CALIBRATION_FILE)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # also a ConfigError
        raise OutputError(
            f"cannot read {path}: {describe_error(error)}; make it anew: ovsam review {output} "
            "--calibrate"
        ) from error


def need_calibration(output: AnyPath, fingerprint: str) -> Calibration:
    """Return the calibration of an output's labels; a ConfigError where there is none of them.

    `fingerprint` is that of run.json.
    """
    found = read_calibration(output)
    if found is None or found.fingerprint != fingerprint:
        which = "one of labels of other settings" if found else "none"
        raise ConfigError(
            f"expected a calibration of the labels of {output}, got {which}; make it with ovsam "
            f"review {output} --calibrate"
        )
    return found


def write_calibration(output: AnyPath, calibration: Calibration) -> None:
    """Replace OUT/calibration.json."""
    text = json.dumps(asdict(calibration), ensure_ascii=False, indent=1)
    write_atomically(output / CALIBRATION_FILE, f"{text}\n".encode())


def stretch(scores: ArrayLike) -> NDArray[np.float64]:
    """Return the logits of probabilities, cut so that they are finite."""
    values = np.clip(np.asarray(scores, np.float64), _LEAST, 1 - _LEAST)
    return np.log(values) - np.log1p(-values)


def squash(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities of logits; neither end overflows."""
    return 0.5 * (1 + np.tanh(0.5 * logits))
