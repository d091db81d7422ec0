"""Columns of predictions, however they were read → `Predictions`, by the rules for odd ones."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from ovsam.masks import compute_mask_areas, compute_tight_boxes
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.class_map import ClassMap
from ovsam_pipeline.evaluation.reading.columns import find_positions, rank_in_group
from ovsam_pipeline.evaluation.reading.segment_store import SegmentStore
from ovsam_pipeline.evaluation.structures import GroundTruth, Predictions, Problems

_ROOM = 1.0
"""Pixels that a box may reach beyond the image before it is counted: rounding."""
_MASKS_IN_MEMORY = 50_000
_SHAPES = {"bbox": (0, 4), "size_hw": (0, 2)}
_KINDS = {"bbox": np.float64, "score": np.float64, "area": np.float64, "is_readable": bool}


class Columns:
    """Pieces of columns by name, joined when asked for, and the masks beside them.

    Names: image_id, category_id, score, prompt_id, row; bbox where there are boxes; is_readable and
    size_hw (-1 for polygons) where there are masks; area where it is known.

    Attributes:
        segments: masks, row by row, where there are any.
        has_boxes: whether there are boxes.
        has_masks: whether there are masks.
    """

    def __init__(self) -> None:
        self.segments = SegmentStore()
        self.has_boxes = False
        self.has_masks = False
        self._pieces: dict[str, list[np.ndarray]] = defaultdict(list)

    def add(self, name: str, piece: np.ndarray) -> None:
        """Add a piece of a column."""
        self._pieces[name].append(piece)

    def join(self, name: str) -> np.ndarray:
        """Return a column: (N,), bbox (N, 4), size_hw (N, 2); empty where nothing was added."""
        pieces = self._pieces[name]
        if not pieces:
            return np.zeros(_SHAPES.get(name, 0), _KINDS.get(name, np.int64))
        return np.concatenate(pieces)


def build_predictions(
    title: str,
    truth: GroundTruth,
    columns: Columns,
    classes: ClassMap,
    problems: Problems,
    answered_images: np.ndarray | None = None,
) -> Predictions:
    """Sort predictions by image and leave out those that cannot be used.

    Args:
        title: where they come from.
        truth: the ground truth.
        columns: of all predictions, in the order of the file.
        classes: which class is which.
        problems: what was odd so far; more is added.
        answered_images: (I,) bool; None: all.

    Raises:
        DatasetError: there are predictions, and none is of an image (or a class) of the truth.
    """
    image = image_index = find_positions(truth.image_ids, columns.join("image_id"))
    category_ids = columns.join("category_id")
    category = _map_ids(category_ids, classes)
    kept = _choose(title, truth, columns, image, (category, classes), problems)
    kept = kept[np.argsort(image[kept], kind="stable")]
    image, category = image[kept].astype(np.int32), category[kept].astype(np.int32)
    rows = columns.join("row")[kept]
    sizes_hw = truth.image_sizes_hw[image]
    segment_rows = rows if columns.has_masks else np.full(len(rows), -1, np.int64)
    if columns.has_boxes:
        boxes = columns.join("bbox")[kept]
        areas = columns.join("area")
        areas = areas[kept] if len(areas) else np.full(len(kept), np.nan)
    else:
        boxes, areas = _measure_masks(columns.segments, segment_rows, sizes_hw)
    scores = columns.join("score")[kept]
    if columns.has_masks:
        _count_other_sizes(columns.join("size_hw")[kept], sizes_hw, rows, problems)
    _count_odd(boxes, sizes_hw, rows, problems)
    _count_repeated(np.column_stack([image, category, scores, boxes]), rows, problems)
    names = np.array([classes.names.get(i) for i in category_ids[kept].tolist()], object)
    return Predictions(
        title=title,
        image_index=image,
        category_index=category,
        scores=scores,
        boxes_xywh=boxes,
        areas=areas,
        has_boxes=columns.has_boxes,
        has_masks=columns.has_masks,
        rows=rows,
        ranks=_rank_in_image(image_index, columns.join("score"))[kept],
        segment_rows=segment_rows,
        segments=columns.segments,
        prompt_ids=columns.join("prompt_id")[kept],
        labels=names,
        answered_images=(
            np.ones(truth.num_images, bool) if answered_images is None else answered_images
        ),
        problems=problems,
    )


def _rank_in_image(image: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the place of each among all of its image by falling score, ties as in the file."""
    order = np.lexsort((-scores, image))
    ranks = np.empty(len(image), np.int32)
    ranks[order] = rank_in_group(image[order])
    return ranks


def _map_ids(category_ids: np.ndarray, classes: ClassMap) -> np.ndarray:
    """Return the index in the truth of each predicted class: -1 none, -2 a class of no name."""
    known = np.array(sorted(classes.names), np.int64)
    targets = np.array([classes.index_of_id.get(int(i), -1) for i in known], np.int64)
    positions = find_positions(known, category_ids)
    return np.where(positions >= 0, targets[positions] if len(known) else -2, -2)


