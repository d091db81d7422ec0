"""Boxes of a file, grouped by image in flat arrays, and the detector that hands them out.

Input: boxes as the readers of COCO and Parquet files find them. Output: `Detections` of each image.
Boxes that are not four finite numbers with an area are dropped and counted here; `box_rules.py` has
the rules for the rest.
"""

from __future__ import annotations

import logging
import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from ovsam.errors import ImageError
from ovsam_pipeline.detectors.base import Detections, Detector, DetectorImage
from ovsam_pipeline.detectors.box_rules import check_numbers, clean
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.records import ImageRecord

logger = logging.getLogger(__name__)

# COCO's own names: 000000000139.jpg, COCO_val2014_000000000139.jpg.
_COCO_NAME = re.compile(r"(?:^|_)(\d{12})$")


class ImageIndex:
    """The images of a boxes file, numbered 0, 1, 2, … in the order of their first mention."""

    def __init__(self) -> None:
        self.num_images = 0
        self._by_id: dict[int, int] = {}
        self._by_name: dict[str, int] = {}
        self._by_base_name: dict[str, list[str]] = {}

    def add(self, image_id: int | None, file_name: str | None) -> int:
        """Return the number of an image, given its id, its name, or both."""
        # Windows tools write backslashes, `find .` writes ./ in front.
        name = None if file_name is None else file_name.replace("\\", "/").removeprefix("./")
        index = self._by_id.get(image_id) if image_id is not None else None
        if index is None and name is not None:
            index = self._by_name.get(name)
        if index is None:
            index = self.num_images
            self.num_images += 1
        # Of several images with one id or name the first is found.
        if image_id is not None:
            self._by_id.setdefault(image_id, index)
        if name is not None and self._by_name.setdefault(name, index) == index:
            names = self._by_base_name.setdefault(PurePosixPath(name).name, [])
            if name not in names:
                names.append(name)
        return index

    def find(self, record: ImageRecord) -> int | None:
        """Return the number of a record's image, None where the file does not know it.

        Tried in this order: the same name; the same id; the only name that ends with the record's
        or is its end; the number in a COCO file name, in files without names; the base name without
        its suffix, which some tools write as the id.
        """
        name = record.file_name
        index = self._by_name.get(name, self._by_id.get(record.image_id))
        if index is not None:
            return index
        candidates = [
            known
            for known in self._by_base_name.get(PurePosixPath(name).name, ())
            if known.endswith("/" + name) or name.endswith("/" + known)
        ]
        if len(candidates) == 1:
            return self._by_name[candidates[0]]
        stem = PurePosixPath(name).stem
        number = None if self._by_name else _COCO_NAME.search(stem)
        return self._by_id.get(int(number[1])) if number else self._by_name.get(stem)

    def match(self, records: Iterable[ImageRecord]) -> tuple[set[int], int]:
        """Return the numbers of the records' images, and how many records have none.

        Raises a DatasetError where two records are one image of the file.
        """
        owners: dict[int, str] = {}
        num_unknown = 0
        for record in records:
            index = self.find(record)
            if index is None:
                num_unknown += 1
            elif owners.setdefault(index, record.file_name) != record.file_name:
                raise DatasetError(
                    f"expected one image for each name in the boxes file, got {owners[index]} and "
                    f"{record.file_name} for the same one: write its names relative to the source"
                )
        return set(owners), num_unknown

    def describe(self) -> str:
        """Return examples of what the file knows: "names such as a.jpg", "ids such as 7"."""
        if self._by_name:
            return f"names such as {next(iter(self._by_name))}"
        return f"ids such as {next(iter(self._by_id), 'none')}"


