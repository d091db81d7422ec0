"""Rows of an output → which objects to ask a person about: the queue and the uniform sample.

Two passes: numbers of all objects (a few bytes an object), then the rows of the chosen images.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.review_tasks import make_key
from ovsam_pipeline.labelling.risk import estimate_risk, estimate_risks
from ovsam_pipeline.outcomes import count_are
from ovsam_pipeline.output.answered_rows import REVIEWED_BY, Corrections
from ovsam_pipeline.output.folder import iterate_rows_of, list_parts, read_run_file
from ovsam_pipeline.output.part_tables import iterate_tables
from ovsam_pipeline.review.batches import AskedImage, Batch, make_batch
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import FloatArray

logger = logging.getLogger(__name__)

_OPINIONS = ("score", "mask_score", "detector_score")
OBJECT_FIELDS = tuple(f"objects.list.element.{name}" for name in ("risk", *_OPINIONS))
_SHOWN = ("category", "category_id", "score", "detector_score", "risk", "reason")


@dataclass(frozen=True)
class _OpenObjects:
    """The N objects of an output that nobody has looked at, image after image.

    Attributes:
        names: the images with any.
        counts: how many each image has: (I,) int64.
        places: where each is among the objects of its image: (N,) int64.
        risks: (N,) float32.
    """

    names: list[str]
    counts: np.ndarray
    places: np.ndarray
    risks: FloatArray


def read_labelled(output: AnyPath) -> dict[str, Any]:
    """Return run.json of an output whose objects have names; an OutputError for another."""
    run = read_run_file(output)
    if run.get("task") == "detect":
        raise OutputError(
            f"{output} holds boxes of ovsam detect and no labels to review; run ovsam label "
            f"--detector boxes:{output}"
        )
    return run


def ask_queue(
    output: AnyPath,
    most: int,
    corrections: Corrections,
    groups: Mapping[str, int],
    *,
    whole_images: bool = True,
) -> Batch:
    """Return the objects that are likeliest wrong, as many as `most`.

    Args:
        output: whose labels are asked about.
        most: how many to look at; with whole images, until there are so many.
        corrections: what people have answered; objects of theirs are not asked about again, but
            shown beside the others of their image.
        groups: near-duplicate group by file name: of each only one image is asked about, ever.
        whole_images: all objects of an image together, by the mean risk of the images: who opens
            one looks at all of it. False: single objects by their risk, those of an image together.
    """
    run = read_labelled(output)
    objects = _read_open(output, corrections)
    seen = {groups[name] for name in corrections.objects if name in groups}
    choose = _choose_images if whole_images else _choose_objects
    rule = _OnePerGroup(groups, seen)
    chosen = choose(objects, most, rule)
    if rule.left_out:
        logger.info(
            "%s left out, near duplicates of images that are asked about or answered, such as %s",
            count_are(len(rule.left_out), "image"),
            min(rule.left_out),
        )
    rows = _read_rows(output, chosen)
    asked = [
        _describe_image(
            rows[name], corrections.objects.get(name, rows[name]["objects"]), places or None
        )
        for name, places in chosen.items()
    ]
    return make_batch("queue", asked, fingerprint=run.get("fingerprint", ""))


class _OnePerGroup:
    """Of near-duplicate images the first that is asked for, and no other."""

    def __init__(self, groups: Mapping[str, int], seen: set[int]) -> None:
        self._groups = groups
        self._owners: dict[int, str] = dict.fromkeys(seen, "")
        self.left_out: set[str] = set()

    def admits(self, name: str) -> bool:
        """Whether an image may be asked about; of its group it is the one from now on."""
        group = self._groups.get(name)
        if group is None or self._owners.setdefault(group, name) == name:
            return True
        self.left_out.add(name)
        return False


def _choose_images(objects: _OpenObjects, most: int, rule: _OnePerGroup) -> dict[str, list[int]]:
    """Return the images of the greatest mean risk; no places, which means all objects."""
    image_of = np.repeat(np.arange(len(objects.names)), objects.counts)
    means = np.bincount(image_of, objects.risks, len(objects.names)) / objects.counts
    chosen: dict[str, list[int]] = {}
    left = most
    for image in _rank(means, objects.names):
        if left > 0 and rule.admits(objects.names[image]):
            chosen[objects.names[image]] = []
            left -= int(objects.counts[image])
    return chosen


def _choose_objects(objects: _OpenObjects, most: int, rule: _OnePerGroup) -> dict[str, list[int]]:
    """Return the riskiest objects by image, the image of the riskiest first."""
    image_of = np.repeat(np.arange(len(objects.names)), objects.counts)
    chosen: dict[str, list[int]] = {}
    left = most
    for index in np.argsort(-objects.risks, kind="stable").tolist():
        name = objects.names[image_of[index]]
        if left > 0 and rule.admits(name):
            chosen.setdefault(name, []).append(int(objects.places[index]))
            left -= 1
    return chosen


def _rank(values: np.ndarray, names: Sequence[str]) -> list[int]:
    """Return the places of values, the greatest first; equal ones by name."""
    return sorted(range(len(names)), key=lambda index: (-values[index], names[index]))


def _read_open(output: AnyPath, corrections: Corrections) -> _OpenObjects:
    """Return the objects that nobody has looked at; memory is 16 bytes an object."""
    names: list[str] = []
    counts: list[np.ndarray] = [np.zeros(0, np.int64)]
    places: list[np.ndarray] = [np.zeros(0, np.int64)]
    risks: list[FloatArray] = [np.zeros(0, np.float32)]
    for name, objects in corrections.objects.items():
        unseen = [n for n, item in enumerate(objects) if item.get(REVIEWED_BY) is None]
        if unseen:
            names.append(name)
            counts.append(np.array([len(unseen)]))
            places.append(np.array(unseen))
            risks.append(np.array([get_risk(objects[n]) for n in unseen], np.float32))
    for table in iterate_tables(list_parts(output), ("file_name", *OBJECT_FIELDS)):
        texts = table["file_name"].to_pylist()
        is_wanted = np.array([text not in corrections.objects for text in texts], bool)
        wanted = table.filter(pa.array(is_wanted & (_count_lengths(table) > 0))).combine_chunks()
        lengths = _count_lengths(wanted)
        names += wanted["file_name"].to_pylist()
        counts.append(lengths)
        places.append(np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths))
        risks.append(find_risks(pc.list_flatten(wanted["objects"].combine_chunks())))
    return _OpenObjects(
        names, np.concatenate(counts), np.concatenate(places), np.concatenate(risks)
    )


def ask_sample(output: AnyPath, size: int, seed: int) -> Batch:
    """Return a uniform sample of all objects of an output; all of them where there are fewer.

    The same seed draws the same objects from the same rows, and a larger size those and more.
    """
    run = read_labelled(output)
    names, counts = _count_objects(output)
    # A number of its own for each object, whatever the order of the parts: the lowest are drawn.
    numbers = [_draw_numbers(seed, name, count) for name, count in zip(names, counts, strict=True)]
    drawn = np.concatenate(numbers) if numbers else np.zeros(0)
    image_of = np.repeat(np.arange(len(names)), counts)
    first_of = np.cumsum(counts) - counts
    chosen = np.sort(np.argsort(drawn, kind="stable")[:size])
    places: dict[str, list[int]] = {}
    for index in chosen.tolist():
        image = image_of[index]
        places.setdefault(names[image], []).append(index - int(first_of[image]))
    rows = _read_rows(output, places)
    asked = [
        _describe_image(rows[name], rows[name]["objects"], places[name]) for name in sorted(places)
    ]
    values = {"population": len(drawn), "seed": seed}
    return make_batch("sample", asked, fingerprint=run.get("fingerprint", ""), **values)


def get_risk(item: Mapping[str, Any]) -> float:
    """Return the risk of an object of a row, also of one that was stored without."""
    risk = item.get("risk")
    if risk is not None:
        return float(risk)
    score, mask_score, detector_score = (item.get(name) for name in _OPINIONS)
    values = [np.nan if x is None else float(x) for x in (score, mask_score, detector_score)]
    return estimate_risk(*values)


def find_risks(objects: pa.StructArray) -> FloatArray:
    """Return the risk of each object, also of those that were stored without: (N,) float32."""
    columns = {
        field.name: pc.struct_field(objects, field.name).to_numpy(zero_copy_only=False)
        for field in objects.type
    }
    opinions = (columns[name].astype(np.float32) for name in _OPINIONS)
    estimated = estimate_risks(*opinions)
    if "risk" not in columns:
        return estimated
    risks: FloatArray = columns["risk"].astype(np.float32)
    return np.where(np.isnan(risks), estimated, risks)


def _count_lengths(table: pa.Table) -> np.ndarray:
    """Return how many objects each row has: (N,) int64."""
    return pc.fill_null(pc.list_value_length(table["objects"]), 0).to_numpy().astype(np.int64)


def _count_objects(output: AnyPath) -> tuple[list[str], np.ndarray]:
    """Return the images with objects, and how many each has: (N,) int64."""
    names: list[str] = []
    counts = [np.zeros(0, np.int64)]
    columns = ("file_name", "objects.list.element.detector_score")
    for table in iterate_tables(list_parts(output), columns):
        lengths = _count_lengths(table)
        has_any = lengths > 0
        names += table["file_name"].filter(pa.array(has_any)).to_pylist()
        counts.append(lengths[has_any])
    return names, np.concatenate(counts)


def _draw_numbers(seed: int, file_name: str, count: int) -> np.ndarray:
    digest = hashlib.blake2b(f"{seed}\0{file_name}".encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big")).random(count)


def _read_rows(output: AnyPath, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return whole rows by file name; an OutputError where one is gone by now."""
    wanted = set(names)
    found = {row["file_name"]: row for row in iterate_rows_of(output, wanted)} if wanted else {}
    if wanted - found.keys():
        raise OutputError(
            f"the rows of {output} changed meanwhile; run the same command again when the run "
            "that writes them has ended"
        )
    return found


def _describe_image(
    row: Mapping[str, Any],
    objects: Sequence[Mapping[str, Any]],
    places: Sequence[int] | None = None,
) -> AskedImage:
    """Return an image with its objects, or those at some places, the riskiest first."""
    described = describe_objects(row["file_name"], objects)
    asked = described if places is None else [described[place] for place in places]
    asked.sort(key=lambda item: (item.get(REVIEWED_BY) is not None, -item["risk"]))
    size = row["width"], row["height"]
    return AskedImage(row["file_name"], row["image_id"], *size, tuple(asked), row.get("phash"))


def describe_objects(file_name: str, objects: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return objects of a row as they are shown to people, each with its key."""
    seen: dict[str, int] = {}
    described = []
    for item in objects:
        mask = item["segmentation"]
        number = seen.get(mask["counts"], 0)
        seen[mask["counts"]] = number + 1
        shown = {name: item.get(name) for name in _SHOWN}
        if item.get(REVIEWED_BY) is not None:
            shown[REVIEWED_BY] = item[REVIEWED_BY]
        place = {"bbox": list(item["bbox"]), "area": item["area"], "segmentation": mask}
        key = make_key(file_name, mask, number)
        described.append({"key": key, **shown, "risk": get_risk(item), **place})
    return described
