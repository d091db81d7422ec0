"""Rows with the answers of people on them: what every export, preview and report shows.

An answer belongs to the object whose mask overlaps it most, by an IoU of .5 or more. That object
gets the person's name and mask, or goes. An answer on nothing that is there now is an object of its
own, so that nothing is lost when the detector finds other boxes.

Rows of images without an answer pass through as they are, as Arrow columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ovsam.masks import (
    compute_mask_areas,
    compute_mask_ious,
    compute_tight_boxes,
    find_readable_masks,
)
from ovsam_pipeline.output.folder import iterate_rows_of, read_run_file
from ovsam_pipeline.output.reviews import LEAST_IOU, Answer, Answers, CurrentAnswer, read_answers
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:
    from ovsam.structures import RLE

REVIEWED_BY = "reviewed_by"
"""The key of an object that a person accepted, corrected or added: who."""

# The score of an object that only a person saw.
_CERTAIN = 1.0
# Of the 64 of a perceptual hash: half of them differ between two pictures, few after an edit.
_MOST_BITS, _ALL_BITS = 16, (1 << 64) - 1


@dataclass(frozen=True)
class Corrections:
    """What people's answers make of an output.

    Attributes:
        objects: all objects of each reviewed image, by file name; a person's have `reviewed_by`.
        categories: of run.json, and after them the names that only people gave.
    """

    objects: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    categories: Sequence[Mapping[str, Any]] = ()

    def __bool__(self) -> bool:
        """Whether there is any reviewed image."""
        return bool(self.objects)


def read_corrections(output: AnyPath, answers: Answers | None = None) -> Corrections:
    """Return what the answers of an output (by default those of its file) make of its rows.

    Without answers that costs one look for a file.
    """
    answers = read_answers(output) if answers is None else answers
    categories = answers.extend_categories(read_run_file(output).get("categories", []))
    ids = {str(category["name"]): int(category["id"]) for category in categories}
    return Corrections(correct_rows(output, answers, ids), categories)


def match_answers(
    objects: Sequence[Mapping[str, Any]], answers: Sequence[CurrentAnswer]
) -> dict[int, int]:
    """Return answer → object, by position: one to one, the greatest IoU first.

    Of objects with equal masks the one of the name that was shown comes first. Masks of another
    size than the image's match nothing.
    """
    pairs = []
    for number, current in enumerate(answers):
        ious = _compare(objects, current.masks)
        shown = (current.answer.shown.get("category"), current.answer.category)
        for index in np.flatnonzero(ious >= LEAST_IOU).tolist():
            category = objects[index].get("category")
            differs = [*(name != category for name in shown), category not in current.names]
            pairs.append((-float(ious[index]), differs, number, index))
    matched: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, number, index in sorted(pairs):
        if number not in matched and index not in taken:
            matched[number] = index
            taken.add(index)
    return matched


def apply_answers(
    row: Mapping[str, Any],
    answers: Sequence[CurrentAnswer],
    category_ids: Mapping[str, int],
) -> list[dict[str, Any]]:
    """Return the objects of one row with the answers on its image applied.

    Args:
        row: with width, height and objects as `iterate_rows` yields it; a failed one has none.
        answers: `Answers.of` the row's file name.
        category_ids: of `Answers.extend_categories`, by name.
    """
    objects: list[dict[str, Any]] = [dict(item) for item in row["objects"] or ()]
    fitting = [one for one in answers if is_of_image(one.answer, row)]
    matched = match_answers(objects, fitting)
    kept = dict(enumerate(objects))
    added = []
    for number, current in enumerate(fitting):
        answer, index = current.answer, matched.get(number)
        if answer.category is None:
            if index is not None:
                del kept[index]
            continue
        correction = _describe_object(answer, category_ids[answer.category])
        if index is None:
            added.append({**_recall_scores(answer), **correction})
        else:
            # The scores stay: they are what the model thought of its own name and mask.
            kept[index] = {**objects[index], **correction}
    return [*kept.values(), *added]


def find_rejected(
    row: Mapping[str, Any],
    answers: Sequence[CurrentAnswer],
    category_ids: Mapping[str, int],
) -> list[tuple[CurrentAnswer, dict[str, Any]]]:
    """Return each rejection that takes an object from a row, and that object as it was rejected.

    Arguments as those of `apply_answers`. What a person had added, and somebody rejected, is an
    object, too; a rejection of what is not there any more is none.
    """
    objects: Sequence[Mapping[str, Any]] = row["objects"] or ()
    fitting = [one for one in answers if is_of_image(one.answer, row)]
    matched = match_answers(objects, fitting)
    found = []
    for number, current in enumerate(fitting):
        answer = current.answer
        was_given = any(one.category is not None for one in current.earlier)
        if answer.category is not None or not (number in matched or was_given):
            continue
        item = objects[matched[number]] if number in matched else _recall_scores(answer)
        name = str(answer.shown.get("category") or item.get("category") or "")
        shown = replace(answer, category=name, segmentation=answer.reviewed)
        found.append((current, {**item, **_describe_object(shown, category_ids.get(name, 0))}))
    return found


def is_of_image(answer: Answer, row: Mapping[str, Any]) -> bool:
    """Whether an answer was given on the picture that a row is of: its size and its look."""
    if any(mask["size"] != [row["height"], row["width"]] for mask in answer.masks):
        return False
    return may_look_alike(row.get("phash"), answer.phash)


def may_look_alike(first: int | None, second: int | None) -> bool:
    """Whether two perceptual hashes can be of one picture, edited or not; an unknown one can."""
    if first is None or second is None:
        return True
    return ((first ^ second) & _ALL_BITS).bit_count() <= _MOST_BITS


def correct_rows(
    output: AnyPath, answers: Answers, category_ids: Mapping[str, int]
) -> dict[str, list[dict[str, Any]]]:
    """Return the objects of all reviewed images that are in an output, by file name.

    Only parts with a reviewed image are read for more than names.
    """
    if not answers:
        return {}
    return {
        row["file_name"]: apply_answers(row, answers.of(row["file_name"]), category_ids)
        for row in iterate_rows_of(output, answers.by_image)
        if row["status"] != "failed"
    }


def replace_objects(
    table: pa.Table, corrected: Mapping[str, Sequence[Mapping[str, Any]]]
) -> pa.Table:
    """Return a table of rows in which reviewed images have their corrected objects.

    The table has `file_name` and any columns of `objects`, which then have `reviewed_by`, too;
    `status`, where it is there, becomes "labelled" or "empty" as needed. Without a reviewed image
    it comes back as it is.
    """
    if not corrected:
        return table
    names = table["file_name"].to_pylist()
    places = {index: name for index, name in enumerate(names) if name in corrected}
    if not places:
        return table
    lists = _add_reviewer(_get_array(table["objects"]))
    new = pa.array([corrected[name] for name in places.values()], lists.type)
    table = _put(table, "objects", lists, new, places)
    if "status" in table.column_names:
        states = ["labelled" if corrected[name] else "empty" for name in places.values()]
        column = _get_array(table["status"])
        table = _put(table, "status", column, pa.array(states, column.type), places)
    return table


def _get_array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _add_reviewer(lists: pa.ListArray) -> pa.ListArray:
    """Return lists of objects with a column of nulls, for who reviewed them."""
    items = pc.list_flatten(lists)
    names = [*items.type.names, REVIEWED_BY]
    columns = [items.field(name) for name in items.type.names]
    wider = pa.StructArray.from_arrays([*columns, pa.nulls(len(items), pa.string())], names)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), wider)


def _put(
    table: pa.Table, name: str, column: pa.Array, new: pa.Array, places: Iterable[int]
) -> pa.Table:
    """Return a table with new values of a column at some rows."""
    which = np.arange(len(column))
    which[list(places)] = len(column) + np.arange(len(new))
    values = pa.concat_arrays([column, new]).take(pa.array(which))
    return table.set_column(table.column_names.index(name), name, values)


def _compare(objects: Sequence[Mapping[str, Any]], masks: Sequence[RLE]) -> np.ndarray:
    """Return the greatest IoU of each object with one of the masks: (N,)."""
    ious = np.zeros(len(objects))
    stored = [item["segmentation"] for item in objects]
    whole = np.flatnonzero(find_readable_masks(stored))
    if len(whole):
        ious[whole] = compute_mask_ious([stored[i] for i in whole], masks).max(axis=1)
    return ious


def _describe_object(answer: Answer, category_id: int) -> dict[str, Any]:
    """Return the columns of an object that a person decides."""
    mask = answer.segmentation
    return {
        "bbox": compute_tight_boxes([mask])[0].tolist(),
        "category_id": category_id,
        "category": answer.category,
        "area": int(compute_mask_areas([mask])[0]),
        "segmentation": mask,
        REVIEWED_BY: answer.by,
    }


def _recall_scores(answer: Answer) -> dict[str, Any]:
    """Return the scores that an object had when it was shown; 1 where only a person saw it."""
    names = ("score", "detector_score")
    found = {name: answer.shown.get(name) for name in names}
    return {n: v if isinstance(v, int | float) else _CERTAIN for n, v in found.items()}
