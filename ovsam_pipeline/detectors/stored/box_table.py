"""Boxes read from a file, kept in flat arrays, and the detector that hands them out.

Input: boxes as the readers in `boxes_file.py` and `ground_truth.py` meet them. Output: Detections.
Boxes that are not four finite numbers with an area are dropped and counted here, as no table can
hold them; `box_rules.py` has the rules for the others.
"""

from __future__ import annotations

import logging
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ovsam.errors import ImageError
from ovsam_pipeline.detectors.base import Detections, Detector, DetectorImage
from ovsam_pipeline.detectors.box_rules import check_numbers, clean
from ovsam_pipeline.detectors.stored.image_index import ImageIndex
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.records import ImageRecord

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class BoxTable:
    """All boxes of a file, grouped by image.

    Attributes:
        images: which image has which number.
        offsets: (I + 1,) int64; image i has the rows offsets[i]:offsets[i + 1].
        boxes_xyxy: (M, 4) float32, original pixels, not yet clipped.
        scores: (M,) float32.
        category_ids: (M,) int64, or None.
        name_indices: (M,) int64 into `class_names`, or None.
        class_names: every class of the file; empty without classes.
        rows: (M,) int64, the position of each box in the file.
        dropped: reason → boxes that could not be used.
        prompt_ids: (M,) int64 ids of the annotations that the boxes are of, or None.
        points_xy: (M, 2) float32, the prompts in the boxes' stead, or None.
        failures: why an image has no boxes that could be known, by its number.
        num_below_conf: sound boxes that score too little.
        dropped_by_image: the same counts as `dropped`, by the number of the image.
    """

    images: ImageIndex
    offsets: np.ndarray
    boxes_xyxy: np.ndarray
    scores: np.ndarray
    category_ids: np.ndarray | None
    name_indices: np.ndarray | None
    class_names: tuple[str, ...]
    rows: np.ndarray
    dropped: Counter[str]
    prompt_ids: np.ndarray | None = None
    points_xy: np.ndarray | None = None
    failures: Mapping[int, str] = field(default_factory=dict)
    num_below_conf: int = 0
    dropped_by_image: Mapping[int, Counter[str]] = field(default_factory=dict)


class BoxTableBuilder:
    """Collects boxes in the order of the file; 48 bytes a box."""

    def __init__(self) -> None:
        self.images = ImageIndex()
        self.dropped_by_image: dict[int, Counter[str]] = {}
        self.num_rows = 0
        self._boxes_xywh = array("d")
        self._scores = array("d")
        self._image_indices = array("q")
        self._category_ids = array("q")
        self._rows = array("q")

    def add(self, image_index: int, bbox_xywh: object, score: object, category_id: int) -> None:
        """Add one box; what is not numbers is dropped and counted.

        Args:
            image_index: from `images.add`.
            bbox_xywh: 4 numbers, COCO's left, top, width, height in original pixels.
            score: a number.
            category_id: -1 where there is none.
        """
        row = self.num_rows
        self.num_rows += 1
        try:
            left, top, width, height = (float(value) for value in bbox_xywh)  # type: ignore[attr-defined]
            number = float(score)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            self._count_drop(image_index, "not four numbers and a score")
            return
        except OverflowError:  # a whole number of hundreds of digits
            self._count_drop(image_index, "not finite")
            return
        self._boxes_xywh.extend((left, top, width, height))
        self._scores.append(number)
        self._image_indices.append(image_index)
        self._category_ids.append(category_id)
        self._rows.append(row)

    def drop(self, image_index: int, reason: str) -> None:
        """Count a box of the file that cannot be used, in the place of `add`."""
        self.num_rows += 1
        self._count_drop(image_index, reason)

    def _count_drop(self, image_index: int, reason: str) -> None:
        self.dropped_by_image.setdefault(image_index, Counter())[reason] += 1

    def build(
        self, conf: float | None, names: Mapping[int, str], *, has_categories: bool
    ) -> BoxTable:
        """Check all boxes and group them by image.

        Args:
            conf: least score, inclusive; None keeps every box, in the order of the file.
            names: category id → class name; empty where the file names no classes.
            has_categories: whether the category ids mean anything.

        Raises:
            DatasetError: a category id that `names` lacks.
        """
        xywh = np.asarray(self._boxes_xywh).reshape(-1, 4)
        scores = np.asarray(self._scores)
        with np.errstate(over="ignore", invalid="ignore"):
            corners = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
            boxes = corners.astype(np.float32)
            scores = scores.astype(np.float32)
        finite, has_area = check_numbers(boxes, scores)
        for row in np.flatnonzero(~(finite & has_area)).tolist():
            reason = "no area" if finite[row] else "not finite"
            self._count_drop(self._image_indices[row], reason)
        # `clean` would drop these too: here it saves the memory of boxes that nobody asks for.
        is_sure = np.ones(len(scores), bool) if conf is None else scores >= np.float32(conf)
        kept = np.flatnonzero(finite & has_area & is_sure)
        images = np.asarray(self._image_indices)[kept]
        order = np.lexsort((images,) if conf is None else (-scores[kept], images))
        kept, images = kept[order], images[order]
        category_ids = np.asarray(self._category_ids)[kept]
        class_names, name_indices = _resolve_names(category_ids, names)
        return BoxTable(
            images=self.images,
            offsets=np.searchsorted(images, np.arange(self.images.num_images + 1)),
            boxes_xyxy=boxes[kept],
            scores=scores[kept],
            category_ids=category_ids if has_categories else None,
            name_indices=name_indices,
            class_names=class_names,
            rows=np.asarray(self._rows)[kept],
            num_below_conf=int((finite & has_area & ~is_sure).sum()),
            dropped=sum(self.dropped_by_image.values(), Counter()),
            dropped_by_image=self.dropped_by_image,
        )


