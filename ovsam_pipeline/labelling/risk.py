"""The opinions on an object → how likely it is wrong, and why.

Several things must hold at once for an object to be right, and an opinion speaks of each: that its
name is right (`score`, `clip_score`), that its mask is (`mask_score`), that there is an object
(`detector_score`), that it is not there twice. The chance that all hold is taken as their product,

    chance = √(score · clip_score) · mask_score · detector_score · (1 - 0.9 · shared)

and times √(1 - detector_score) where the detector names another class. `shared` is how much of its
mask, or of a surer one of the same name, lies in the other: parts of a thing that is there already.
What is not known counts as 1; without `clip_score` the name's chance is `score`. The risk is
(1 - chance)³: the cube changes no order, and brings it near to the share of wrong objects, as
networks' probabilities multiplied doubt too much.

benchmarks/trust/ranking.py measures it, also against the plain product and each opinion alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovsam.masks import compute_mask_ious, find_readable_masks
from ovsam_pipeline.records import ObjectRecord

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import FloatArray

_SHARED_WEIGHT = 0.9
_POWER = 3
# What stands out: of nano's right objects one in ten or fewer is beyond each.
_UNSURE_NAME, _CLOSE_NAMES, _UNSTABLE_MASK, _UNSURE_DETECTOR = 0.6, 0.2, 0.7, 0.4
_MOSTLY_SHARED = 0.5
# A higher risk always has a reason.
_HIGH_RISK = 0.5
_MOST_REASONS = 2
_LONGEST_NAME = 60


class NameOpinions(NamedTuple):
    """What else was thought of an object's name; None where nobody did.

    Attributes:
        head: the best name by the trained head alone.
        clip: the best name by frozen CLIP alone.
        rival: the model's best name but the chosen one.
        is_by_detector: whether the chosen name and its score are the detector's.
    """

    head: str | None = None
    clip: str | None = None
    rival: str | None = None
    is_by_detector: bool = False


def assess_objects(
    objects: Sequence[ObjectRecord], opinions: Sequence[NameOpinions]
) -> list[ObjectRecord]:
    """Return the objects of one image with their risks and reasons."""
    if not objects:
        return []
    # A score that is the detector's counts once.
    scores = [
        None if names.is_by_detector else item.score
        for item, names in zip(objects, opinions, strict=True)
    ]
    chances = estimate_chances(
        _to_array(scores),
        _to_array([item.clip_score for item in objects]),
        _to_array([item.mask_score for item in objects]),
        _to_array([item.prompt.detector_score for item in objects]),
        np.array([_is_contradicted(item) for item in objects]),
    )
    shared = _measure_shared(objects, chances)
    risks = to_risks(chances * (1 - _SHARED_WEIGHT * shared))
    assessed = []
    for row, (item, names) in enumerate(zip(objects, opinions, strict=True)):
        reason = _explain(item, names, float(shared[row]), float(risks[row]))
        assessed.append(replace(item, risk=float(risks[row]), reason=reason))
    return assessed


def estimate_chances(
    score: FloatArray,
    clip_score: FloatArray,
    mask_score: FloatArray,
    detector_score: FloatArray,
    is_contradicted: NDArray[np.bool_],
) -> FloatArray:
    """Return the chance that each of N objects is right, as far as it does not depend on others.

    Opinions are (N,) float32 in [0, 1], NaN where there is none; `is_contradicted` is (N,) bool,
    whether the detector names another class. Returns (N,) float32.
    """
    name = _fill(score)
    name = np.where(np.isnan(clip_score), name, np.sqrt(name * _fill(clip_score)))
    detector = _fill(detector_score)
    against = np.where(is_contradicted, np.sqrt(1 - detector), 1)
    return (name * _fill(mask_score) * detector * against).astype(np.float32)


def to_risks(chances: FloatArray) -> FloatArray:
    """Return the risks of N objects from their chances to be right: (N,) float32 in [0, 1]."""
    return ((1 - chances) ** _POWER).astype(np.float32)


def estimate_risks(
    score: FloatArray, mask_score: FloatArray, detector_score: FloatArray
) -> FloatArray:
    """Return the risks of N objects that were stored without, by earlier versions: (N,) float32.

    Opinions are (N,) float32, NaN where there is none. Less exact than `assess_objects`, which
    knows more.
    """
    unknown, never = np.full(len(score), np.nan, np.float32), np.zeros(len(score), bool)
    return to_risks(estimate_chances(score, unknown, mask_score, detector_score, never))


def estimate_risk(score: float, mask_score: float, detector_score: float) -> float:
    """Return the risk of one object that was stored without; see `estimate_risks`."""
    numbers = (np.array([value], np.float32) for value in (score, mask_score, detector_score))
    return float(estimate_risks(*numbers)[0])


def _is_contradicted(item: ObjectRecord) -> bool:
    """Whether the detector names another class of the vocabulary, and the model had its way."""
    return bool(item.detector_margin) and item.category == item.model_category


def _to_array(values: Sequence[float | None]) -> FloatArray:
    return np.array(values, np.float32)  # None becomes NaN


def _fill(opinion: FloatArray) -> FloatArray:
    """Return an opinion within [0, 1], 1 where there is none: detectors' scores may leave it."""
    return np.clip(np.nan_to_num(opinion, nan=1.0), 0, 1)


