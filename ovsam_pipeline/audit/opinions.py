"""Outputs of `ovsam label` → what we find in each image, and what we think of each annotated box.

Columns that are beside those of an evaluation's `Predictions`, in the order of its rows. Outputs of
earlier versions and COCO results files lack some: NaN there.

Letters: N objects of ours, G annotations.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ovsam_pipeline.detectors.class_match import match_names
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.columns import find_positions
from ovsam_pipeline.evaluation.reading.predictions import read_predictions
from ovsam_pipeline.evaluation.structures import Categories, GroundTruth, Predictions
from ovsam_pipeline.output.folder import list_parts
from ovsam_pipeline.output.parts import read_part
from ovsam_pipeline.storage.remote_path import AnyPath

_NUMBERS = ("detector_score", "mask_score", "model_score", "detector_margin")


@dataclass(frozen=True, eq=False)
class FoundObjects:
    """What we find without knowing the annotations.

    Attributes:
        table: boxes (tight ones of the masks), classes, label scores and masks of N objects.
        box_scores: (N,) float64, the detector's.
        mask_scores: (N,) float64, stability; 1 where not known.
    """

    table: Predictions
    box_scores: np.ndarray
    mask_scores: np.ndarray


@dataclass(frozen=True, eq=False)
class AskedBoxes:
    """What the model thinks of each annotated box, which was its prompt.

    Attributes:
        table: as of `FoundObjects`; its rows are not those of the annotations.
        rows: (G,) int64 row of each annotation in `table`; -1 where it was not asked about.
        given: (G,) float64 probability of the annotated name; NaN where not known.
        own: (G,) float64 probability of the model's own name; NaN where not known.
        own_index: (G,) int64 the data set's class of the model's own name; -1 where it has none.
        own_names: (G,) object, that name as the model has it, or None.
        mask_scores: (G,) float64, stability; 1 where not known.
    """

    table: Predictions
    rows: np.ndarray
    given: np.ndarray
    own: np.ndarray
    own_index: np.ndarray
    own_names: np.ndarray
    mask_scores: np.ndarray


def read_found(
    place: AnyPath, truth: GroundTruth, class_map: Path | None, min_match: float
) -> FoundObjects:
    """Read what we find: an output of `ovsam label`, or a COCO results file.

    Objects that an annotation prompted are left out: they say nothing of what can be found. Where
    there are no others it is a DatasetError. `truth` has one class for each name.
    """
    _, table = read_predictions(place, truth, class_map=class_map, min_match=min_match)
    num_prompted = int((table.prompt_ids >= 0).sum())
    if num_prompted and num_prompted == len(table):
        raise DatasetError(
            f"expected objects that were found in {place}, got {num_prompted} that annotations "
            "prompted: give that folder as --asked"
        )
    table = select_rows(table, np.flatnonzero(table.prompt_ids < 0))
    if not place.is_dir():
        return FoundObjects(table, table.scores, np.ones(len(table)))
    columns = _read_columns(place, table.rows)
    mask_scores = np.nan_to_num(columns["mask_score"], nan=1.0)
    return FoundObjects(table, np.nan_to_num(columns["detector_score"], nan=1.0), mask_scores)


def read_asked(
    place: AnyPath, truth: GroundTruth, class_map: Path | None, min_match: float
) -> AskedBoxes:
    """Read what the model thinks of the annotated boxes: an output with their prompts.

    `truth` has one class for each name. A DatasetError where the place is no folder.
    """
    if not place.is_dir():
        raise DatasetError(
            f"expected --asked to be an output folder of ovsam label, got {place}: a results file "
            "does not say what the annotated names get"
        )
    _, table = read_predictions(place, truth, class_map=class_map, min_match=min_match)
    order = np.argsort(truth.annotation_ids, kind="stable")
    position = find_positions(truth.annotation_ids[order], table.prompt_ids)
    kept = np.flatnonzero((table.prompt_ids >= 0) & (position >= 0))
    table, annotation = select_rows(table, kept), order[position[kept]]
    columns = _read_columns(place, table.rows)
    num = len(truth.annotation_ids)
    rows = np.full(num, -1, np.int64)
    rows[annotation] = np.arange(len(table))

    def spread(values: np.ndarray, empty: Any) -> np.ndarray:
        column = np.full(num, empty, values.dtype)
        column[annotation] = values
        return column

    names = columns["model_category"]
    index_of = _match_own_names(names, table, truth.categories)
    own_index = np.array([index_of.get(name, -1) for name in names.tolist()], np.int64)
    own = columns["model_score"]
    # Where the annotated class is not in the vocabulary there is no margin: no opinion.
    given = np.clip(own - columns["detector_margin"], 0, 1)
    given = np.where(own_index == truth.category_index[annotation], own, given)
    return AskedBoxes(
        table,
        rows,
        given=spread(given, np.nan),
        own=spread(own, np.nan),
        own_index=spread(own_index, -1),
        own_names=spread(names, None),
        mask_scores=spread(np.nan_to_num(columns["mask_score"], nan=1.0), 1.0),
    )


def select_rows(table: Predictions, rows: np.ndarray) -> Predictions:
    """Return some rows of predictions, in the order given."""
    per_row = {
        item.name: value[rows]
        for item in fields(table)
        if isinstance(value := getattr(table, item.name), np.ndarray)
        and item.name != "answered_images"
    }
    return replace(table, **per_row)


def _match_own_names(
    names: np.ndarray, table: Predictions, categories: Categories
) -> dict[str, int]:
    """Return the data set's class of each name that has one; what chose the labels goes first."""
    known = sorted({name for name in names.tolist() if name is not None})
    found = match_names(known, categories.names, categories.aliases, {})
    labels, first = np.unique(table.labels.astype(str), return_index=True)
    chosen = dict(zip(labels.tolist(), table.category_index[first].tolist(), strict=True))
    return found | {name: index for name, index in chosen.items() if index >= 0}


def _read_columns(folder: AnyPath, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return columns of objects by their positions in all parts, as `read_output_folder` counts."""
    pieces: dict[str, list[np.ndarray]] = {name: [] for name in (*_NUMBERS, "model_category")}
    columns = [f"objects.list.element.{name}" for name in ("prompt_id", *pieces)]
    shared: dict[str, str] = {}  # equal names are one text: there may be millions
    for part in list_parts(folder):
        table = read_part(part, lambda file: file.read(columns=columns))
        objects = table["objects"].combine_chunks().flatten()
        for name in _NUMBERS:
            pieces[name].append(_read_numbers(objects, name))
        names = _take_field(objects, "model_category", pa.string()).to_pylist()
        texts = [None if text is None else shared.setdefault(text, text) for text in names]
        pieces["model_category"].append(np.array(texts, object).reshape(len(objects)))
    return {
        name: (np.concatenate(found) if found else np.zeros(0))[rows]
        for name, found in pieces.items()
    }


def _read_numbers(objects: pa.StructArray, name: str) -> np.ndarray:
    numbers = _take_field(objects, name, pa.float32()).cast(pa.float64())
    return numbers.to_numpy(zero_copy_only=False).astype(np.float64)


def _take_field(objects: pa.StructArray, name: str, kind: pa.DataType) -> pa.Array:
    if objects.type.get_field_index(name) < 0:
        return pa.nulls(len(objects), kind)
    return objects.field(name)
