"""A table of stored rows and a `FilterPlan` → the table with the objects that pass, renamed.

Whole columns at a time: a million objects take seconds. Which rule drops an object is counted: the
first one in the order of `_REASONS`.

Letters: R rows, N objects in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ovsam_pipeline.labelling.filter_rules import FilterPlan
from ovsam_pipeline.labelling.objects import BELOW_MIN_SCORE
from ovsam_pipeline.labelling.rules import (
    BELOW_CONF,
    BELOW_MIN_AREA,
    BEYOND_MAX_PER_IMAGE,
    IGNORED,
)

ABOVE_MAX_RISK = "risk above --max-risk, or not known"
_NOT_ASKED = "class not asked for"
_REASONS = (
    IGNORED, _NOT_ASKED, BELOW_CONF, BELOW_MIN_SCORE, BELOW_MIN_AREA,
    ABOVE_MAX_RISK, BEYOND_MAX_PER_IMAGE,
)  # fmt: skip
_NAME_COLUMNS = ("category", "model_category")


def filter_table(table: pa.Table, plan: FilterPlan) -> tuple[pa.Table, Counter[str]]:
    """Return the rows with the objects that come out, and how many did not, by reason.

    `table` has all columns of parts. A row that loses its last object becomes "empty"; the rows,
    and all their other columns, stay.
    """
    lists = _get_only_chunk(table["objects"])
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    row_of = np.repeat(np.arange(len(lengths)), lengths)
    objects = pc.list_flatten(lists)
    places = plan.find(_to_numpy(objects, "category_id"))
    if plan.other is not None:
        places = _move_low_scores(objects, places, plan)
    faults = _find_faults(table, objects, row_of, places, plan)
    _limit_numbers(faults, row_of, places, _to_numpy(objects, "score"), plan)
    is_kept = faults == len(_REASONS)
    kept = _rename(objects.filter(pa.array(is_kept)), places[is_kept], plan)
    new_lengths = np.bincount(row_of[is_kept], minlength=len(lengths))
    offsets = pa.array(np.concatenate([[0], np.cumsum(new_lengths)]).astype(np.int32))
    counts = np.bincount(faults, minlength=len(_REASONS))
    dropped = Counter({r: int(n) for r, n in zip(_REASONS, counts, strict=False) if n})
    became_empty = pa.array((new_lengths == 0) & (lengths > 0))
    status = pc.if_else(became_empty, "empty", table["status"])
    table = _replace(table, "status", status.cast(table.schema.field("status").type))
    return _replace(table, "objects", pa.ListArray.from_arrays(offsets, kept)), dropped


def _move_low_scores(objects: pa.StructArray, places: np.ndarray, plan: FilterPlan) -> np.ndarray:
    """Return the places of classes, that of "other" for objects that score too low for their own.

    What its class lets never come out does not come out as "other" either.
    """
    is_low = ~(_to_numpy(objects, "score") >= plan.conf[places])
    moves = is_low & plan.is_wanted[places] & ~plan.is_ignored[places]
    return np.where(moves, len(plan.ids) + 1, places)


def _find_faults(
    table: pa.Table,
    objects: pa.StructArray,
    row_of: np.ndarray,
    places: np.ndarray,
    plan: FilterPlan,
) -> np.ndarray:
    """Return the first reason against each object, as a place in _REASONS: (N,) int64.

    An object that nothing speaks against has the number of reasons.
    """
    score, area = _to_numpy(objects, "score"), _to_numpy(objects, "area")
    pixels = [pc.fill_null(table[side], 0).to_numpy().astype(np.float64) for side in _SIDES]
    share = plan.min_area_share[places] * (pixels[0] * pixels[1])[row_of]
    is_low = ~(score >= plan.conf[places])  # also a score that is no number
    has_own = plan.has_own_conf[places]
    tests = {
        IGNORED: plan.is_ignored[places],
        _NOT_ASKED: ~plan.is_wanted[places],
        BELOW_CONF: is_low & has_own,
        BELOW_MIN_SCORE: is_low & ~has_own,
        BELOW_MIN_AREA: area < np.maximum(plan.min_area[places], share),
    }
    if plan.max_risk is not None:
        tests[ABOVE_MAX_RISK] = ~(_read_risk(objects) <= plan.max_risk)
    faults = np.full(len(places), len(_REASONS))
    for reason, fails in reversed(tests.items()):
        faults[fails] = _REASONS.index(reason)
    return faults


_SIDES = ("width", "height")


def _read_risk(objects: pa.StructArray) -> np.ndarray:
    """Return the risk of each object: (N,) float64; NaN where none is stored."""
    if objects.type.get_field_index("risk") < 0:  # rows of an earlier version
        return np.full(len(objects), np.nan)
    return _to_numpy(objects, "risk")


def _limit_numbers(
    faults: np.ndarray,
    row_of: np.ndarray,
    places: np.ndarray,
    score: np.ndarray,
    plan: FilterPlan,
) -> None:
    """Mark, in place, the objects beyond the most of their new class in an image, best first."""
    most = plan.max_per_image[places]
    some = np.flatnonzero((faults == len(_REASONS)) & (most > 0))
    if not len(some):
        return
    classes = plan.new_ids[places[some]]
    # Stable, so of equal scores the first object stays.
    order = np.lexsort((-score[some], classes, row_of[some]))
    some, classes = some[order], classes[order]
    rows = row_of[some]
    starts = np.ones(len(some), bool)
    starts[1:] = (rows[1:] != rows[:-1]) | (classes[1:] != classes[:-1])
    numbers = np.arange(len(some))
    rank = numbers - np.maximum.accumulate(np.where(starts, numbers, 0))
    faults[some[rank >= most[some]]] = _REASONS.index(BEYOND_MAX_PER_IMAGE)


def _rename(objects: pa.StructArray, places: np.ndarray, plan: FilterPlan) -> pa.StructArray:
    """Return the objects with the names and ids of their new classes."""
    columns = {field.name: pc.struct_field(objects, field.name) for field in objects.type}
    old_ids = columns["category_id"].to_numpy(zero_copy_only=False)
    new_ids = np.where(places < len(plan.ids), np.append(plan.new_ids, (0, 0))[places], old_ids)
    for name in _NAME_COLUMNS if plan.names else ():
        columns[name] = _rename_texts(columns[name], plan.names)
    if plan.other is not None:
        is_other = places == len(plan.ids) + 1
        new_ids[is_other] = plan.other[0]
        columns["category"] = pc.if_else(pa.array(is_other), plan.other[1], columns["category"])
    columns["category_id"] = pa.array(new_ids, columns["category_id"].type)
    return pa.StructArray.from_arrays(list(columns.values()), fields=list(objects.type))


def _rename_texts(texts: pa.Array, names: Mapping[str, str]) -> pa.Array:
    coded = texts.dictionary_encode()
    new = [names.get(text, text) for text in coded.dictionary.to_pylist()]
    return pa.array(new, texts.type).take(coded.indices)


def _to_numpy(objects: pa.StructArray, name: str) -> np.ndarray[Any, Any]:
    """Return a column of numbers; floats as float64, NaN for null."""
    values = pc.struct_field(objects, name)
    if pa.types.is_floating(values.type):
        values = values.cast(pa.float64())
    return values.to_numpy(zero_copy_only=False)


def _get_only_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _replace(table: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)
