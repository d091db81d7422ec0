"""What has been reviewed of an output, and how right its labels are so far."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ovsam_pipeline.output.answered_rows import is_of_image
from ovsam_pipeline.output.checked_labels import Precision
from ovsam_pipeline.output.folder import iterate_rows, iterate_rows_of
from ovsam_pipeline.output.reviews import Answers, read_answers
from ovsam_pipeline.review.ask import read_labelled
from ovsam_pipeline.review.checked import CheckedSample, read_sample
from ovsam_pipeline.review.judge import judge_reviewed
from ovsam_pipeline.review.measure import measure_classes, measure_precision
from ovsam_pipeline.storage.remote_path import AnyPath


def collect_review(output: AnyPath) -> dict[str, Any]:
    """Return what people answered and what that says of the labels, as plain values."""
    read_labelled(output)
    answers = read_answers(output)
    judged = list(judge_reviewed(output, answers))
    sample = read_sample(output, answers)
    return {
        "output": str(output),
        "answers": sum(1 for _ in answers),
        "lines": answers.lines,
        "withdrawn": answers.withdrawn,
        "damaged_lines": answers.damaged,
        "images": len(answers.by_image),
        "images_gone": _count_gone(output, answers),
        "images_changed": _count_changed(output, answers),
        "verdicts": dict(Counter(answer.verdict for answer in answers).most_common()),
        "people": dict(Counter(answer.by for answer in answers).most_common()),
        "labels_judged": len(judged),
        "labels_right": sum(bool(one.is_right) for one in judged),
        "sample": None if sample is None else _describe_sample(sample),
    }


def _count_gone(output: AnyPath, answers: Answers) -> int:
    """Return how many reviewed images the output does not have: renamed, moved or removed ones."""
    if not answers:
        return 0
    names = set(answers.by_image)
    names.difference_update(row["file_name"] for row in iterate_rows(output, ("file_name",)))
    return len(names)


def _count_changed(output: AnyPath, answers: Answers) -> int:
    """Return how many reviewed images have another size or look by now, or failed."""
    if not answers:
        return 0
    return sum(
        any(not is_of_image(one.answer, row) for one in answers.of(row["file_name"]))
        for row in iterate_rows_of(output, answers.by_image)
    )


def _describe_sample(sample: CheckedSample) -> dict[str, Any]:
    checked, right = int(sample.is_answered.sum()), int(sample.is_right.sum())
    whole = measure_precision(right, checked, len(sample) - checked)
    classes = measure_classes(sample.classes, sample.is_right, sample.is_answered)
    return {
        "objects": len(sample),
        "population": sample.population,
        "gone": sample.gone,
        **_describe_precision(whole),
        "classes": {name: _describe_precision(found) for name, found in classes.items()},
    }


def _describe_precision(found: Precision) -> dict[str, Any]:
    return {
        "precision": None if found.share is None else round(found.share, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "checked": found.checked,
        "right": found.right,
        "unanswered": found.unanswered,
    }
