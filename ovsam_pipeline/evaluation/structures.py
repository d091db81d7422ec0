"""The tables that evaluation works on: ground truth, predictions, and which answers which.

Flat numpy columns, checked where they are read. Masks stay outside, in a `SegmentStore`: a table
row names its row there.

Letters: I images, K categories, G annotations, N predictions, T IoU thresholds, A area ranges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from ovsam_pipeline.evaluation.reading.segment_store import SegmentStore


ScoreKind = Literal["stored", "detector", "model", "product"]


IouType = Literal["bbox", "segm"]

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""(10,) float64. Source: COCO evaluation."""
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
"""(101,) float64. Source: COCO evaluation."""
AREA_NAMES = ("all", "small", "medium", "large")
AREA_RANGES = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]], np.float64)
"""(4, 2) pixels of the original image, both ends inclusive. Source: COCO evaluation."""


@dataclass
class Problems:
    """What is odd about the input: counted by kind, the first few named.

    A kind is a whole clause that reads well behind a number: "predictions are of images that are
    not in the ground truth: left out".
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, items: Sequence[str], count: int | None = None) -> None:
        """Count items of a kind.

        Args:
            kind: the clause.
            items: names of (some of) the items: "image 7, row 12".
            count: how many there are, where `items` names only some.
        """
        number = len(items) if count is None else count
        if not number:
            return
        self.counts[kind] += number
        known = self.examples.setdefault(kind, [])
        known.extend(items[: 3 - len(known)])

    def describe(self) -> list[str]:
        """Return one sentence a kind: "12 predictions are …, such as image 7 (row 12)"."""
        return [
            f"{number} {kind}" + (f", such as {'; '.join(named)}" if named else "")
            for kind, number in self.counts.most_common()
            for named in [self.examples.get(kind, [])]
        ]


@dataclass(frozen=True)
class Categories:
    """The classes of the ground truth, sorted by id.

    Attributes:
        ids: (K,) int64, ascending.
        names: K names.
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


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """A COCO or LVIS data set, without its pixels.

    Images are sorted by id; annotations by image, in the order of the file within an image (as the
    reference tools see them).

    Attributes:
        title: the path, for messages.
        is_lvis: federated annotations: `negative` and `not_exhaustive` count, 300 predictions an
            image, no crowds.
        image_ids: (I,) int64, ascending.
        image_sizes_hw: (I, 2) int32 pixels; -1 where the file states none.
        file_names: I relative names, None where the file has none.
        categories: the classes.
        annotation_ids: (G,) int64.
        image_index: (G,) int32 into the images.
        category_index: (G,) int32 into the categories.
        areas: (G,) float64 pixels as the file states them (reference tools do not recompute).
        boxes_xywh: (G, 4) float64, original pixels.
        is_crowd: (G,) bool, COCO's iscrowd.
        is_ignored: (G,) bool: COCO: is_crowd; LVIS: the file's `ignore`.
        segment_rows: (G,) int64 rows of `segments`.
        segments: the masks.
        negative: (M,) int64, sorted codes image_index * K + category_index of classes that are
            known to be absent (LVIS; empty else).
        not_exhaustive: the same of classes whose objects are not all annotated.
        problems: what was odd.
        num_left_out: images of the file that are not measured: behind the limit, or without an
            annotation of the classes that are.
        has_masks: whether any annotation has a segmentation; True where there are no annotations.
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

    @property
    def num_images(self) -> int:
        """I."""
        return len(self.image_ids)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predicted boxes and masks of the images of a GroundTruth.

    Sorted by image, in the order of the file within an image. Only predictions of known images and
    categories are here; the others are counted in `problems`.

    Attributes:
        title: the path, for messages.
        image_index: (N,) int32 into the ground truth's images.
        category_index: (N,) int32 into the ground truth's categories; -1 where the predicted class
            has no counterpart there (kept for instance accuracy, ignored by AP).
        scores: (N,) float64, finite.
        boxes_xywh: (N, 4) float64, original pixels; the tight box of the mask where the file has
            no boxes.
        areas: (N,) float64, the pixels of the mask, or NaN where not known yet.
        has_boxes: whether the file states boxes (decides the reference tools' area rule).
        has_masks: whether the file states masks.
        rows: (N,) int64, position in the file, for messages.
        ranks: (N,) int32, place among all predictions of the image by falling score, those that
            were left out counted: LVIS looks at the first 300.
        segment_rows: (N,) int64 rows of `segments`; -1 where there is no mask.
        segments: the masks.
        prompt_ids: (N,) int64, id of the annotation that prompted it; -1 where it is not known.
        labels: (N,) object names of the predicted classes, for `labels` outputs; None for files of
            results.
        answered_images: (I,) bool: images that the predictions speak about (a file of results
            speaks about all; an output folder about those with a row that did not fail).
        problems: what was odd.
    """

    title: str
    image_index: np.ndarray
    category_index: np.ndarray
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
    labels: np.ndarray | None
    answered_images: np.ndarray
    problems: Problems

    def __len__(self) -> int:
        """Return the number of predictions N."""
        return len(self.scores)


@dataclass(frozen=True, eq=False)
class Matches:
    """Which predictions are right, at every IoU threshold and for every area range.

    Sorted by category, then image, then rank (falling score; ties in the order of the file).

    Attributes:
        iou_type: "bbox" or "segm".
        is_class_agnostic: whether categories were put together (K is then 1).
        rows: (N,) int64 rows of the Predictions.
        image_index: (N,) int32.
        category_index: (N,) int32.
        ranks: (N,) int32, 0 for the best of its image and category.
        scores: (N,) float64.
        matched: (N, A, T) bool: it found an annotation.
        ignored: (N, A, T) bool: it counts neither as right nor as wrong.
        num_truth: (K, A) int64 annotations to be found.
        truth_image_index: (G',) int32 images of the annotations that count over all areas.
        truth_category_index: (G',) int32 their categories.
        truth_rows: (G',) int64 rows of the GroundTruth.
        found_by: (G',) int64 row of the Predictions that found it at IoU 0.5, or -1.
        found_iou: (G',) float64 its IoU, or 0.
        truth_in_area: (G', A) bool whether the annotation counts in each area range; None where
            it is not known (weights of images then give no result by area).
    """

    iou_type: IouType
    is_class_agnostic: bool
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
    truth_rows: np.ndarray
    found_by: np.ndarray
    found_iou: np.ndarray
    truth_in_area: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of predictions N."""
        return len(self.rows)
