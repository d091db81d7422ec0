"""An output whose sample people have checked → its certificate and its calibration, written."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ovsam.errors import ConfigError
from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.output.checked_labels import (
    CERTIFIED,
    Calibration,
    Certificate,
    ClassCertificate,
    read_certificate,
    write_calibration,
)
from ovsam_pipeline.output.folder import OutputFolder, read_run_file
from ovsam_pipeline.review.calibration import FEWEST_ANSWERS, cross_fit
from ovsam_pipeline.review.certificate import Passed, count_fewest, find_threshold
from ovsam_pipeline.review.checked import CheckedSample, Population, need_sample, read_population
from ovsam_pipeline.storage.remote_path import AnyPath

# Objects to check, where somebody has to be told a number: docs/certificates.md says what it buys.
USUAL_CHECKS = 200


def certify(output: AnyPath, target: float, confidence: float) -> Certificate:
    """Find up to which risk labels are right often enough, and write that to run.json.

    A test that fails replaces no certificate for another target.

    Args:
        output: with a uniform sample that people have answered.
        target: least share of right labels among the accepted ones, in (0, 1).
        confidence: least probability of keeping the promise, in (0, 1).

    Raises:
        ConfigError: no sample, or one that could not show this if all its labels were right.
        OutputLockedError: a run writes the output.
    """
    for name, value in (("--certify", target), ("--confidence", confidence)):
        if not 0 < value < 1:
            raise ConfigError(f"expected {name} between 0 and 1, as 0.95, got {value:g}")
    with OutputFolder(output) as folder:
        sample = need_sample(output, max(USUAL_CHECKS, 3 * count_fewest(target, confidence)))
        run = read_run_file(output)
        found = _build_certificate(
            output, sample, target, confidence, looks=_count_looks(run, sample, target)
        )
        if found.threshold is not None or not _promises_another(run, target):
            folder.write_run_file({**run, CERTIFIED: found.to_dict()})
    return found


def calibrate(output: AnyPath) -> Calibration:
    """Find what scores and risks are worth, and write that to OUT/calibration.json.

    Raises:
        ConfigError: fewer than `FEWEST_ANSWERS` objects of a uniform sample are answered.
    """
    sample = need_sample(output, USUAL_CHECKS)
    answered = sample.is_answered
    num_answers = int(answered.sum())
    if num_answers < FEWEST_ANSWERS:
        missing = FEWEST_ANSWERS - num_answers
        raise ConfigError(
            f"expected at least {FEWEST_ANSWERS} answers on objects of the sample of {output}, got "
            f"{num_answers}: {count_things(missing, 'answer')} missing; "
            f"{_advise_answers(output, sample, missing)}"
        )
    is_object = answered & sample.is_object
    has_names = is_object.sum() >= FEWEST_ANSWERS // 2
    found = Calibration(
        label=cross_fit(1 - sample.risk[answered], sample.is_right[answered]),
        name=cross_fit(sample.score[is_object], sample.is_right[is_object]) if has_names else None,
        sampled=len(sample),
        people=sample.people,
        fingerprint=sample.fingerprint,
        at=_tell_time(),
    )
    write_calibration(output, found)
    return found


def _build_certificate(
    output: AnyPath, sample: CheckedSample, target: float, confidence: float, *, looks: int
) -> Certificate:
    population = read_population(output)
    if population.estimated:
        raise ConfigError(
            f"expected a stored risk of each object of {output}, to take those below a threshold; "
            f"{population.estimated} of {len(population.risk)} have none, as an earlier version "
            "made them: label the images again, into another folder, and draw a sample there"
        )
    found = find_threshold(population.risk, sample.risk, sample.is_right, target, confidence)
    assert found is not None, "need_sample gives no empty sample"
    if not found.has_passed and len(sample) < len(population.risk):
        _refuse_few(output, len(sample), target, confidence)
    num_objects = len(population.risk)
    return Certificate(
        target=target,
        confidence=confidence,
        threshold=found.threshold if found.has_passed else None,
        accepted=found.accepted if found.has_passed else 0,
        objects=num_objects,
        later=max(0, num_objects - (sample.population - sample.gone)),
        checks=found.checks,
        wrong=found.wrong,
        sampled=len(sample),
        unanswered=int((~sample.is_answered).sum()),
        right=int(sample.is_right.sum()),
        looks=looks,
        classes=_certify_classes(population, sample, target, confidence),
        people=sample.people,
        fingerprint=sample.fingerprint,
        at=_tell_time(),
    )


def _certify_classes(
    population: Population, sample: CheckedSample, target: float, confidence: float
) -> tuple[ClassCertificate, ...]:
    """Return the classes of which enough was checked, and that passed a test of their own.

    The risk of a wrong promise is shared among the classes that are tested, so that all of them
    hold together with this confidence (Bonferroni).
    """
    counts = Counter(sample.classes).most_common()
    shared = {m: 1 - (1 - confidence) / m for m in range(1, len(counts) + 1)}
    # As many as still have checks enough when they share it.
    enough = [m for m in shared if counts[m - 1][1] >= count_fewest(target, shared[m])]
    num_tests = max(enough, default=0)
    passed = []
    for name, _ in counts[:num_tests]:
        is_checked = np.array([label == name for label in sample.classes])
        is_it = population.classes == population.names.index(name)
        risk, checked = population.risk[is_it], sample.risk[is_checked]
        right = sample.is_right[is_checked]
        found = find_threshold(risk, checked, right, target, shared[num_tests])
        if found is not None and found.has_passed:
            passed.append(_describe_class(name, found, len(risk)))
    return tuple(passed)


def _describe_class(name: str, found: Passed, num_objects: int) -> ClassCertificate:
    return ClassCertificate(
        name, found.threshold, found.accepted, num_objects, found.checks, found.wrong
    )


def _refuse_few(output: AnyPath, num_checks: int, target: float, confidence: float) -> None:
    """Refuse a sample that is too small to show the target with every label right."""
    fewest = count_fewest(target, confidence)
    if num_checks < fewest:
        raise ConfigError(
            f"expected a sample of at least {fewest} objects to certify {target:g} with "
            f"{100 * confidence:g} % confidence, got {num_checks}, which could not show it if all "
            f"were right; draw more: ovsam review {output} --sample "
            f"{max(USUAL_CHECKS, 3 * fewest)} --export csv"
        )


def _promises_another(run: dict[str, Any], target: float) -> bool:
    """Whether a certificate for another target stands, which a failed test leaves as it is."""
    before = read_certificate(run)
    if before is None or before.stale or before.threshold is None:
        return False
    return not math.isclose(before.target, target)


def _count_looks(run: dict[str, Any], sample: CheckedSample, target: float) -> int:
    """Return how often these labels were tested for this target on a growing sample, now included.

    The same sample looked at again is no new chance.
    """
    before = read_certificate(run)
    if before is None or before.stale or not math.isclose(before.target, target):
        return 1
    answered = len(sample) - int((~sample.is_answered).sum())
    is_same = (before.sampled, before.sampled - before.unanswered) == (len(sample), answered)
    return before.looks if is_same else before.looks + 1


def _advise_answers(output: AnyPath, sample: CheckedSample, missing: int) -> str:
    open_ones = len(sample) - int(sample.is_answered.sum())
    if open_ones >= missing:
        return f"answer more of its {len(sample)}: ovsam review {output} shows how"
    checks = max(USUAL_CHECKS, 2 * FEWEST_ANSWERS)
    return f"draw more: ovsam review {output} --sample {checks} --export csv"


def _tell_time() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