@dataclass(frozen=True, eq=False)
class BoxTable:
    """The usable boxes of a file, grouped by image; I images, M boxes.

    Attributes:
        offsets: (I + 1,) int64; image i has the rows offsets[i]:offsets[i + 1].
        boxes_xyxy: (M, 4) float32, original pixels, not yet clipped.
        scores: (M,) float32.
        category_ids: (M,) int64, or None.
        name_indices: (M,) int64 into `class_names`, or None.
        class_names: every class of the file; empty without classes.
        rows: (M,) int64, the position of each box in the file.
        dropped: image number → reason → boxes that could not be used.
        num_below_conf: usable boxes that were left out, as they score too little.
        prompt_ids: (M,) int64 ids of the annotations that the boxes are of, or None.
        points_xy: (M, 2) float32, the prompts instead of the boxes, or None.
        failures: image number → why it was not looked at in the run that wrote the file.
    """

    images: ImageIndex
    offsets: np.ndarray
    boxes_xyxy: np.ndarray
    scores: np.ndarray
    category_ids: np.ndarray | None
    name_indices: np.ndarray | None
    class_names: tuple[str, ...]
    rows: np.ndarray
    dropped: Mapping[int, Counter[str]]
    num_below_conf: int
    prompt_ids: np.ndarray | None = None
    points_xy: np.ndarray | None = None
    failures: Mapping[int, str] = field(default_factory=dict)


class BoxTableBuilder:
    """Collects boxes in the order of the file, unusable ones too; 56 bytes per box."""

    def __init__(self) -> None:
        self.images = ImageIndex()
        self._values = array("d")  # left, top, width, height, score
        self._image_indices = array("q")
        self._category_ids = array("q")
        self._reasons: dict[int, str] = {}

    def add(self, image_index: int, bbox_xywh: object, score: object, category_id: int) -> None:
        """Add a box of the image with this number.

        A box is COCO's left, top, width, height in original pixels; category id -1 means none.
        """
        try:
            left, top, width, height = (float(value) for value in bbox_xywh)  # type: ignore[attr-defined]
            self._values.extend((left, top, width, height, float(score)))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            self.add_unusable(image_index, "not four numbers and a score")
        except OverflowError:  # a whole number of hundreds of digits
            self.add_unusable(image_index, "not finite")
        else:
            self._image_indices.append(image_index)
            self._category_ids.append(category_id)

    def add_unusable(self, image_index: int, reason: str) -> None:
        """Add a row of the file that holds no box that can be used."""
        self._reasons[len(self._image_indices)] = reason
        self._values.extend([math.nan] * 5)
        self._image_indices.append(image_index)
        self._category_ids.append(-1)

    def build(
        self, conf: float | None, names: Mapping[int, str], *, has_categories: bool
    ) -> BoxTable:
        """Check all boxes and group them by image.

        Scores of `conf` and more stay, best first; None keeps all, in the order of the file.
        `names` maps category ids to class names and is empty where the file has none. Without
        categories the ids mean nothing outside the table. Raises a DatasetError for a category id
        that `names` lacks.
        """
        values = np.asarray(self._values).reshape(-1, 5)
        with np.errstate(over="ignore", invalid="ignore"):
            right_bottom = values[:, :2] + values[:, 2:4]
            boxes = np.concatenate([values[:, :2], right_bottom], axis=1).astype(np.float32)
            scores = values[:, 4].astype(np.float32)
        is_finite, has_area = check_numbers(boxes, scores)
        is_usable = is_finite & has_area
        dropped: dict[int, Counter[str]] = {}
        for row in np.flatnonzero(~is_usable).tolist():
            reason = self._reasons.get(row) or ("no area" if is_finite[row] else "not finite")
            dropped.setdefault(self._image_indices[row], Counter())[reason] += 1
        # `clean` would drop these too: here it saves the memory of boxes that nobody asks for.
        is_sure = scores >= np.float32(-np.inf if conf is None else conf)
        kept = np.flatnonzero(is_usable & is_sure)
        images = np.asarray(self._image_indices)[kept]
        # By image (the last key), then by score; ties stay in the order of the file.
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
            rows=kept,
            dropped=dropped,
            num_below_conf=int((is_usable & ~is_sure).sum()),
        )


