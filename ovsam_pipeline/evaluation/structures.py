"""The tables that evaluation works on: ground truth, predictions, and which answers which.

Flat numpy columns, checked where they are read. Masks are not in them: they stay in a
`SegmentStore`, whose rows the tables name.

Letters: I images, K categories, G annotations, N predictions, T IoU thresholds, A area ranges,
R recalls, M limits of predictions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from ovsam_pipeline.detectors.image_match import MatchReport

if TYPE_CHECKING:
    from ovsam_pipeline.evaluation.reading.segment_store import SegmentStore

ScoreKind = Literal["stored", "detector", "model", "product"]
IouType = Literal["bbox", "segm"]

# Source: COCO evaluation (pycocotools' Params); lvis-api has the same.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
AREA_NAMES = ("all", "small", "medium", "large")
# (4, 2) pixels of the original image, both ends inclusive.
AREA_RANGES = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]], np.float64)
# The M limits that recall is stated for; AP is at the last. COCO's are per image and category,
# LVIS's per image over all categories. Source: pycocotools and lvis-api.
COCO_MAX_DETECTIONS = (1, 10, 100)
LVIS_MAX_DETECTIONS = (300,)


@dataclass
class Problems:
    """What is odd about the input: counted by kind, the first three named.

    A kind is a clause that is read after a number: "predictions are of images that are not in the
    ground truth: left out".
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, items: Sequence[str], count: int | None = None) -> None:
        """Count items of a kind; `count` is how many there are where `items` names only some."""
        number = len(items) if count is None else count
        if not number:
            return
        self.counts[kind] += number
        known = self.examples.setdefault(kind, [])
        known.extend(items[: 3 - len(known)])

    def add_where(self, kind: str, flags: np.ndarray, name: Callable[[int], str]) -> None:
        """Count the items whose flag, (n,) bool, is set; `name` names an item by its index."""
        found = np.flatnonzero(flags)
        self.add(kind, [name(index) for index in found[:3].tolist()], len(found))

    def describe(self) -> list[str]:
        """Return one sentence per kind: "12 predictions are …, such as image 7 (row 12)"."""
        return [
            f"{number} {_to_singular(kind) if number == 1 else kind}"
            + (f", such as {'; '.join(named)}" if named and number > len(named) else "")
            + (f" ({'; '.join(named)})" if named and number <= len(named) else "")
            for kind, number in self.counts.most_common()
            for named in [self.examples.get(kind, [])]
        ]


# How kinds of problems begin: of many, and of one.
_SINGULARS = {
    "boxes reach beyond their": "box reaches beyond its",
    "boxes have": "box has",
    "masks have another size than their image: count as misses": "mask has another size than its "
    "image: counts as a miss",
    "masks have damaged run lengths, or are not masks": "mask has damaged run lengths, or is none",
    "masks have": "mask has",
    "predictions are duplicates": "prediction is a duplicate",
    "predictions are of images that are": "prediction is of an image that is",
    "predictions are of images": "prediction is of an image",
    "predictions are of classes": "prediction is of a class",
    "predictions are": "prediction is",
    "predictions have": "prediction has",
    "predictions may": "prediction may",
    "annotations are of images": "annotation is of an image",
    "annotations are of categories": "annotation is of a category",
    "annotations are": "annotation is",
    "annotations have": "annotation has",
    "polygons have": "polygon has",
    "images of the ground truth have": "image of the ground truth has",
    "images of the ground truth failed": "image of the ground truth failed",
    "images were": "image was",
    "image_ids are": "image_id is",
    "category_ids are": "category_id is",
    "annotation_ids are": "annotation_id is",
    "ids are": "id is",
    "categories have": "category has",
}


def _to_singular(kind: str) -> str:
    for plural, singular in _SINGULARS.items():
        if kind.startswith(plural):
            return singular + kind.removeprefix(plural)
    return kind


