"""Boxes of a file, grouped by image in flat arrays, and the detector that hands them out.

Input: boxes as the readers of COCO and Parquet files find them. Output: `Detections` of each image.
Boxes that are not four finite numbers with an area are dropped and counted here; `box_rules.py` has
the rules for the rest.
"""

from __future__ import annotations

import logging
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ovsam.coco_fields import normalise_name, to_box, to_id, to_number
from ovsam.errors import ImageError
from ovsam_pipeline.detectors.base import Detections, Detector, DetectorImage
from ovsam_pipeline.detectors.box_rules import BELOW_CONF, check_numbers, clean
from ovsam_pipeline.detectors.image_match import AMBIGUOUS, BY_ID, BY_NAME, ImageIndex, Query
from ovsam_pipeline.errors import DatasetError

logger = logging.getLogger(__name__)

# Reasons of boxes that are not used, beside those of `box_rules.py`.
NO_BOX, CROWD = "without a box", "crowds (iscrowd)"


@dataclass(frozen=True, eq=False)
class DroppedBoxes:
    """The boxes of a file that give no prompt: (D,) image numbers, ascending, and reasons.

    `reasons` are positions in `names`.
    """

    images: np.ndarray
    reasons: np.ndarray
    names: tuple[str, ...]

    def count(self, images: Iterable[int]) -> Counter[str]:
        """Return how many boxes of some images there are, by reason."""
        is_asked = np.isin(self.images, np.fromiter(images, np.int64))
        counts = np.bincount(self.reasons[is_asked], minlength=len(self.names))
        return +Counter(dict(zip(self.names, counts.tolist(), strict=True)))

    def count_one(self, image: int) -> Counter[str]:
        """Return the same of one image, quickly."""
        first, last = np.searchsorted(self.images, [image, image + 1])
        return Counter(self.names[reason] for reason in self.reasons[first:last].tolist())


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
        dropped: boxes that could not be used, or score too little.
        sizes_wh: (I, 2) int32 width and height of each image as the file states them, 0 for none.
        is_listed: (I,) bool whether the file, or the data set behind #, lists the image; boxes may
            be of others.
        prompt_ids: (M,) int64 ids of the annotations that the boxes are of, or None.
        points_xy: (M, 2) float32, the prompts instead of the boxes, or None.
        failures: image number → why it was not looked at in the run that wrote the file.
        is_relative: whether boxes are fractions of the image's sides, as MegaDetector writes them.
    """

    images: ImageIndex
    offsets: np.ndarray
    boxes_xyxy: np.ndarray
    scores: np.ndarray
    category_ids: np.ndarray | None
    name_indices: np.ndarray | None
    class_names: tuple[str, ...]
    rows: np.ndarray
    dropped: DroppedBoxes
    sizes_wh: np.ndarray
    is_listed: np.ndarray
    prompt_ids: np.ndarray | None = None
    points_xy: np.ndarray | None = None
    failures: Mapping[int, str] = field(default_factory=dict)
    is_relative: bool = False


class BoxTableBuilder:
    """Collects boxes in the order of the file, unusable ones too; 56 bytes per box."""

    def __init__(self) -> None:
        self.images = ImageIndex()
        self.sizes = array("i")  # width and height of each image, 0 where not known
        self._found: dict[Query, int] = {}
        self._is_listed = bytearray()
        self._named_by_id: set[int] = set()
        self._values = array("d")  # left, top, width, height, score
        self._image_indices = array("q")
        self._category_ids = array("q")
        self._reasons: dict[int, str] = {}

    def add_image(
        self, image_id: int | None, name: str | None, width: int = 0, height: int = 0
    ) -> int:
        """Add an image that the file lists, and return its number.

        Annotations before the list may have mentioned it, and a data set behind # may have listed
        it. Raises a DatasetError for one id with two names.
        """
        index = None if image_id is None else self.images.get_by_id(image_id)
        known = None if index is None else self.images.names[index]
        if index is None:
            index = self.images.add(image_id, name)
        elif name is not None and (known is None or index in self._named_by_id):
            self.images.set_name(index, name)
        elif name is not None and normalise_name(name) != known:
            raise DatasetError(
                f"expected different image ids, got {image_id} for {known} and for {name}"
            )
        self.sizes.extend([0] * (2 * len(self.images) - len(self.sizes)))
        self.sizes[2 * index : 2 * index + 2] = array("i", (width, height))
        self._is_listed.extend(bytes(len(self.images) - len(self._is_listed)))
        self._is_listed[index] = True
        return index

    def find_image(self, image_id: int | str | None, name: str | None) -> int:
        """Return the number of the image that a box is of, a new one for an unknown image.

        Some tools write the file's name, or its stem, as the id.
        """
        index = self._found.get((image_id, name))
        if index is None:
            index, rule = self.images.find(image_id, name)
            # Names that differ are different images, unless they mean one that the file lists.
            is_listed = index is not None and any(self._is_listed[index : index + 1])
            if index is None or not (is_listed or rule in (BY_NAME, BY_ID)):
                is_text = name is None and isinstance(image_id, str)
                index = self.images.add(to_id(image_id), str(image_id) if is_text else name)
                self._named_by_id.update([index] if is_text else ())
            self._found[image_id, name] = index
        return index

    def add(self, image_index: int, bbox_xywh: object, score: object, category_id: int) -> None:
        """Add a box of the image with this number.

        A box is COCO's left, top, width, height in original pixels; category id -1 means none.
        """
        box, number = to_box(bbox_xywh), to_number(score)
        if box is None or number is None:
            is_absent = bbox_xywh is None or bbox_xywh == []
            reason = NO_BOX if is_absent else "not four numbers and a score"
            self.add_unusable(image_index, reason)
            return
        self._values.extend((*box, number))
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
        # `clean` would drop these too: here it saves the memory of boxes that nobody asks for.
        is_sure = scores >= np.float32(-np.inf if conf is None else conf)
        kept = np.flatnonzero(is_usable & is_sure)
        images = np.asarray(self._image_indices)[kept]
        # By image (the last key), then by score; ties stay in the order of the file.
        order = np.lexsort((images,) if conf is None else (-scores[kept], images))
        kept, images = kept[order], images[order]
        category_ids = np.asarray(self._category_ids)[kept]
        if names and (category_ids == -1).any():
            names = {**names, -1: ""}
        class_names, name_indices = _resolve_names(category_ids, names)
        return BoxTable(
            images=self.images,
            offsets=np.searchsorted(images, np.arange(len(self.images) + 1)),
            boxes_xyxy=boxes[kept],
            scores=scores[kept],
            category_ids=category_ids if has_categories else None,
            name_indices=name_indices,
            class_names=class_names,
            rows=kept,
            dropped=self._collect_dropped(is_finite, has_area, is_sure),
            sizes_wh=self._collect_sizes(),
            is_listed=np.frombuffer(self._is_listed.ljust(len(self.images), b"\0"), bool),
        )

    def _collect_sizes(self) -> np.ndarray:
        sizes_wh = np.zeros((len(self.images), 2), np.int32)
        sizes_wh.reshape(-1)[: len(self.sizes)] = self.sizes
        return sizes_wh

    def _collect_dropped(
        self, is_finite: np.ndarray, has_area: np.ndarray, is_sure: np.ndarray
    ) -> DroppedBoxes:
        """Return the rows that are not used: the first reason that applies to each."""
        names = [BELOW_CONF, "no area", "not finite", *dict.fromkeys(self._reasons.values())]
        codes = np.select([~is_finite, ~has_area, ~is_sure], [2, 1, 0], -1)
        for row, reason in self._reasons.items():
            codes[row] = names.index(reason)
        rows = np.flatnonzero(codes >= 0)
        images = np.asarray(self._image_indices)[rows]
        order = np.argsort(images, kind="stable")
        return DroppedBoxes(images[order], codes[rows][order], tuple(names))


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

    def detect(self, images: Sequence[DetectorImage]) -> list[Detections]:
        """Look the images up; see `Detector.detect`. Unknown images have no boxes."""
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: DetectorImage) -> Detections:
        table = self.table
        ids, names = table.category_ids, table.name_indices
        index, rule = table.images.find(image.record.image_id, image.record.file_name)
        if rule == AMBIGUOUS:
            raise ImageError(f"the boxes of several images in {self.name} may be those of this one")
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
        height, width = image.rgb.shape[:2]
        scale = np.array([width, height] * 2 if table.is_relative else [1] * 4, np.float32)
        found = Detections(
            table.boxes_xyxy[rows] * scale,
            table.scores[rows],
            None if names is None else tuple(table.class_names[i] or None for i in names[rows]),
            self._get_points(image, rows),
            None if ids is None else ids[rows],
            None if table.prompt_ids is None else table.prompt_ids[rows],
            dropped=table.dropped.count_one(index),
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
        unknown = int(category_ids[is_unknown][0])
        begins = f"; the file's begin at {ids[0]}: are these one less?" if unknown == 0 else ""
        raise DatasetError(
            f"expected category ids among the {len(ids)} categories of the file, got {unknown}"
            f"{begins}"
        )
    return tuple(names[int(i)] for i in ids), positions.astype(np.int64)