class TableDetector(Detector):
    """Hands out the boxes of a table.

    A table that is the record of a run has every image that was looked at, those without boxes too:
    then an image that it lacks fails, rather than being one without boxes.
    """

    device = "cpu"

    def __init__(
        self, name: str, fingerprint: str, table: BoxTable, *, knows_every_image: bool = False
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.table = table
        # A file may have boxes without a class among others: their name is "".
        named = tuple(name for name in table.class_names if name)
        self.class_names = named or None
        self._knows_every_image = knows_every_image
        self._has_warned_of_size = False
        self._has_warned_of_outside = False
        if table.dropped:
            dropped = sum(table.dropped.values(), Counter[str]())
            num_used = table.num_below_conf + len(table.scores)
            what = "boxes that cannot be used"
            if not num_used:
                what = f"none of {dropped.total()} boxes can be used"
            reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
            logger.warning("%s: %s: %s", name, what, reasons)

    def detect(self, images: Sequence[DetectorImage]) -> list[Detections]:
        """Look the images up; see `Detector.detect`. Unknown images have no boxes."""
        return [self._detect_one(image) for image in images]

    def check_images(self, records: Iterable[ImageRecord]) -> list[str]:
        """Report boxes of unknown images, and images without boxes; see `Detector.check_images`.

        Raises a DatasetError where no image of the run is in the file, or two are the same one.
        """
        matched, num_unknown = self.table.images.match(records)
        num_images = len(matched) + num_unknown
        unused = np.delete(np.diff(self.table.offsets), list(matched))  # boxes of other images
        if num_images and not matched and len(self.table.scores):
            raise DatasetError(
                f"expected the images of the run in {self.name}, got none of {num_images} there; "
                f"it has {self.table.images.describe()}"
            )
        warnings = []
        if unused.any():
            warnings.append(
                f"{self.name}: {unused.sum()} boxes of {np.count_nonzero(unused)} images are not "
                "used: not in this run"
            )
        if num_unknown:
            warnings.append(
                f"{self.name}: {num_unknown} of {num_images} images have no boxes in it"
            )
        return warnings

    def _detect_one(self, image: DetectorImage) -> Detections:
        table = self.table
        ids, names = table.category_ids, table.name_indices
        index = table.images.find(image.record)
        if index is None:
            if self._knows_every_image:
                raise ImageError(
                    f"no boxes in {self.name}: this image was not looked at there; run the same "
                    "command into that folder again, then this one with --retry-failed"
                )
            return Detections.empty(with_categories=names is not None)
        if index in table.failures:
            raise ImageError(f"no boxes in {self.name}: {table.failures[index]}")
        rows = np.arange(table.offsets[index], table.offsets[index + 1])
        found = Detections(
            table.boxes_xyxy[rows],
            table.scores[rows],
            None if names is None else tuple(table.class_names[i] or None for i in names[rows]),
            self._get_points(image, rows),
            None if ids is None else ids[rows],
            None if table.prompt_ids is None else table.prompt_ids[rows],
            dropped=table.dropped.get(index, {}),
        )
        self._warn_of_size(image, found)
        return found

    def _get_points(self, image: DetectorImage, rows: np.ndarray) -> np.ndarray | None:
        """Return the prompt point of each row, where the table has points."""
        del image
        return None if self.table.points_xy is None else self.table.points_xy[rows]

    def _warn_of_size(self, image: DetectorImage, found: Detections) -> None:
        """Warn when boxes seem to be made for an image of another size; once of each sign of it."""
        record, (height, width) = image.record, image.rgb.shape[:2]
        stated = (record.width, record.height)
        if not self._has_warned_of_size and None not in stated and stated != (width, height):
            self._has_warned_of_size = True
            logger.warning(
                "%s: %s is %d x %d, and %d x %d in the JSON file: boxes may be in the wrong place "
                "(reported once)", self.name, record.file_name, width, height, *stated,
            )  # fmt: skip
        if self._has_warned_of_outside or not len(found):
            return
        if not len(clean(found, (height, width))[0]):
            self._has_warned_of_outside = True
            logger.warning(
                "%s: all %d boxes of %s are outside its %d x %d pixels: were they made for another "
                "size? (reported once)", self.name, len(found), record.file_name, width, height,
            )  # fmt: skip


def _resolve_names(
    category_ids: np.ndarray, names: Mapping[int, str]
) -> tuple[tuple[str, ...], np.ndarray | None]:
    if not names:
        return (), None
    # Ids have gaps (COCO's 80 classes end at 90), so they are searched and not used as positions.
    ids = np.array(sorted(names), np.int64)
    positions = np.searchsorted(ids, category_ids).clip(0, len(ids) - 1)
    is_unknown = ids[positions] != category_ids
    if is_unknown.any():
        raise DatasetError(
            f"expected category ids among the {len(ids)} categories of the file, got "
            f"{category_ids[is_unknown][0]}"
        )
    return tuple(names[int(i)] for i in ids), positions.astype(np.int64)