@dataclass(frozen=True)
class Categories:
    """The classes of the ground truth, sorted by id.

    Attributes:
        ids: (K,) int64, ascending.
        frequencies: K of "r", "c", "f", or None where the file has none (LVIS v1).
        splits: K of "base", "novel", None. From the file's own `split`, else given later.
        aliases: for each class other names (LVIS synonyms).
    """

    ids: np.ndarray
    names: tuple[str, ...]
    frequencies: tuple[str | None, ...]
    splits: tuple[str | None, ...]
    aliases: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        """Return the number of classes K."""
        return len(self.names)

    def select(self, kept: Sequence[int]) -> Categories:
        """Return the classes at some positions, which are ascending."""
        return Categories(
            self.ids[list(kept)],
            tuple(self.names[i] for i in kept),
            tuple(self.frequencies[i] for i in kept),
            tuple(self.splits[i] for i in kept),
            tuple(self.aliases[i] for i in kept),
        )

    def get_splits(self, category_index: np.ndarray) -> np.ndarray:
        """Return "base", "novel" or "" for each index: (n,) object."""
        splits = np.array([split or "" for split in self.splits], object)
        return splits[category_index] if len(splits) else np.zeros(0, object)


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """A COCO or LVIS data set, without its pixels.

    Images are sorted by id; annotations by image, in the order of the file within an image, as the
    reference tools see them: the order decides ties.

    Attributes:
        is_lvis: federated annotations: `negative` and `not_exhaustive` count, 300 predictions per
            image, no crowds.
        image_ids: (I,) int64, ascending.
        image_sizes_hw: (I, 2) int32 pixels; -1 where the file states none.
        file_names: I relative names, None where the file has none.
        annotation_ids: (G,) int64.
        image_index: (G,) int32 into the images.
        category_index: (G,) int32 into the categories.
        areas: (G,) float64 pixels as the file states them (reference tools do not recompute).
        boxes_xywh: (G, 4) float64, original pixels.
        is_crowd: (G,) bool, COCO's iscrowd; all False for LVIS.
        is_ignored: (G,) bool: COCO: is_crowd; LVIS: the file's `ignore`.
        segment_rows: (G,) int64 rows of `segments`.
        negative: (n,) int64, sorted codes image_index * K + category_index of classes that are
            known to be absent (LVIS; otherwise empty).
        not_exhaustive: the same of classes whose objects are not all annotated.
        num_left_out: images of the file that are not measured: after the limit, or without an
            annotation of the classes that are.
        has_masks: whether any annotation has a segmentation; True where there are no annotations.
        max_det: most predictions that count, instead of the rules' 100 or 300.
    """

    title: str
    is_lvis: bool
    image_ids: np.ndarray
    image_sizes_hw: np.ndarray
    file_names: tuple[str | None, ...]
    categories: Categories
    annotation_ids: np.ndarray
    image_index: np.ndarray
    category_index: np.ndarray
    areas: np.ndarray
    boxes_xywh: np.ndarray
    is_crowd: np.ndarray
    is_ignored: np.ndarray
    segment_rows: np.ndarray
    segments: SegmentStore
    negative: np.ndarray
    not_exhaustive: np.ndarray
    problems: Problems
    num_left_out: int = 0
    has_masks: bool = True
    max_det: int | None = None

    @property
    def num_images(self) -> int:
        """The number of images I."""
        return len(self.image_ids)

    @property
    def max_detections(self) -> tuple[int, ...]:
        """The M limits of predictions of the rules that apply, ascending."""
        default = LVIS_MAX_DETECTIONS if self.is_lvis else COCO_MAX_DETECTIONS
        if self.max_det is None:
            return default
        return (*(limit for limit in default[:-1] if limit < self.max_det), self.max_det)

    def name_class(self, row: int) -> str:
        """Return the class name of an annotation."""
        return self.categories.names[self.category_index[row]]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predicted boxes and masks of the images of a GroundTruth.

    Sorted by image, in the order of the file within an image. Only predictions of known images and
    categories are here; the others are counted in `problems`.

    Attributes:
        image_index: (N,) int32 into the ground truth's images.
        category_index: (N,) int32 into the ground truth's categories; -1 where the predicted class
            has no counterpart there (kept for instance accuracy, ignored by AP).
        labels: (N,) object, names of the predicted classes.
        scores: (N,) float64, finite.
        boxes_xywh: (N, 4) float64, original pixels; the tight box of the mask where the file has
            no boxes.
        areas: (N,) float64, the pixels of the mask, or NaN where not known yet.
        has_boxes: whether the file states boxes (decides the reference tools' area rule).
        rows: (N,) int64, position in the file, for messages.
        ranks: (N,) int32, place among all predictions of the image by falling score, including
            those that were left out: LVIS looks at the first 300.
        segment_rows: (N,) int64 rows of `segments`; -1 where there is no mask.
        prompt_ids: (N,) int64, id of the annotation that prompted it; -1 where it is not known.
        answered_images: (I,) bool: the images that were predicted on: all for a results file, for
            an output folder those with a row that did not fail.
        images: how many images of the predictions were found in the truth, by which rule.
        has_classes: whether predictions have classes.
    """

    title: str
    image_index: np.ndarray
    category_index: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    boxes_xywh: np.ndarray
    areas: np.ndarray
    has_boxes: bool
    has_masks: bool
    rows: np.ndarray
    ranks: np.ndarray
    segment_rows: np.ndarray
    segments: SegmentStore
    prompt_ids: np.ndarray
    answered_images: np.ndarray
    problems: Problems
    images: MatchReport = field(default_factory=MatchReport)
    has_classes: bool = True

    def __len__(self) -> int:
        """Return the number of predictions N."""
        return len(self.scores)


@dataclass(frozen=True, eq=False)
class Matches:
    """Which predictions are right, at every IoU threshold and for every area range.

    Sorted by category, then image, then rank (falling score; ties in the order of the file).

    Attributes:
        rows: (N,) int64 rows of the Predictions.
        image_index: (N,) int32.
        category_index: (N,) int32; 0 where categories are put together.
        ranks: (N,) int32, 0 for the best of its image and category.
        scores: (N,) float64.
        matched: (N, A, T) bool: it found an annotation.
        ignored: (N, A, T) bool: it counts neither as right nor as wrong.
        num_truth: (K, A) int64 annotations to be found; K is 1 where categories are put together.
        truth_image_index: (G',) int32 images of the annotations that count over all areas.
        truth_category_index: (G',) int32 their categories.
        truth_in_area: (G', A) bool whether the annotation counts in each area range.
        truth_rows: (G',) int64 rows of the GroundTruth.
        found_by: (G',) int64 row of the Predictions that found it at IoU 0.5, or -1.
        found_iou: (G',) float64 its IoU, or 0.
    """

    rows: np.ndarray
    image_index: np.ndarray
    category_index: np.ndarray
    ranks: np.ndarray
    scores: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    num_truth: np.ndarray
    truth_image_index: np.ndarray
    truth_category_index: np.ndarray
    truth_in_area: np.ndarray
    truth_rows: np.ndarray
    found_by: np.ndarray
    found_iou: np.ndarray


@dataclass(frozen=True, eq=False)
class Curves:
    """Precision and recall; -1 where a category has no annotation to be found.

    Attributes:
        precision: (T, R, K, A) float64 at the highest limit.
        recall: (T, K, A, M) float64.
    """

    precision: np.ndarray
    recall: np.ndarray
    max_detections: tuple[int, ...]