def _choose(
    title: str,
    truth: GroundTruth,
    columns: Columns,
    image: np.ndarray,
    mapped: tuple[np.ndarray, ClassMap],
    problems: Problems,
) -> np.ndarray:
    """Return the rows that can be used, and count the others."""
    category, classes = mapped
    rows, image_ids = columns.join("row"), columns.join("image_id")
    category_ids = columns.join("category_id")
    total = len(rows)
    if total and not (image >= 0).any() and not truth.num_left_out:
        raise DatasetError(
            f"expected predictions of the images of {truth.title} in {title}, got none of "
            f"{total}: they are of images such as {image_ids[0]}, it has such as "
            f"{truth.image_ids[0] if truth.num_images else 'none'}"
        )
    is_prompted = (columns.join("prompt_id") >= 0).any()
    is_known = image >= 0
    if is_known.any() and not is_prompted and not (category[is_known] >= 0).any():
        named = [classes.names.get(int(i), f"id {i}") for i in np.unique(category_ids)[:5]]
        raise DatasetError(
            f"expected predictions of the classes of {truth.title} in {title}, got none of "
            f"{total}: they are of {', '.join(named)}; give --class-map"
        )
    wrong_number = ~np.isfinite(columns.join("score"))
    wrong_box = np.zeros(total, bool)
    if len(boxes := columns.join("bbox")):
        wrong_box = ~np.isfinite(boxes).all(axis=1)
    readable = columns.join("is_readable")
    unreadable = ~readable if len(readable) else np.zeros(total, bool)
    others = "that the ground truth does not have"
    if truth.num_left_out:
        others = f"that are not among the {truth.num_images} measured (--limit, --split only)"
    unknown = {
        f"predictions are of images {others}: left out": image < 0,
        "predictions are of classes that the ground truth does not have: left out": category == -2,
        "predictions have a score that is not finite: left out": wrong_number,
        "predictions have a box that is not four finite numbers: left out": wrong_box,
    }
    for kind, is_so in unknown.items():
        found = np.flatnonzero(is_so)
        items = [_name_row(rows[i], image_ids[i], category_ids[i]) for i in found[:3]]
        problems.add(kind, items, len(found))
    renamed = np.flatnonzero(category == -1)
    names = dict.fromkeys(classes.names[int(i)] for i in category_ids[renamed[:1000]])
    problems.add(
        "predictions are of classes without a counterpart in the ground truth: wrong, or left out "
        "of AP",
        list(names),
        len(renamed),
    )
    out = (image < 0) | (category == -2) | wrong_number | wrong_box | unreadable
    return np.flatnonzero(~out)


def _name_row(row: int, image_id: int, category_id: int) -> str:
    # Images of an output folder that the truth lacks have no id in it.
    image = f"image_id {image_id}, " if image_id >= 0 else ""
    return f"row {row} ({image}category_id {category_id})"


def _measure_masks(
    segments: SegmentStore, segment_rows: np.ndarray, sizes_hw: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the tight boxes and areas of masks, some at a time."""
    boxes, areas = np.zeros((len(segment_rows), 4)), np.zeros(len(segment_rows))
    for start in range(0, len(segment_rows), _MASKS_IN_MEMORY):
        some = slice(start, start + _MASKS_IN_MEMORY)
        rles = segments.read_rles(segment_rows[some], sizes_hw[some])
        boxes[some], areas[some] = compute_tight_boxes(rles), compute_mask_areas(rles)
    return boxes, areas


def _count_other_sizes(
    mask_hw: np.ndarray, sizes_hw: np.ndarray, rows: np.ndarray, problems: Problems
) -> None:
    other = (mask_hw >= 0).all(axis=1) & (sizes_hw >= 0).all(axis=1) & (mask_hw != sizes_hw).any(1)
    found = np.flatnonzero(other)
    items = [
        f"row {rows[i]} ({mask_hw[i, 1]} x {mask_hw[i, 0]}, image {sizes_hw[i, 1]} x "
        f"{sizes_hw[i, 0]})"
        for i in found[:3]
    ]
    problems.add("masks have another size than their image: overlap nothing", items, len(found))


def _count_odd(
    boxes: np.ndarray, sizes_hw: np.ndarray, rows: np.ndarray, problems: Problems
) -> None:
    empty = np.flatnonzero((boxes[:, 2:] < 0).any(axis=1))
    problems.add(
        "boxes have a negative width or height: kept, overlap nothing",
        [f"row {rows[i]}" for i in empty[:3]],
        len(empty),
    )
    ends = boxes[:, :2] + boxes[:, 2:]
    is_known = (sizes_hw > 0).all(axis=1)
    beyond = (boxes[:, :2] < -_ROOM).any(1) | (ends > sizes_hw[:, ::-1] + _ROOM).any(1)
    found = np.flatnonzero(beyond & is_known)
    problems.add(
        "boxes reach beyond their image: kept", [f"row {rows[i]}" for i in found[:3]], len(found)
    )


def _count_repeated(values: np.ndarray, rows: np.ndarray, problems: Problems) -> None:
    """Count predictions that are equal to another in (N, 7) values."""
    weights = np.random.default_rng(0).random(values.shape[1])
    keys = values @ weights
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(np.diff(keys[order]) == 0)
    same = same[(values[order[same]] == values[order[same + 1]]).all(axis=1)]
    problems.add(
        "predictions stand there twice: kept",
        [f"row {rows[order[i + 1]]}" for i in same[:3]],
        len(same),
    )
