"""Labels with an answer → whether they are right: of all that were reviewed, and of a sample.

A label is right where the person gave it the same name and no very different mask: one that
overlaps it by less than .5 is another object. What is judged are the rows of now, so a sample that
was answered once measures the labels of a relabelling, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ovsam.masks import compute_mask_ious
from ovsam_pipeline.output.answered_rows import is_of_image, match_answers
from ovsam_pipeline.output.folder import iterate_rows_of
from ovsam_pipeline.output.reviews import LEAST_IOU, Answer, Answers, CurrentAnswer
from ovsam_pipeline.review.batches import AskedImage, Batch
from ovsam_pipeline.storage.remote_path import AnyPath


@dataclass(frozen=True)
class JudgedObject:
    """An object of a row as it is now.

    Attributes:
        item: its columns.
        answer: what a person said, or None.
        is_right: whether its label is; None where nobody said.
    """

    file_name: str
    item: Mapping[str, Any]
    answer: Answer | None
    is_right: bool | None


@dataclass(frozen=True)
class JudgedSample:
    """The objects of a sample that are still in the output, and how many are not."""

    batch: Batch
    objects: tuple[JudgedObject, ...]
    gone: int


def judge_reviewed(output: AnyPath, answers: Answers) -> Iterator[JudgedObject]:
    """Yield the objects that somebody answered, however they came to be asked about."""
    for row in iterate_rows_of(output, answers.by_image):
        for judged in judge_row(row, answers.of(row["file_name"])):
            if judged.answer is not None:
                yield judged


def judge_sample(output: AnyPath, batch: Batch, answers: Answers) -> JudgedSample:
    """Return the objects of a sample, each with the answer that somebody gave to it, if any.

    An answer counts however the object came to be asked about: that it is in the sample does not
    depend on it.
    """
    asked = {image.file_name: image for image in batch.images}
    judged: list[JudgedObject] = []
    for row in iterate_rows_of(output, asked):
        judged += _pick(judge_row(row, answers.of(row["file_name"])), asked[row["file_name"]])
    return JudgedSample(batch, tuple(judged), batch.num_objects - len(judged))


def judge_row(row: Mapping[str, Any], answers: Sequence[CurrentAnswer]) -> list[JudgedObject]:
    """Return all objects of a row, each with its answer, if any."""
    objects = row["objects"] or ()  # a failed row has none
    fitting = [one for one in answers if is_of_image(one.answer, row)]
    answer_of = {index: fitting[n].answer for n, index in match_answers(objects, fitting).items()}
    judged = []
    for index, item in enumerate(objects):
        answer = answer_of.get(index)
        is_right = None if answer is None else _is_right(item, answer)
        judged.append(JudgedObject(row["file_name"], item, answer, is_right))
    return judged


def _is_right(item: Mapping[str, Any], answer: Answer) -> bool:
    if answer.segmentation is None or answer.category != item["category"]:
        return False
    return bool(compute_mask_ious([item["segmentation"]], [answer.segmentation])[0, 0] >= LEAST_IOU)


def _pick(judged: Sequence[JudgedObject], image: AskedImage) -> list[JudgedObject]:
    """Return the objects that were sampled: those of the sampled masks, one to one."""
    left = list(judged)
    picked = []
    for asked in image.objects:
        mask = asked["segmentation"]
        found = [one for one in left if one.item["segmentation"] == mask]
        if not found and left and mask["size"] == left[0].item["segmentation"]["size"]:
            ious = compute_mask_ious([mask], [one.item["segmentation"] for one in left])[0]
            found = [left[int(ious.argmax())]] if ious.max() >= LEAST_IOU else []
        same = [one for one in found if one.item["category"] == asked["category"]]
        if found:
            picked.append((same or found)[0])
            left.remove(picked[-1])
    return picked