class TableDetector(Detector):
    """Hands out the boxes of a table.

    Args:
        name: as the user wrote it.
        fingerprint: of the file and the settings.
        table: the boxes.
        is_record_of_run: whether the table has every image that was looked at, those without boxes
            too; then an image that it lacks fails.
    """

    device = "cpu"

    def __init__(
        self,
        name: str,
        fingerprint: str,
        table: BoxTable,
        *,
        is_record_of_run: bool = False,
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.table = table
        self.class_names = table.class_names or None
        self._is_record_of_run = is_record_of_run
        self._has_warned_of_size = False
        self._has_warned_of_outside = False
        if table.dropped:
            num_all = table.dropped.total() + table.num_below_conf + len(table.scores)
            is_all = table.dropped.total() == num_all
            what = f"none of {num_all} boxes can be used" if is_all else "boxes that cannot be used"
            logger.warning("%s: %s: %s", name, what, _describe(table.dropped))

    def detect(self, images: Sequence[DetectorImage]) -> list[Detections]:
        """Look the images up; see `Detector.detect`. Unknown images have no boxes."""
        return [self._detect_one(image) for image in images]

    def check_images(self, records: Iterable[ImageRecord]) -> list[str]:
        """Report boxes of unknown images, and images without boxes; see `Detector.check_images`.

        Raises a DatasetError where no image of the run is in the file, or two are the same one.
        """
        matched, num_unknown = self.table.images.match(records)
        num_images = len(matched) + num_unknown
        counts = np.diff(self.table.offsets)
        if num_images and not matched and len(self.table.scores):
            raise DatasetError(
                f"expected the images of the run in {self.name}, got none of {num_images} there; "
                f"it has {self.table.images.describe()}"
            )
        unused = int(counts.sum() - counts[list(matched)].sum())
        warnings = []
        if unused:
            others = int(np.count_nonzero(counts)) - int(np.count_nonzero(counts[list(matched)]))
            warnings.append(
                f"{self.name}: {unused} boxes of {others} images are not used: not in this run"
            )
        if num_unknown:
            warnings.append(
                f"{self.name}: {num_unknown} of {num_images} images have no boxes in it"
            )
        return warnings

    def _detect_one(self, image: DetectorImage) -> Detections:
        table = self.table
        with_categories = table.name_indices is not None
        index = table.images.find(image.record)
        if index is None and self._is_record_of_run:
            raise ImageError(
                f"no boxes in {self.name}: this image was not looked at there; run the same "
                "command into that folder again, then this one with --retry-failed"
            )
        if index is None:
            return Detections.empty(with_categories=with_categories)
        if index in table.failures:
            raise ImageError(f"no boxes in {self.name}: {table.failures[index]}")
        self._compare_size(image)
        rows = np.arange(table.offsets[index], table.offsets[index + 1])
        ids = table.category_ids
        names = table.name_indices
        found = Detections(
            table.boxes_xyxy[rows],
            table.scores[rows],
            None if names is None else tuple(table.class_names[i] for i in names[rows]),
            self._get_points(image, rows),
            None if ids is None else ids[rows],
            None if table.prompt_ids is None else table.prompt_ids[rows],
            dropped=table.dropped_by_image.get(index, {}),
        )
        self._warn_of_outside(image, found)
        return found

    def _get_points(self, image: DetectorImage, rows: np.ndarray) -> np.ndarray | None:
        """Return the prompt point of each row, where the table has points."""
        del image
        return None if self.table.points_xy is None else self.table.points_xy[rows]

    def _warn_of_outside(self, image: DetectorImage, found: Detections) -> None:
        """Warn once when an image can use none of its boxes."""
        if self._has_warned_of_outside or not len(found):
            return
        height, width = image.rgb.shape[:2]
        if not len(clean(found, (height, width))[0]):
            self._has_warned_of_outside = True
            logger.warning(
                "%s: all %d boxes of %s lie outside its %d x %d pixels: were they made for another "
                "size? (said once)", self.name, len(found), image.record.file_name, width, height,
            )  # fmt: skip

    def _compare_size(self, image: DetectorImage) -> None:
        """Say once when boxes were made for an image of another size."""
        record, (height, width) = image.record, image.rgb.shape[:2]
        if record.width is None or record.height is None or self._has_warned_of_size:
            return
        if (record.width, record.height) != (width, height):
            self._has_warned_of_size = True
            logger.warning(
                "%s: %s is %d x %d, and %d x %d in the JSON file: boxes may lie wrong (said once)",
                self.name, record.file_name, width, height, record.width, record.height,
            )  # fmt: skip


def _resolve_names(
    category_ids: np.ndarray, names: Mapping[int, str]
) -> tuple[tuple[str, ...], np.ndarray | None]:
    if not names:
        return (), None
    ids = np.array(sorted(names), np.int64)
    positions = np.searchsorted(ids, category_ids).clip(0, len(ids) - 1)
    is_unknown = ids[positions] != category_ids
    if is_unknown.any():
        raise DatasetError(
            f"expected category ids among the {len(ids)} categories of the file, got "
            f"{category_ids[is_unknown][0]}"
        )
    return tuple(names[int(i)] for i in ids), positions.astype(np.int64)


def _describe(dropped: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
