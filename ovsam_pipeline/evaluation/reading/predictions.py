"""Predictions, wherever they lie → `Predictions` of a ground truth's images and classes.

Read the file or folder → find which class is which → leave out and count what cannot be used →
sort by image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ovsam.masks import compute_mask_areas, compute_tight_boxes
from ovsam_pipeline.detectors.class_match import match_names, read_class_map
from ovsam_pipeline.detectors.stored.fit import check_frame
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.columns import (
    Columns,
    RawPredictions,
    find_positions,
    index_truth,
    rank_in_group,
)
from ovsam_pipeline.evaluation.reading.output_folder import read_output_folder
from ovsam_pipeline.evaluation.reading.results_file import read_results_file
from ovsam_pipeline.evaluation.reading.truth import merge_equal_names
from ovsam_pipeline.evaluation.structures import (
    Categories,
    GroundTruth,
    Predictions,
    Problems,
    ScoreKind,
)
from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath

# Of the index of a class: the truth has no such class; the file gives its id no name either.
_NO_COUNTERPART, _NO_NAME = -1, -2
# Pixels that a box may reach beyond the image before it is counted: rounding.
_ROOM = 1.0


def read_predictions(
    path: AnyPath,
    truth: GroundTruth,
    *,
    class_map: Path | None = None,
    scores: ScoreKind = "stored",
    class_agnostic: bool = False,
    min_match: float = 0.0,
    ignore_reviews: bool = False,
) -> tuple[GroundTruth, Predictions]:
    """Read predictions of the images of a ground truth, and return both.

    `path`: an output folder of `ovsam label` or `ovsam detect`, a COCO results file, or a COCO data
    set whose annotations have scores; `.json` or `.json.gz`. `class_map`: file of predicted name →
    name in the ground truth; goes before names. `scores`: what ranks the predictions of an output
    folder; results files have one score only. `class_agnostic`: classes are not looked at.
    `min_match`: see `_check_fit`. `ignore_reviews`: of an output folder, what the model said and
    not what people answered. Where names decide which class is which, classes of the ground
    truth with equal names are one class in what is returned.
    """
    if path.is_dir():
        raw = read_output_folder(path, truth, scores, ignore_reviews=ignore_reviews)
    elif isinstance(path, RemotePath):
        raise DatasetError(
            f"expected an output of ovsam label at {path}, found none there; a COCO results file "
            "is read from this machine: copy it here"
        )
    elif path.is_file():
        raw = read_results_file(path, truth, scores)
    else:
        raise DatasetError(
            f"expected predictions in {path}, which is not there: give an output folder of "
            "ovsam label or a COCO results file"
        )
    if class_map is not None or not _means_ids(raw, truth.categories):
        truth = merge_equal_names(truth)
    classes = _choose_classes(raw, truth.categories, class_map)
    return truth, _build_predictions(raw, truth, classes, class_agnostic, min_match)


def _means_ids(raw: RawPredictions, categories: Categories) -> bool:
    """Return whether category ids mean the same on both sides.

    A results file without categories uses the ids of the data set, by COCO's convention.
    """
    own = dict(zip(categories.ids.tolist(), categories.names, strict=True))
    return all(own.get(number) == name for number, name in raw.categories)


@dataclass(frozen=True)
class ClassMap:
    """Predicted category id → index of the ground truth's category, if it has one, and → name."""

    index_of_id: Mapping[int, int]
    names: Mapping[int, str]


def _choose_classes(
    raw: RawPredictions, categories: Categories, class_map: Path | None
) -> ClassMap:
    """Match classes by id where ids mean the same on both sides, else by name."""
    own = dict(zip(categories.ids.tolist(), categories.names, strict=True))
    if class_map is None and _means_ids(raw, categories):
        return ClassMap({number: index for index, number in enumerate(own)}, own)
    return map_classes(dict(raw.categories) or own, categories, class_map)


def map_classes(
    predicted: Mapping[int, str], categories: Categories, class_map: Path | None = None
) -> ClassMap:
    """Match classes (id → name) by name, as those of a detector and the vocabulary are matched."""
    names = list(predicted.values())
    explicit: dict[str, int] = {}
    if class_map is not None:
        owners = ("the predictions", "the data set")
        explicit = read_class_map(class_map, names, categories.names, owners)
    index_of = match_names(names, categories.names, categories.aliases, explicit)
    return ClassMap(
        {number: index_of[name] for number, name in predicted.items() if name in index_of},
        predicted,
    )


