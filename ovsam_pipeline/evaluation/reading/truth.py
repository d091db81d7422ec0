"""A COCO or LVIS file → `GroundTruth`: read in blocks, kept as columns, every oddity counted.

Nothing is dropped in silence: what cannot be used is counted by kind and named, what makes the
numbers meaningless (repeated ids, ids that are not numbers) is an error. Afterwards classes get
their base/novel split, from the file or from a vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import compress, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ovsam.coco_fields import to_flag, to_id, to_number, to_side, to_text
from ovsam.coco_json import get_image_file_name, iterate_json_blocks
from ovsam.errors import VocabularyError, explain_json, show_value
from ovsam.masks import bound_mask
from ovsam.text.class_list import fold_name
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.columns import (
    Columns,
    find_positions,
    read_boxes,
    read_category,
    read_ids,
    refuse_list,
)
from ovsam_pipeline.evaluation.reading.segment_checks import check_segmentations
from ovsam_pipeline.evaluation.reading.segment_store import SegmentStore
from ovsam_pipeline.evaluation.structures import Categories, GroundTruth, Problems

if TYPE_CHECKING:
    from ovsam.text.vocabulary import Vocabulary

_LISTS = ("images", "annotations", "categories")
_NEGATIVE, _NOT_EXHAUSTIVE = "neg_category_ids", "not_exhaustive_category_ids"
_FREQUENCIES = ("r", "c", "f", None)
_ANNOTATION_COLUMNS = (
    *("annotation_ids", "areas", "boxes_xywh", "is_crowd", "is_ignored", "segment_rows"),
)


def read_ground_truth(
    path: Path, *, style: Literal["auto", "coco", "lvis"] = "auto", limit: int | None = None
) -> GroundTruth:
    """Read a COCO or LVIS file, `.json` or `.json.gz`.

    `style`: whose rules apply; "auto": LVIS's where images list the classes they lack. `limit`:
    only the first images, by id.
    """
    reader = _Reader(path)
    with explain_json(path, DatasetError):
        for key, value in iterate_json_blocks(path):
            reader.take(key, value)
    return reader.build(style, limit)


class _Reader:
    """Collects the lists of the file in whatever order they come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: set[str] = set()
        self.images: list[tuple[int, str | None, int, int]] = []
        self.class_lists: dict[str, list[tuple[int, int]]] = {_NEGATIVE: [], _NOT_EXHAUSTIVE: []}
        self.has_class_lists = False
        self.categories: list[dict[str, Any]] = []
        self.columns = Columns()
        self.num_annotations = 0
        self.segments = SegmentStore()
        self.problems = Problems()

    def take(self, key: str, value: Any) -> None:
        """Take one value of the top level, or a block of a list (its key ends in "[]")."""
        self.keys.add(key)
        refuse_list(key, self.path)
        if key in _LISTS and not isinstance(value, list):
            raise DatasetError(f"expected a list of {key} in {self.path}, got {show_value(value)}")
        if key.removesuffix("[]") not in _LISTS or key in _LISTS:
            return
        for wrong in (item for item in value if not isinstance(item, dict)):
            raise DatasetError(f"expected objects in {key} of {self.path}, got {show_value(wrong)}")
        if key == "images[]":
            self._take_images(value)
        elif key == "annotations[]":
            self._take_annotations(value)
        else:
            self.categories += value

    def _take_images(self, images: Sequence[dict[str, Any]]) -> None:
        first = len(self.images)
        ids = read_ids(
            [image.get("id") for image in images],
            lambda index: f"images[{first + index}] of {self.path}",
            "id",
            self.problems,
        )
        for image_id, image in zip(ids.tolist(), images, strict=True):
            height, width = (to_side(image.get(name)) or -1 for name in ("height", "width"))
            name = to_text(get_image_file_name(image)[0])
            self.images.append((image_id, name, height, width))
            for name in self.class_lists:
                if name in image:  # an empty list, too: all that makes a file LVIS's
                    self.has_class_lists = True
                    self._take_class_list(name, image_id, image[name])

    def _take_class_list(self, name: str, image_id: int, numbers: Any) -> None:
        ids = [to_id(number) for number in (numbers if isinstance(numbers, list) else [])]
        if None in ids or not isinstance(numbers, list | None):
            raise DatasetError(
                f"expected a list of category ids as {name} of image {image_id} in {self.path}, "
                f"got {show_value(numbers)}"
            )
        self.class_lists[name] += [(image_id, number) for number in ids if number is not None]

    def _take_annotations(self, annotations: Sequence[dict[str, Any]]) -> None:
        first = self.num_annotations
        self.num_annotations += len(annotations)

        def collect(name: str) -> list[Any]:
            return [item.get(name) for item in annotations]

        def place(index: int) -> str:
            return f"annotations[{first + index}] of {self.path}"

        ids, image_ids, category_ids = (
            read_ids(collect(name), place, name, self.problems)
            for name in ("id", "image_id", "category_id")
        )
        segmentations = collect("segmentation")
        # Before they are checked: a damaged mask is a mask, too.
        has_mask = np.array([bool(item) for item in segmentations], bool)
        check_segmentations(
            segmentations, lambda i: f"annotation {ids[i]}", self.problems,
            "kept with an empty mask",
        )  # fmt: skip
        self.segments.append_many(segmentations)
        areas = [to_number(area) for area in collect("area")]
        self.columns.add(
            id=ids,
            image_id=image_ids,
            category_id=category_ids,
            bbox=read_boxes(collect("bbox")),
            area=np.array(areas, np.float64),  # None becomes NaN
            has_mask=has_mask,
            iscrowd=np.array([to_flag(value) for value in collect("iscrowd")], bool),
            ignore=np.array([to_flag(value) for value in collect("ignore")], bool),
        )

    def build(self, style: str, limit: int | None) -> GroundTruth:
        """Put the lists together."""
        if missing := set(_LISTS) - self.keys:
            raise DatasetError(
                f"expected a COCO or LVIS data set in {self.path}, got an object without "
                f"{' and '.join(sorted(missing))}"
            )
        is_lvis = self.has_class_lists if style == "auto" else style == "lvis"
        images = self._sort_images()[:limit]
        image_ids = np.array([image[0] for image in images], np.int64)
        categories = _build_categories(self.categories, self.path, self.problems)
        names = ("id", "image_id", "category_id", "bbox", "area", "has_mask", "iscrowd", "ignore")
        columns = {name: self.columns.join(name) for name in names}
        # The reference tools keep the last of equal ids and lose the others.
        self._check_annotation_ids(columns["id"])
        image_index = find_positions(image_ids, columns["image_id"])
        category_index = find_positions(categories.ids, columns["category_id"])
        if limit is None:  # else images are missing on purpose
            self._count_unknown(columns, "image_id", image_index, "images")
        self._count_unknown(columns, "category_id", category_index, "categories")
        kept = np.flatnonzero((image_index >= 0) & (category_index >= 0))
        # Stable: within an image the order of the file decides ties, as in the reference tools.
        kept = kept[np.argsort(image_index[kept], kind="stable")]
        boxes, areas = self._complete(columns, kept)
        self._count_odd(columns, kept)
        # LVIS has no crowds: lvis-api does not look at `iscrowd`.
        is_crowd = columns["iscrowd"][kept] & (not is_lvis)
        has_mask = columns["has_mask"]
        codes = [self._encode(name, image_ids, categories) for name in self.class_lists]
        negative, not_exhaustive = codes if is_lvis else [np.zeros(0, np.int64)] * 2
        return GroundTruth(
            title=str(self.path),
            is_lvis=is_lvis,
            image_ids=image_ids,
            image_sizes_hw=np.array([image[2:] for image in images], np.int32).reshape(-1, 2),
            file_names=tuple(image[1] for image in images),
            categories=categories,
            annotation_ids=columns["id"][kept],
            image_index=image_index[kept].astype(np.int32),
            category_index=category_index[kept].astype(np.int32),
            areas=areas,
            boxes_xywh=boxes,
            is_crowd=is_crowd,
            is_ignored=columns["ignore"][kept] if is_lvis else is_crowd,
            segment_rows=kept,
            segments=self.segments,
            negative=negative,
            not_exhaustive=not_exhaustive,
            problems=self.problems,
            num_left_out=len(self.images) - len(images),
            has_masks=bool(has_mask.any()) or not len(has_mask),
        )

    def _sort_images(self) -> list[tuple[int, str | None, int, int]]:
        images = sorted(self.images, key=lambda image: image[0])
        for before, after in pairwise(images):
            if before[0] == after[0]:
                raise DatasetError(
                    f"expected different image ids in {self.path}, got {after[0]} twice "
                    f"({before[1]} and {after[1]})"
                )
        return images

    def _check_annotation_ids(self, ids: np.ndarray) -> None:
        numbers, counts = np.unique(ids, return_counts=True)
        if len(numbers) != len(ids):
            repeated = numbers[counts > 1]
            raise DatasetError(
                f"expected different annotation ids in {self.path}, got {repeated[0]} "
                f"{counts.max()} times ({len(repeated)} ids are repeated)"
            )

    def _count_unknown(
        self, columns: dict[str, np.ndarray], name: str, index: np.ndarray, what: str
    ) -> None:
        self.problems.add_where(
            f"annotations are of {what} that the file does not list: left out",
            index < 0,
            lambda row: f"{name} {columns[name][row]} (annotation {columns['id'][row]})",
        )

    def _complete(
        self, columns: dict[str, np.ndarray], kept: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return boxes and areas; missing ones from the polygons, or from the box."""
        boxes, areas, ids = (columns[name][kept] for name in ("bbox", "area", "id"))
        without = ~np.isfinite(boxes).all(axis=1)
        self._count("annotations have no box of four numbers: taken from the mask", without, ids)
        for row in np.flatnonzero(without).tolist():
            boxes[row] = bound_mask(self.segments.read(int(kept[row]))) or (0, 0, 0, 0)
        without = ~np.isfinite(areas)
        self._count("annotations have no area: taken from the box", without, ids)
        areas[without] = boxes[without, 2] * boxes[without, 3]
        return boxes, areas

    def _count_odd(self, columns: dict[str, np.ndarray], kept: np.ndarray) -> None:
        ids, has_mask = columns["id"][kept], columns["has_mask"][kept]
        if has_mask.any():  # a file of boxes alone is not odd
            kind = "annotations have no segmentation: kept with an empty mask"
            self._count(kind, ~has_mask, ids)
        # The reference tools keep the id of what was found, and read a 0 as nothing found.
        kind = "annotations have the id 0: right here when found, wrong in pycocotools and lvis-api"
        self._count(kind, ids == 0, ids)

    def _count(self, kind: str, flags: np.ndarray, ids: np.ndarray) -> None:
        self.problems.add_where(kind, flags, lambda row: f"annotation {ids[row]}")

    def _encode(self, name: str, image_ids: np.ndarray, categories: Categories) -> np.ndarray:
        """Return the codes of `GroundTruth.negative` of one kind of class list."""
        pairs = np.array(self.class_lists[name], np.int64).reshape(-1, 2)
        image = find_positions(image_ids, pairs[:, 0])
        category = find_positions(categories.ids, pairs[:, 1])
        known = (image >= 0) & (category >= 0)
        return np.unique(image[known] * len(categories) + category[known])


def _build_categories(
    entries: Sequence[dict[str, Any]], path: Path, problems: Problems
) -> Categories:
    by_id: dict[int, dict[str, Any]] = {}
    for entry in entries:
        number, _ = read_category(entry, path)
        if by_id.setdefault(number, entry) is not entry:
            raise DatasetError(f"expected different category ids in {path}, got {number} twice")
    if not by_id:
        raise DatasetError(f"expected at least one category in {path}, got an empty list")
    ordered = [by_id[number] for number in sorted(by_id)]
    frequencies = [entry.get("frequency") for entry in ordered]
    problems.add_where(
        "categories have a frequency that is not one of r, c, f: in none of APr, APc, APf",
        np.array([frequency not in _FREQUENCIES for frequency in frequencies]),
        lambda k: f"{ordered[k]['name']} ({show_value(frequencies[k], 20)})",
    )
    return Categories(
        ids=np.array(sorted(by_id), np.int64),
        names=tuple(to_text(entry["name"]) or "" for entry in ordered),
        frequencies=tuple(known if known in _FREQUENCIES else None for known in frequencies),
        splits=tuple(
            entry["split"] if entry.get("split") in ("base", "novel") else None for entry in ordered
        ),
        aliases=tuple(_read_synonyms(entry.get("synonyms")) for entry in ordered),
    )


def _read_synonyms(values: Any) -> tuple[str, ...]:
    texts = map(to_text, values if isinstance(values, list) else ())
    return tuple(text for text in texts if text is not None)


def with_splits(truth: GroundTruth, vocabulary: Vocabulary | None) -> GroundTruth:
    """Return the ground truth with base, novel or None for each class.

    The file's own splits stay where it has any; else they are those of the vocabulary's classes of
    the same names. None takes all splits away.
    """
    categories = truth.categories
    if vocabulary is None:
        splits: tuple[str | None, ...] = (None,) * len(categories)
    elif any(categories.splits):
        return truth
    else:
        splits = tuple(
            _find_split(vocabulary, (name, *aliases))
            for name, aliases in zip(categories.names, categories.aliases, strict=True)
        )
    return replace(truth, categories=replace(categories, splits=splits))


def _find_split(vocabulary: Vocabulary, names: Iterable[str]) -> str | None:
    """Return the split of the class with the first of the names that is known."""
    for name in names:
        try:
            return vocabulary.classes[vocabulary.index_of(name)].split
        except VocabularyError:
            continue
    return None


def merge_equal_names(truth: GroundTruth) -> GroundTruth:
    """Return the ground truth with one class for each name, and tell of those put together.

    Predictions that are matched by name cannot say which of two such classes they mean. The first
    class that has annotations stays, with all of theirs.
    """
    categories = truth.categories
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(categories.names):
        groups.setdefault(fold_name(name), []).append(index)
    if len(groups) == len(categories):
        return truth
    counts = np.bincount(truth.category_index, minlength=len(categories))
    heads = [next((i for i in group if counts[i]), group[0]) for group in groups.values()]
    kept = sorted(heads)
    new_of = np.empty(len(categories), np.int64)
    for head, group in zip(heads, groups.values(), strict=True):
        new_of[group] = kept.index(head)
    truth.problems.add(
        "classes of the ground truth share their name with another: measured as one class, as "
        "predictions are matched by name",
        [
            " and ".join(f"{categories.names[i]!r} (id {categories.ids[i]})" for i in group)
            for group in groups.values()
            if len(group) > 1
        ],
        len(categories) - len(kept),
    )

    def translate(codes: np.ndarray) -> np.ndarray:
        image, category = codes // len(categories), codes % len(categories)
        return np.unique(image * len(kept) + new_of[category])

    return replace(
        truth,
        categories=categories.select(kept),
        category_index=new_of[truth.category_index].astype(np.int32),
        negative=translate(truth.negative),
        not_exhaustive=translate(truth.not_exhaustive),
    )  # fmt: skip


def keep_split_classes(truth: GroundTruth) -> GroundTruth:
    """Return the ground truth of the base and novel classes alone.

    As the paper's COCO numbers are measured: classes in neither set are left out, and with them
    images that have no annotation of another class. Where every class is in one of the sets, or
    none is, nothing changes.
    """
    categories = truth.categories
    is_kept = np.array([split is not None for split in categories.splits], bool)
    if is_kept.all() or not is_kept.any():
        return truth
    rows = np.flatnonzero(is_kept[truth.category_index])
    images = np.unique(truth.image_index[rows])
    new_category = np.cumsum(is_kept) - 1
    new_image = np.full(truth.num_images, -1)
    new_image[images] = np.arange(len(images))

    def translate(codes: np.ndarray) -> np.ndarray:
        # Codes name images and categories by index, and both are numbered anew.
        image, category = codes // len(categories), codes % len(categories)
        kept = is_kept[category] & (new_image[image] >= 0)
        return new_image[image[kept]] * int(is_kept.sum()) + new_category[category[kept]]

    def select(values: tuple[Any, ...], flags: Iterable[bool]) -> tuple[Any, ...]:
        return tuple(compress(values, flags))

    return replace(
        truth,
        image_ids=truth.image_ids[images],
        image_sizes_hw=truth.image_sizes_hw[images],
        file_names=select(truth.file_names, new_image >= 0),
        categories=categories.select(np.flatnonzero(is_kept).tolist()),
        image_index=new_image[truth.image_index[rows]].astype(np.int32),
        category_index=new_category[truth.category_index[rows]].astype(np.int32),
        **{name: getattr(truth, name)[rows] for name in _ANNOTATION_COLUMNS},
        negative=translate(truth.negative),
        not_exhaustive=translate(truth.not_exhaustive),
        num_left_out=truth.num_left_out + truth.num_images - len(images),
    )
