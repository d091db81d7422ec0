"""What checks have shown of labels, in sentences: for `ovsam review` and `ovsam report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.terminal.tables import format_table

if TYPE_CHECKING:
    from ovsam_pipeline.output.checked_labels import Calibration, Certificate, FittedMap, Precision
    from ovsam_pipeline.storage.remote_path import AnyPath

_FEWEST_OF_CLASS, _MOST_CLASSES = 5, 20
_MOST_CHECKS = 1_000_000


def run_certify(output: AnyPath, target: float, confidence: float, *, as_json: bool) -> None:
    """Certify an output and print what came of it: `ovsam review OUT --certify`."""
    from ovsam_pipeline.review.certify import certify
    from ovsam_pipeline.terminal.app import print_json, print_result

    found = certify(output, target, confidence)
    if as_json:
        print_json(found.to_dict())
    else:
        print_result(*describe_certificate(found, output))


def run_calibrate(output: AnyPath, *, as_json: bool) -> None:
    """Calibrate an output and print what came of it: `ovsam review OUT --calibrate`."""
    from dataclasses import asdict

    from ovsam_pipeline.review.certify import calibrate
    from ovsam_pipeline.terminal.app import print_json, print_result

    found = calibrate(output)
    if as_json:
        print_json(asdict(found))
    else:
        print_result(*describe_calibration(found))


def describe_certificate(found: Certificate, output: AnyPath) -> list[str]:
    """Return what was certified, what it rests on and what it does not cover."""
    if found.stale:
        return [
            f"certified on {found.at[:10]} for labels of other settings than today's: it says "
            f"nothing of these; ovsam review {output} --sample {found.sampled} --export csv draws "
            "a new sample"
        ]
    if found.revised:
        return [
            f"certified on {found.at[:10]} by answers that people have taken back since; ovsam "
            f"review {output} --certify {found.target:g} finds what today's show"
        ]
    target, confidence = format_percent(found.target), format_percent(found.confidence)
    if found.threshold is None:
        lines = [
            f"not certified: of the {count_things(found.checks, 'check')} with the least risk "
            f"{found.wrong} were wrong or not answered, {_describe_allowed(found)}",
            f"answer all of the sample, check more (ovsam review {output} --sample "
            f"{2 * found.sampled} --export csv), or ask for less than {found.target:g}",
        ]
    else:
        lines = [
            f"certified: of the {found.accepted} objects ({format_percent(found.accepted_share)} "
            f"of {found.objects}) with a risk of at most {found.threshold:g}, at least {target} "
            f"are right, with {confidence} confidence: {found.wrong} of "
            f"{count_things(found.checks, 'check')} among them were wrong",
            f"to keep these alone: ovsam filter {output} -o NEW --max-risk {found.threshold:g}",
        ]
    return lines + _describe_limits(found) + _describe_classes(found)


def describe_calibration(found: Calibration, fingerprint: str | None = None) -> list[str]:
    """Return what scores are worth; `fingerprint` is that of today's labels."""
    if fingerprint is not None and fingerprint != found.fingerprint:
        return [f"calibrated on {found.at[:10]} for labels of other settings than today's"]
    lines = [f"1 - risk as the probability that a label is right: {_describe_map(found.label)}"]
    if found.name is not None:
        lines.append(f"score as the probability that a name is right: {_describe_map(found.name)}")
    return lines


def describe_precision(found: Precision, classes: dict[str, Precision]) -> list[str]:
    """Return how many labels are right by a uniform sample: of all, and of classes."""
    if found.share is None:
        return [f"precision: none of the {found.unanswered} sampled objects is answered"]
    text = (
        f"precision: {format_percent(found.share)} of all labels, {format_percent(found.low)} to "
        f"{format_percent(found.high)} with 95 % confidence ({found.right} right of "
        f"{found.checked} checked"
    )
    if found.unanswered:
        text += f", {found.unanswered} of the sample not answered"
    many = [
        (name, one)
        for name, one in classes.items()
        if one.share is not None and one.checked >= _FEWEST_OF_CLASS
    ]
    if len(many) < 2:
        return [f"{text})"]
    rows = [
        [
            f"{one.checked:9d}",
            format_percent(one.share or 0),
            f"{format_percent(one.low)} - {format_percent(one.high)}",
            name,
        ]
        for name, one in many[:_MOST_CLASSES]
    ]
    header = ("  checked", "right", "interval", "class")
    return [f"{text})", *format_table(header, rows, right="rrr").splitlines()]


def _describe_allowed(found: Certificate) -> str:
    """Return how many wrong ones the strictest test allows."""
    from ovsam_pipeline.review.certificate import count_allowed

    if found.checks > _MOST_CHECKS:  # no person's: run.json may be anybody's
        return "too many"
    most = count_allowed(found.target, found.confidence, found.checks)
    return "and more checks are needed" if most < 0 else f"at most {most} of so many may be"


def _describe_limits(found: Certificate) -> list[str]:
    lines = []
    if found.unanswered:
        lines.append(
            f"{count_things(found.unanswered, 'object')} of the {found.sampled} sampled without an "
            "answer: counted as wrong"
        )
    if found.later:
        lines.append(
            f"{count_things(found.later, 'object')} came after the sample was drawn, which says "
            "nothing of them"
        )
    if found.looks > 1:
        together = max(0.0, 1 - found.looks * (1 - found.confidence))
        lines.append(
            f"this is look {found.looks} at a growing sample: that none of the looks promises "
            f"wrongly has {format_percent(together)} confidence"
        )
    return lines


def _describe_classes(found: Certificate) -> list[str]:
    if not found.classes:
        return []
    rows = [
        [f"{one.accepted:10d}", f"{one.threshold:g}", f"{one.wrong} of {one.checks}", one.category]
        for one in found.classes[:_MOST_CLASSES]
    ]
    title = f"classes certified apart from that, together with {format_percent(found.confidence)}:"
    header = ("  accepted", "risk up to", "wrong checks", "class")
    return [title, *format_table(header, rows, right="rrr").splitlines()]


def _describe_map(found: FittedMap) -> str:
    return (
        f"off by {found.error_before:.3f} as it is, by {found.error_after:.3f} when calibrated, on "
        f"answers not used for it (mean of {count_things(found.answers, 'answer')})"
    )


def format_percent(share: float) -> str:
    """Return a share as "93.2 %"; "90 %" without a zero."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"