def _build_predictions(
    raw: RawPredictions,
    truth: GroundTruth,
    classes: ClassMap,
    class_agnostic: bool,
    min_match: float,
) -> Predictions:
    """Leave out what cannot be used, sort by image, complete boxes and areas."""
    columns, problems = raw.columns, raw.problems
    all_images = columns.join("image")
    category_ids = columns.join("category_id")
    all_categories = _map_ids(category_ids, classes)
    _check_images(raw, truth, min_match)
    if raw.has_classes and not class_agnostic:
        _check_classes(raw, truth, all_images, all_categories, classes)
    kept = _choose(raw, truth, all_images, all_categories)
    if raw.has_classes and not class_agnostic:
        _count_other_classes(raw, category_ids, all_categories, classes)
    kept = kept[np.argsort(all_images[kept], kind="stable")]
    image, category = all_images[kept].astype(np.int32), all_categories[kept].astype(np.int32)
    rows = columns.join("row")[kept]
    sizes_hw = truth.image_sizes_hw[image]
    # Masks are stored in the order of the file, without gaps.
    segment_rows = rows if raw.has_masks else np.full(len(rows), -1, np.int64)
    if raw.has_boxes:
        boxes = columns.join("bbox")[kept]
        areas = columns.join("area")
        areas = areas[kept] if len(areas) else np.full(len(kept), np.nan)
    else:
        boxes, areas = np.zeros((len(rows), 4)), np.zeros(len(rows))
        for some, rles in raw.segments.iterate_rles(segment_rows, sizes_hw):
            boxes[some], areas[some] = compute_tight_boxes(rles), compute_mask_areas(rles)
    scores = columns.join("score")[kept]
    # Boxes of our own outputs are in pixels, and those of empty masks have no area: wrong answers.
    is_own = raw.answered_images is not None or bool((columns.join("prompt_id") >= 0).any())
    if min_match > 0 and raw.has_boxes and not is_own:
        _check_boxes(raw, all_images, boxes, sizes_hw, min_match)
    _count_odd(raw, kept, boxes, sizes_hw, rows)
    _count_repeated(np.column_stack([image, category, scores, boxes]), rows, problems)
    answered = raw.answered_images
    return Predictions(
        title=raw.title,
        image_index=image,
        category_index=category,
        labels=np.array([classes.names[number] for number in category_ids[kept].tolist()], object),
        scores=scores,
        boxes_xywh=boxes,
        areas=areas,
        has_boxes=raw.has_boxes,
        has_masks=raw.has_masks,
        rows=rows,
        # Ranks count what is left out: LVIS takes the first 300 of an image before it looks at
        # classes.
        ranks=_rank_in_image(all_images, columns.join("score"))[kept],
        segment_rows=segment_rows,
        segments=raw.segments,
        prompt_ids=columns.join("prompt_id")[kept],
        answered_images=np.ones(truth.num_images, bool) if answered is None else answered,
        images=raw.images,
        has_classes=raw.has_classes,
        problems=problems,
    )


