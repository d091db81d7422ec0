"""Answers on the uniform sample of an output → arrays that measure all of its labels.

What was asked for the queue is no measure: it was chosen because it looked wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ovsam.errors import ConfigError
from ovsam_pipeline.output.checked_labels import Certificate, Precision, read_certificate
from ovsam_pipeline.output.folder import list_parts, read_run_file
from ovsam_pipeline.output.part_tables import iterate_tables
from ovsam_pipeline.output.reviews import Answers, read_answers
from ovsam_pipeline.review.ask import OBJECT_FIELDS, find_risks, get_risk, read_labelled
from ovsam_pipeline.review.batches import AskedImage, Batch, read_batches
from ovsam_pipeline.review.judge import judge_sample
from ovsam_pipeline.review.measure import measure_precision
from ovsam_pipeline.storage.remote_path import AnyPath


@dataclass(frozen=True)
class CheckedSample:
    """The n objects of a uniform sample, as their rows are now.

    Attributes:
        classes: the label of each.
        risk: (n,) float32.
        score: (n,) float32.
        is_right: (n,), False also where nobody answered.
        is_answered: (n,).
        is_object: (n,), whether the person saw an object there, of whatever name.
        people: who answered.
        gone: objects of the sample that the output does not hold any more.
        population: how many objects it was drawn from.
        drawn_from: fingerprint of the labels that it was drawn from.
        fingerprint: of the labels as they are now.
    """

    classes: tuple[str, ...]
    risk: NDArray[np.float32]
    score: NDArray[np.float32]
    is_right: NDArray[np.bool_]
    is_answered: NDArray[np.bool_]
    is_object: NDArray[np.bool_]
    people: tuple[str, ...]
    gone: int
    population: int
    drawn_from: str
    fingerprint: str

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True)
class Population:
    """All N objects of an output.

    Attributes:
        risk: (N,) float32.
        classes: (N,) int32 into `names`.
        estimated: how many were stored without a risk, as earlier versions did.
    """

    risk: NDArray[np.float32]
    classes: NDArray[np.int32]
    names: tuple[str, ...]
    estimated: int = 0


def read_sample(output: AnyPath, answers: Answers | None = None) -> CheckedSample | None:
    """Return the sample that measures an output's labels; None where none was drawn.

    Of several samples those of the latest one's population are taken as one: together they are
    uniform, too.
    """
    fingerprint = read_labelled(output).get("fingerprint", "")
    batch = _join_samples(read_batches(output))
    if batch is None:
        return None
    answers = read_answers(output) if answers is None else answers
    sample = judge_sample(output, batch, answers)
    found = [(one.item, one.answer, one.is_right, one.answer is not None) for one in sample.objects]
    return CheckedSample(
        tuple(str(item["category"]) for item, _, _, _ in found),
        np.array([get_risk(item) for item, _, _, _ in found], np.float32),
        np.array([item["score"] for item, _, _, _ in found], np.float32),
        np.array([bool(is_right) for _, _, is_right, _ in found], bool),
        np.array([is_answered for _, _, _, is_answered in found], bool),
        np.array([a is not None and a.category is not None for _, a, _, _ in found], bool),
        tuple(sorted({answer.by for _, answer, _, _ in found if answer is not None})),
        sample.gone,
        batch.population or 0,
        batch.fingerprint,
        fingerprint,
    )


def measure_sample(output: AnyPath) -> Precision | None:
    """Return the precision of all labels of an output; None where no sample of them was drawn."""
    sample = read_sample(output)
    if sample is None or not len(sample):
        return None
    checked = int(sample.is_answered.sum())
    return measure_precision(int(sample.is_right.sum()), checked, len(sample) - checked)


def read_today(output: AnyPath) -> Certificate | None:
    """Return the certificate of an output as it stands today; None without one.

    Objects that came since are counted as later ones, and it is `revised` where fewer of its sample
    are right than when it was made.
    """
    found = read_certificate(read_run_file(output))
    if found is None or found.stale:
        return found
    sample = read_sample(output)
    if sample is not None and len(sample) >= found.sampled:
        found = replace(found, revised=int(sample.is_right.sum()) < found.right)
    new = max(0, len(read_population(output).risk) - found.objects)
    return replace(found, objects=found.objects + new, later=found.later + new)


def read_population(output: AnyPath) -> Population:
    """Return risk and class of all objects of an output: eight bytes an object."""
    risks, classes = [np.zeros(0, np.float32)], [np.zeros(0, np.int32)]
    numbers: dict[str, int] = {}
    estimated = 0
    columns = (*OBJECT_FIELDS, "objects.list.element.category")
    for table in iterate_tables(list_parts(output), columns):
        objects = pc.list_flatten(table["objects"].combine_chunks())
        risks.append(find_risks(objects))
        has_risk = objects.type.get_field_index("risk") >= 0
        stored = pc.struct_field(objects, "risk") if has_risk else pa.nulls(len(objects))
        estimated += stored.null_count
        coded = pc.dictionary_encode(pc.fill_null(pc.struct_field(objects, "category"), ""))
        known = [numbers.setdefault(name, len(numbers)) for name in coded.dictionary.to_pylist()]
        classes.append(np.array(known, np.int32)[coded.indices.to_numpy()])
    return Population(np.concatenate(risks), np.concatenate(classes), tuple(numbers), estimated)


def need_sample(output: AnyPath, checks: int) -> CheckedSample:
    """Return the sample of an output; a ConfigError where there is none of its labels.

    That of other labels counts where all objects are the same ones, as after a relabelling: of
    others, those that are new had no chance to be drawn. `checks` is how many the message advises
    to draw.
    """
    sample = read_sample(output)
    advice = f"draw one with ovsam review {output} --sample {checks} --export csv and answer it"
    if sample is None:
        raise ConfigError(
            f"expected a uniform sample of {output} with people's answers, got none (answers of a "
            f"queue measure nothing: it was chosen because it looks wrong); {advice}"
        )
    if not len(sample):
        raise ConfigError(
            f"the sample of {output} is of objects that it does not hold any more; {advice}"
        )
    if sample.drawn_from != sample.fingerprint and not _has_same_objects(output, sample):
        raise ConfigError(
            f"the sample of {output} was drawn from the objects of other settings, so it says "
            f"nothing of those that are new; {advice} (answers on old objects stay)"
        )
    return sample


def _has_same_objects(output: AnyPath, sample: CheckedSample) -> bool:
    return not sample.gone and len(read_population(output).risk) == sample.population


def _join_samples(batches: Sequence[Batch]) -> Batch | None:
    samples = [batch for batch in batches if batch.kind == "sample"]
    if not samples:
        return None
    latest = samples[-1]
    joined: dict[str, AskedImage] = {}
    for batch in samples:
        if (batch.population, batch.fingerprint) != (latest.population, latest.fingerprint):
            continue
        for image in batch.images:
            before = joined.get(image.file_name)
            joined[image.file_name] = image if before is None else _join_images(before, image)
    return replace(latest, images=tuple(joined.values()))


def _join_images(image: AskedImage, other: AskedImage) -> AskedImage:
    keys = {item["key"] for item in image.objects}
    new = tuple(item for item in other.objects if item["key"] not in keys)
    return replace(image, objects=image.objects + new)