def _measure_shared(objects: Sequence[ObjectRecord], chances: FloatArray) -> FloatArray:
    """Return how much each mask has in common with a surer one of its name: (N,) float32 in [0, 1].

    It is a share of the smaller of both masks.
    """
    shared = np.zeros(len(objects), np.float32)
    by_name: defaultdict[str, list[int]] = defaultdict(list)
    # Stored masks, which get new names, may be damaged.
    for row in np.flatnonzero(_are_readable(objects)).tolist():
        by_name[objects[row].category].append(row)
    for rows in by_name.values():
        if len(rows) > 1:
            surest_first = np.array(rows)[np.argsort(-chances[rows], kind="stable")]
            common = _compute_common_shares([objects[row] for row in surest_first])
            # Each against those before it, which are surer.
            shared[surest_first] = np.tril(common, -1).max(axis=1)
    return shared


def _are_readable(objects: Sequence[ObjectRecord]) -> NDArray[np.bool_]:
    return find_readable_masks([item.segmentation for item in objects])


def _compute_common_shares(objects: Sequence[ObjectRecord]) -> FloatArray:
    """Return what each two masks have in common as a share of the smaller one: (N, N) float32."""
    masks = [item.segmentation for item in objects]
    areas = np.array([item.area for item in objects], np.float64)
    ious = np.clip(compute_mask_ious(masks, masks), 0, 1)
    common = ious / (1 + ious) * (areas[:, None] + areas)
    smaller = np.maximum(np.minimum(areas[:, None], areas), 1)
    return np.clip(common / smaller, 0, 1).astype(np.float32)


def _explain(item: ObjectRecord, names: NameOpinions, shared: float, risk: float) -> str | None:
    """Return what speaks against an object, worst first; None where nothing stands out."""
    detector = item.prompt.detector_score
    doubts = []
    if shared > _MOSTLY_SHARED:
        doubts.append((1 - shared, f"mostly the same as a surer {_to_plain(item.category)}"))
    if _is_contradicted(item):
        doubts.append((1 - detector, f"detector says {_to_plain(item.prompt.detector_category)}"))
    name_chance, name_doubt = _doubt_name(item, names)
    if name_chance < _UNSURE_NAME:
        doubts.append((name_chance, name_doubt))
    if item.mask_score < _UNSTABLE_MASK:
        doubts.append((item.mask_score, "mask unstable"))
    if detector < _UNSURE_DETECTOR:
        doubts.append((detector, "detector unsure"))
    if not doubts and risk > _HIGH_RISK:
        doubts = [
            (name_chance, name_doubt),
            (item.mask_score, "mask unstable"),
            (detector, "detector unsure"),
        ]
        doubts = [min(doubts)]
    return "; ".join(text for _, text in sorted(doubts)[:_MOST_REASONS]) or None


def _doubt_name(item: ObjectRecord, names: NameOpinions) -> tuple[float, str]:
    """Return the chance that the name is right, and what speaks against it."""
    score = 1.0 if names.is_by_detector else item.score
    chance = score if item.clip_score is None else math.sqrt(score * item.clip_score)
    doubt = "name unsure"
    if item.clip_score is None or item.model_category is None:
        return chance, doubt
    if item.category != item.model_category:
        doubt = f"model says {_to_plain(item.model_category)}"
    elif names.clip != item.category:
        doubt = f"head and CLIP disagree: CLIP says {_to_plain(names.clip)}"
    elif names.rival is not None and item.margin is not None and item.margin < _CLOSE_NAMES:
        doubt = f"two names close: {_to_plain(item.category)} or {_to_plain(names.rival)}"
    elif names.head != item.category:
        doubt = f"head and CLIP disagree: head says {_to_plain(names.head)}"
    return chance, doubt


def _to_plain(name: str | None) -> str:
    """Return a name from a file as one short line."""
    kept = "".join(letter if letter.isprintable() else " " for letter in name or "?")
    line = " ".join(kept.split())
    return line if len(line) <= _LONGEST_NAME else f"{line[:_LONGEST_NAME]}…"