def _rank_in_image(image: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the place of each among all of its image by falling score, ties as in the file."""
    order = np.lexsort((-scores, image))
    ranks = np.empty(len(image), np.int32)
    ranks[order] = rank_in_group(image[order])
    return ranks


def _map_ids(category_ids: np.ndarray, classes: ClassMap) -> np.ndarray:
    """Return the index in the truth of each predicted class; _NO_COUNTERPART, _NO_NAME."""
    known = np.array(sorted(classes.names), np.int64)
    targets = [classes.index_of_id.get(int(i), _NO_COUNTERPART) for i in known]
    positions = find_positions(known, category_ids)
    # One more target, which the position -1 of an unknown id takes.
    return np.array([*targets, _NO_NAME], np.int64)[positions]


def _check_images(raw: RawPredictions, truth: GroundTruth, min_match: float) -> None:
    """Refuse predictions of which no image, or less than the share, is one of the truth."""
    report = raw.images
    if not report.total or truth.num_left_out:
        return
    least = min_match * min(report.total, truth.num_images)
    if report.matched and report.matched >= least:
        return
    raise DatasetError(
        f"expected predictions of the images of {truth.title} in {raw.title}, got "
        f"{report.matched or 'none'} of {count_things(report.total, 'image')}; the data set has "
        f"{index_truth(truth).describe()} ({report.describe()})"
        + ("; --min-match 0 measures what matches" if report.matched else "")
    )


def _check_classes(
    raw: RawPredictions,
    truth: GroundTruth,
    image: np.ndarray,
    category: np.ndarray,
    classes: ClassMap,
) -> None:
    """Refuse predictions of which no class is one of the truth; tell of ids that may be shifted."""
    category_ids, is_known = raw.columns.join("category_id"), image >= 0
    # The mask of a prompted annotation counts whatever its class.
    is_prompted = (raw.columns.join("prompt_id") >= 0).any()
    used, own = np.unique(category_ids), truth.categories.ids
    begins = (
        f"category ids begin at 0 in the predictions and at {own[0]} in the data set: each may be "
        "counted as another class"
        if not raw.categories and len(used) and used[0] == 0 < own[0]
        else ""
    )
    if begins:
        raw.problems.add(f"predictions may be of another class: {begins}", [], len(category_ids))
    if is_known.any() and not is_prompted and not (category[is_known] >= 0).any():
        named = [classes.names.get(int(i), f"id {i}") for i in used[:5]]
        raise DatasetError(
            f"expected predictions of the classes of {truth.title} in {raw.title}, got none of "
            f"{len(image)}: they are of {', '.join(named)}; {begins or 'give --class-map'}"
        )


def _check_boxes(
    raw: RawPredictions,
    image: np.ndarray,
    boxes: np.ndarray,
    sizes_hw: np.ndarray,
    min_match: float,
) -> None:
    """Refuse boxes that are not left, top, width, height in pixels, or of which too few can be."""
    num_known = int((image >= 0).sum())
    num_usable = int((boxes[:, 2:] > 0).all(axis=1).sum())
    if num_usable < min_match * num_known:
        raise DatasetError(
            f"expected boxes that can be used in {raw.title}, got {num_usable or 'none'} of "
            f"{num_known}: the others have no area or are not four finite numbers with a finite "
            "score; --min-match 0 measures them all the same"
        )
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    check_frame(corners, np.maximum(sizes_hw[:, ::-1], 0), raw.title)


def _choose(
    raw: RawPredictions,
    truth: GroundTruth,
    image: np.ndarray,
    category: np.ndarray,
) -> np.ndarray:
    """Return the rows that can be used, and count the others."""
    columns = raw.columns
    boxes, readable = columns.join("bbox"), columns.join("is_readable")
    wrong_box = ~np.isfinite(boxes).all(axis=1) if len(boxes) else np.zeros(len(image), bool)
    unreadable = ~readable if len(readable) else np.zeros(len(image), bool)
    others = "that the ground truth does not have"
    if truth.num_left_out:
        others = f"that are not among the {truth.num_images} measured (--limit, --split only)"
    unusable = {
        f"predictions are of images {others}": image < 0,
        "predictions are of classes that the ground truth does not have": category == _NO_NAME,
        "predictions have a score that is not finite": ~np.isfinite(columns.join("score")),
        "predictions have a box that is not four finite numbers": wrong_box,
    }
    for kind, is_so in unusable.items():
        raw.problems.add_where(f"{kind}: left out", is_so, lambda row: _name_row(columns, row))
    return np.flatnonzero(~np.logical_or.reduce([*unusable.values(), unreadable]))


def _count_other_classes(
    raw: RawPredictions, category_ids: np.ndarray, category: np.ndarray, classes: ClassMap
) -> None:
    """Count predictions of classes that the ground truth has no counterpart of."""
    renamed = np.flatnonzero(category == _NO_COUNTERPART)
    # Three names are shown: the first thousand rows hold enough different ones.
    names = dict.fromkeys(classes.names[int(i)] for i in category_ids[renamed[:1000]])
    raw.problems.add(
        "predictions are of classes without a counterpart in the ground truth: wrong, or left out "
        "of AP",
        list(names),
        len(renamed),
    )


def _name_row(columns: Columns, index: int) -> str:
    row, image_id, category_id = (
        columns.join(name)[index] for name in ("row", "image_id", "category_id")
    )
    # Images of an output folder that the truth lacks have no id in it.
    image = f"image_id {image_id}, " if image_id >= 0 else ""
    return f"row {row} ({image}category_id {category_id})"


def _count_odd(
    raw: RawPredictions, kept: np.ndarray, boxes: np.ndarray, sizes_hw: np.ndarray, rows: np.ndarray
) -> None:
    """Count boxes and masks, of the rows that are kept, that do not fit their images."""
    if raw.has_masks:
        mask_hw = raw.columns.join("size_hw")[kept]
        are_known = (mask_hw >= 0).all(axis=1) & (sizes_hw >= 0).all(axis=1)
        raw.problems.add_where(
            "masks have another size than their image: count as misses",
            are_known & (mask_hw != sizes_hw).any(axis=1),
            lambda i: f"row {rows[i]} ({mask_hw[i, 1]} x {mask_hw[i, 0]}, image {sizes_hw[i, 1]} x "
            f"{sizes_hw[i, 0]})",
        )

    def name(index: int) -> str:
        return f"row {rows[index]}"

    kind = "boxes have a negative width or height: kept, overlap nothing"
    raw.problems.add_where(kind, boxes[:, 2:].min(axis=1, initial=0) < 0, name)
    ends = boxes[:, :2] + boxes[:, 2:]
    beyond = np.maximum(-boxes[:, :2], ends - sizes_hw[:, ::-1]).max(axis=1, initial=0)
    is_beyond = (beyond > _ROOM) & (sizes_hw > 0).all(axis=1)
    raw.problems.add_where("boxes reach beyond their image: kept", is_beyond, name)


def _count_repeated(values: np.ndarray, rows: np.ndarray, problems: Problems) -> None:
    """Count predictions that are equal to another in (N, 7) values."""
    # Sorting one number per row is several times faster than np.unique over rows. Equal rows have
    # equal sums; the rare unequal rows that have them too are compared in full.
    keys = values @ np.random.default_rng(0).random(values.shape[1])
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(np.diff(keys[order]) == 0)
    same = same[(values[order[same]] == values[order[same + 1]]).all(axis=1)]
    problems.add(
        "predictions are duplicates: kept",
        [f"row {rows[order[i + 1]]}" for i in same[:3]],
        len(same),
    )
