"""A COCO or LVIS file → `GroundTruth`: read in blocks, kept as columns, every oddity counted.

Nothing is dropped in silence; what cannot be used is counted by kind and named, what makes the
numbers meaningless (repeated ids, ids that are no numbers) is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ovsam.coco_json import get_image_file_name, iterate_json_blocks
from ovsam.masks import compute_tight_boxes, to_rle
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.columns import find_positions, read_boxes, read_ids, to_id
from ovsam_pipeline.evaluation.reading.segment_checks import check_segmentations
from ovsam_pipeline.evaluation.reading.segment_store import SegmentStore
from ovsam_pipeline.evaluation.structures import Categories, GroundTruth, Problems

_LVIS_KEYS = ("neg_category_ids", "not_exhaustive_category_ids")
_FREQUENCIES = ("r", "c", "f", None)


def read_ground_truth(
    path: Path, *, style: Literal["auto", "coco", "lvis"] = "auto", limit: int | None = None
) -> GroundTruth:
    """Read a data set.

    Args:
        path: a COCO or LVIS file, `.json` or `.json.gz`.
        style: whose rules apply; "auto": LVIS's where images list the classes they lack.
        limit: only the first images, by id.

    Raises:
        DatasetError: the file cannot be read, is no data set, or has ids that are repeated or are
            no whole numbers.
    """
    reader = _Reader(path)
    try:
        for key, value in iterate_json_blocks(path):
            reader.take(key, value)
    except DatasetError:  # a ValueError too, and already a sentence
        raise
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise DatasetError(f"expected JSON in {path}, got {error}") from error
    return reader.build(style, limit)


class _Reader:
    """Collects the lists of the file in whatever order they come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: set[str] = set()
        self.images: list[tuple[int, str | None, int, int]] = []
        self.absent: dict[str, list[tuple[int, int]]] = {key: [] for key in _LVIS_KEYS}
        self.has_absent = False
        self.categories: list[dict[str, Any]] = []
        self.columns: dict[str, list[np.ndarray]] = {
            name: []
            for name in ("id", "image_id", "category_id", "area", "bbox", "mask", "crowd", "ignore")
        }
        self.num_annotations = 0
        self.segments = SegmentStore()
        self.problems = Problems()

    def take(self, key: str, value: Any) -> None:
        """Take one value of the top level, or a block of a list."""
        self.keys.add(key)
        if key == "" or key == "[]":
            raise DatasetError(
                f"expected a COCO or LVIS data set in {self.path}, got a list: results are given "
                "as --predictions"
            )
        if key in ("images[]", "annotations[]", "categories[]"):
            wrong = next((item for item in value if not isinstance(item, dict)), None)
            if wrong is not None:
                raise DatasetError(f"expected objects in {key} of {self.path}, got {wrong!r:.60}")
        if key in ("images", "annotations", "categories") and not isinstance(value, list):
            raise DatasetError(f"expected a list of {key} in {self.path}, got {value!r:.60}")
        if key == "images[]":
            self._take_images(value)
        elif key == "annotations[]":
            self._take_annotations(value)
        elif key == "categories[]":
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
            height, width = (_read_side(image.get(name)) for name in ("height", "width"))
            self.images.append((image_id, get_image_file_name(image)[0], height, width))
            for name in _LVIS_KEYS:
                if name in image:
                    self.has_absent = True
                    self._take_absent(name, image_id, image[name])

    def _take_absent(self, name: str, image_id: int, numbers: Any) -> None:
        ids = [to_id(number) for number in (numbers if isinstance(numbers, list) else [])]
        if None in ids or not isinstance(numbers, list | None):
            raise DatasetError(
                f"expected a list of category ids as {name} of image {image_id} in {self.path}, "
                f"got {numbers!r:.60}"
            )
        self.absent[name] += [(image_id, number) for number in ids if number is not None]

    def _take_annotations(self, annotations: Sequence[dict[str, Any]]) -> None:
        first = self.num_annotations
        self.num_annotations += len(annotations)

        def place(index: int) -> str:
            return f"annotations[{first + index}] of {self.path}"

        for name in ("id", "image_id", "category_id"):
            values = [item.get(name) for item in annotations]
            self.columns[name].append(read_ids(values, place, name, self.problems))
        segmentations = [item.get("segmentation") for item in annotations]
        ids = self.columns["id"][-1]
        self.columns["mask"].append(np.array([bool(item) for item in segmentations], bool))
        check_segmentations(
            segmentations,
            lambda i: f"annotation {ids[i]}",
            self.problems,
            "kept with an empty mask",
        )
        self.segments.append_many(segmentations)
        boxes = read_boxes([item.get("bbox") for item in annotations])
        self.columns["bbox"].append(boxes)
        self.columns["area"].append(_read_areas(annotations))
        for name, key in (("crowd", "iscrowd"), ("ignore", "ignore")):
            values = [bool(item.get(key)) for item in annotations]
            self.columns[name].append(np.array(values, bool))

    def build(self, style: str, limit: int | None) -> GroundTruth:
        """Put the lists together."""
        wanted = {"images", "annotations", "categories"}
        if not wanted <= self.keys:
            raise DatasetError(
                f"expected a COCO or LVIS data set in {self.path}, got an object without "
                f"{' and '.join(sorted(wanted - self.keys))}"
            )
        is_lvis = self.has_absent if style == "auto" else style == "lvis"
        images = self._sort_images(limit)
        image_ids = np.array([image[0] for image in images], np.int64)
        categories = _build_categories(self.categories, self.path, self.problems)
        columns = {name: _join(parts, name) for name, parts in self.columns.items()}
        self._check_annotation_ids(columns["id"])
        image_index = find_positions(image_ids, columns["image_id"])
        category_index = find_positions(categories.ids, columns["category_id"])
        kept = self._choose_rows(columns, image_index, category_index, limit)
        kept = kept[np.argsort(image_index[kept], kind="stable")]
        boxes, areas = self._complete(columns, kept)
        self._count_odd(columns, kept)
        is_crowd = columns["crowd"][kept] & (not is_lvis)
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
            negative=self._encode(_LVIS_KEYS[0], image_ids, categories, is_lvis),
            not_exhaustive=self._encode(_LVIS_KEYS[1], image_ids, categories, is_lvis),
            problems=self.problems,
            num_left_out=len(self.images) - len(images),
            has_masks=bool(columns["mask"].any()) or not len(columns["mask"]),
        )

    def _sort_images(self, limit: int | None) -> list[tuple[int, str | None, int, int]]:
        images = sorted(self.images, key=lambda image: image[0])
        for before, after in pairwise(images):
            if before[0] == after[0]:
                raise DatasetError(
                    f"expected different image ids in {self.path}, got {after[0]} twice "
                    f"({before[1]} and {after[1]})"
                )
        return images[:limit]

    def _check_annotation_ids(self, ids: np.ndarray) -> None:
        numbers, counts = np.unique(ids, return_counts=True)
        if len(numbers) != len(ids):
            repeated = numbers[counts > 1]
            raise DatasetError(
                f"expected different annotation ids in {self.path}, got {repeated[0]} "
                f"{counts.max()} times ({len(repeated)} ids are repeated)"
            )

    def _choose_rows(
        self,
        columns: dict[str, np.ndarray],
        image_index: np.ndarray,
        category_index: np.ndarray,
        limit: int | None,
    ) -> np.ndarray:
        for index, field in ((image_index, "image_id"), (category_index, "category_id")):
            if field == "image_id" and limit is not None:
                continue  # images left out on purpose
            unknown = np.flatnonzero(index < 0)
            what = "images" if field == "image_id" else "categories"
            self.problems.add(
                f"annotations are of {what} that the file does not list: left out",
                [f"{field} {columns[field][row]} (annotation {columns['id'][row]})"
                 for row in unknown[:3]],
                len(unknown),
            )  # fmt: skip
        return np.flatnonzero((image_index >= 0) & (category_index >= 0))

    def _complete(
        self, columns: dict[str, np.ndarray], kept: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return boxes and areas; missing ones from the polygons, or from the box."""
        boxes, areas = columns["bbox"][kept], columns["area"][kept]
        names = columns["id"][kept]
        without = np.flatnonzero(~np.isfinite(boxes).all(axis=1))
        self.problems.add(
            "annotations have no box of four numbers: taken from the mask",
            [f"annotation {names[row]}" for row in without[:3]],
            len(without),
        )
        for row in without.tolist():
            boxes[row] = _bound(self.segments.read(int(kept[row])))
        without = np.flatnonzero(~np.isfinite(areas))
        self.problems.add(
            "annotations have no area: taken from the box",
            [f"annotation {names[row]}" for row in without[:3]],
            len(without),
        )
        areas[without] = boxes[without, 2] * boxes[without, 3]
        return boxes, areas

    def _count_odd(self, columns: dict[str, np.ndarray], kept: np.ndarray) -> None:
        names = columns["id"][kept]
        without = np.flatnonzero(~columns["mask"][kept])
        if len(without) < len(kept):
            self.problems.add(
                "annotations have no segmentation: kept with an empty mask",
                [f"annotation {names[row]}" for row in without[:3]],
                len(without),
            )
        # The reference tools keep the id of what was found, and read a 0 as nothing found.
        zero = np.flatnonzero(names == 0)
        self.problems.add(
            "annotations have the id 0: right here when found, wrong in pycocotools and lvis-api",
            ["annotation 0"] if len(zero) else [],
            len(zero),
        )

    def _encode(
        self, name: str, image_ids: np.ndarray, categories: Categories, is_lvis: bool
    ) -> np.ndarray:
        if not is_lvis or not self.absent[name]:
            return np.zeros(0, np.int64)
        pairs = np.array(self.absent[name], np.int64)
        image = find_positions(image_ids, pairs[:, 0])
        category = find_positions(categories.ids, pairs[:, 1])
        known = (image >= 0) & (category >= 0)
        return np.unique(image[known] * len(categories) + category[known])


def _build_categories(
    entries: Sequence[dict[str, Any]], path: Path, problems: Problems
) -> Categories:
    by_id: dict[int, dict[str, Any]] = {}
    for entry in entries:
        number = to_id(entry.get("id"))
        if number is None or not isinstance(entry.get("name"), str):
            raise DatasetError(
                f"expected a whole number as id and a name in the categories of {path}, got "
                f"{str(entry)[:80]}"
            )
        if by_id.setdefault(number, entry) is not entry:
            raise DatasetError(f"expected different category ids in {path}, got {number} twice")
    if not by_id:
        raise DatasetError(f"expected at least one category in {path}, got an empty list")
    ordered = [by_id[number] for number in sorted(by_id)]
    odd = [
        f"{entry['name']} ({frequency!r:.20})"
        for entry in ordered
        if (frequency := entry.get("frequency")) not in _FREQUENCIES
    ]
    problems.add(
        "categories have a frequency that is none of r, c, f: in none of APr, APc, APf",
        odd[:3],
        len(odd),
    )
    return Categories(
        ids=np.array(sorted(by_id), np.int64),
        names=tuple(entry["name"] for entry in ordered),
        frequencies=tuple(
            frequency if (frequency := entry.get("frequency")) in _FREQUENCIES else None
            for entry in ordered
        ),
        splits=tuple(
            entry["split"] if entry.get("split") in ("base", "novel") else None for entry in ordered
        ),
        aliases=tuple(
            tuple(str(name) for name in entry.get("synonyms") or ()) for entry in ordered
        ),
    )


def _read_side(value: Any) -> int:
    """Return a side of an image in pixels, -1 where the file states none."""
    number = None if isinstance(value, str) else to_id(value)
    return -1 if number is None or number <= 0 else number


def _read_areas(annotations: Sequence[dict[str, Any]]) -> np.ndarray:
    values = [item.get("area") for item in annotations]
    return np.array([v if isinstance(v, int | float) else np.nan for v in values], np.float64)


def _bound(segmentation: Any) -> np.ndarray:
    """Return the box x, y, w, h of a segmentation; zeros where there is none."""
    if isinstance(segmentation, dict):
        return compute_tight_boxes([to_rle(segmentation, *segmentation["size"])])[0]
    rings = [np.asarray(ring, np.float64).reshape(-1, 2) for ring in segmentation or ()]
    if not rings:
        return np.zeros(4)
    points = np.concatenate(rings)
    return np.concatenate([points.min(axis=0), np.ptp(points, axis=0)])


def _join(parts: list[np.ndarray], name: str) -> np.ndarray:
    if parts:
        return np.concatenate(parts)
    kinds = {"bbox": np.zeros((0, 4)), "area": np.zeros(0)}
    empty = np.zeros(0, bool if name in ("mask", "crowd", "ignore") else np.int64)
    return kinds.get(name, empty)
