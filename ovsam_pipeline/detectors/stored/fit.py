"""Do the boxes of a file belong to the images of a run? Asked before anything is loaded.

Input: the table of the file, and the images of the run. Output: how many images were found by which
rule and how many boxes are not used and why; or a DatasetError that says what does not fit.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ovsam_pipeline.detectors.box_rules import BELOW_CONF, describe_dropped
from ovsam_pipeline.detectors.image_match import MatchReport, Query
from ovsam_pipeline.detectors.stored.box_table import BoxTable, TableDetector
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.records import ImageRecord

# Boxes of this share within the first pixel are not in pixels: no detector finds such boxes.
_MOST_RELATIVE = 0.9
_RELATIVE_END = 1.01  # 1, and what rounding adds
# Right and bottom where width and height belong: nearly all boxes could be corners, and so many
# reach beyond their image by more than rounding.
_LEAST_CORNERS, _LEAST_BEYOND, _ROOM = 0.95, 0.25, 2.0


@dataclass(frozen=True)
class BoxesFit:
    """How a file of boxes fits the images of a run.

    Attributes:
        images: the images of the run, by the rule that found them in the file.
        num_boxes: boxes of these images that are used.
        dropped: their boxes that are not used, by reason.
        num_unused_boxes: boxes of images that are not in this run.
        num_unused_images: how many images those are.
    """

    name: str
    images: MatchReport
    num_boxes: int
    dropped: Counter[str]
    num_unused_boxes: int
    num_unused_images: int

    def describe(self) -> list[str]:
        """Return sentences worth a warning."""
        images, sentences = self.images, []
        if not images.is_plain:
            sentences.append(images.describe())
        if self.num_unused_boxes:
            others = count_things(self.num_unused_images, "image")
            sentences.append(
                f"{count_things(self.num_unused_boxes, 'box')} not used: of {others} not here"
            )
        if self.dropped:
            total = self.dropped.total() + self.num_boxes
            sentences.append(
                f"{self.dropped.total()} of {count_things(total, 'box')} not used: "
                f"{describe_dropped(self.dropped)}"
            )
        return [f"{self.name}: {sentence}" for sentence in sentences]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for run.json."""
        return {
            **self.images.to_dict(),
            "boxes": self.num_boxes,
            "dropped": dict(self.dropped),
            "boxes_of_other_images": self.num_unused_boxes,
        }


def fit_boxes(
    detector: TableDetector, records: Iterable[ImageRecord], least_share: float
) -> BoxesFit:
    """Match the images of a run with those of a file of boxes.

    Raises a DatasetError where fewer than `least_share` of the images that could match do (those of
    the run, or those of the file where these are fewer), where fewer of their boxes can be used, or
    where the boxes are no left, top, width, height in pixels. 0 refuses none of these.
    """
    table, sizes = detector.table, array("i")

    def list_queries() -> Iterator[Query]:
        for record in records:
            sizes.extend((record.width or 0, record.height or 0))
            yield record.image_id, record.file_name

    found, report = table.images.match(list_queries())
    sizes_wh = table.sizes_wh.copy()
    stated = np.array(sizes, np.int32).reshape(-1, 2)
    positions = np.array([-1 if index is None else index for index in found], np.int64)
    is_stated = (positions >= 0) & (stated > 0).all(axis=1)
    sizes_wh[positions[is_stated]] = stated[is_stated]
    matched = np.unique(positions[positions >= 0])
    counts = np.diff(table.offsets)
    others = np.delete(counts, matched)
    fit = BoxesFit(
        detector.name,
        report,
        int(counts[matched].sum()),
        table.dropped.count(matched),
        int(others.sum()),
        int(np.count_nonzero(others)),
    )
    if least_share > 0 and report.total:
        _check_images(fit, table, least_share)
        _check_list(fit, table, least_share)
        _check_boxes(fit, least_share)
        _check_frame(fit, table, np.isin(_get_images(table), matched), sizes_wh)
    return fit


def _check_images(fit: BoxesFit, table: BoxTable, least_share: float) -> None:
    report = fit.images
    possible = min(report.total, len(table.images))
    if possible and report.matched >= least_share * possible:
        return
    raise DatasetError(
        f"expected the images of the run in {fit.name}, got {report.matched or 'none'} of "
        f"{report.total} there; it has {count_things(len(table.images), 'image')}, "
        f"{table.images.describe()} ({report.describe()}); give the file that was made for these "
        "images, or --min-match 0 to go on with what matches"
    )


def _check_list(fit: BoxesFit, table: BoxTable, least_share: float) -> None:
    """Refuse boxes that are not of the images that the file, or the data set behind #, lists."""
    has_boxes = np.diff(table.offsets) > 0
    has_boxes[table.dropped.images] = True
    others = np.flatnonzero(has_boxes & ~table.is_listed)
    if not table.is_listed.any() or len(others) <= (1 - least_share) * has_boxes.sum():
        return
    raise DatasetError(
        f"expected boxes of the images that {fit.name} lists, got boxes of "
        f"{count_things(len(others), 'other image')}, such as "
        f"{table.images.describe_one(int(others[0]))}; "
        f"it lists {table.images.describe()}: the boxes seem to be of another data set; give the "
        "one that they were made for, or --min-match 0 to use those that match"
    )


def _check_boxes(fit: BoxesFit, least_share: float) -> None:
    bad = Counter({reason: n for reason, n in fit.dropped.items() if reason != BELOW_CONF})
    total = fit.num_boxes + fit.dropped.total()
    if total - bad.total() >= least_share * total:
        return
    raise DatasetError(
        f"expected boxes that can be used in {fit.name}, got {total - bad.total() or 'none'} of "
        f"{count_things(total, 'box')} of these images; the others are: {describe_dropped(bad)}; "
        "mend the file, or give --min-match 0 to go on with what can be used"
    )


def _check_frame(fit: BoxesFit, table: BoxTable, is_used: np.ndarray, sizes_wh: np.ndarray) -> None:
    """Refuse boxes that are fractions of their image, or corners instead of sides."""
    if table.is_relative:
        return
    sizes = sizes_wh[_get_images(table)[is_used]]
    check_frame(table.boxes_xyxy[is_used], sizes, fit.name)


def check_frame(boxes_xyxy: np.ndarray, sizes_wh: np.ndarray, name: str) -> None:
    """Refuse boxes that cannot have been left, top, width, height in pixels.

    `boxes_xyxy`: (N, 4), finite, as read from such numbers. `sizes_wh`: (N, 2) of their images, 0
    where not known.
    """
    if not len(boxes_xyxy):
        return
    numbers = np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)
    if (numbers <= _RELATIVE_END).all(axis=1).mean() >= _MOST_RELATIVE:
        raise DatasetError(
            f"expected boxes in pixels in {name}, got boxes between 0 and 1, such as "
            f"{_show_box(boxes_xyxy[0])}: multiply them by width and height of their image, or "
            "give --min-match 0 to take them as they are"
        )
    is_known = (sizes_wh > 0).all(axis=1)
    boxes, sizes = boxes_xyxy[is_known], sizes_wh[is_known]
    ends, sides = boxes[:, 2:], boxes[:, 2:] - boxes[:, :2]
    are_corners = ((sides > boxes[:, :2]) & (sides <= sizes + _ROOM)).all(axis=1)
    is_beyond = (ends > sizes + _ROOM).any(axis=1)
    if not len(boxes) or are_corners.mean() < _LEAST_CORNERS or is_beyond.mean() < _LEAST_BEYOND:
        return
    row = int(np.flatnonzero(is_beyond)[0])
    raise DatasetError(
        f"expected left, top, width, height in {name}, got boxes that reach beyond their image and "
        f"would fit as left, top, right, bottom, such as {_show_box(boxes[row])} in "
        f"{sizes[row, 0]} x {sizes[row, 1]} pixels: write width and height, or give --min-match 0 "
        "to take them as they are"
    )


def _get_images(table: BoxTable) -> np.ndarray:
    """Return the number of the image of each box."""
    return np.repeat(np.arange(len(table.images)), np.diff(table.offsets))


def _show_box(box_xyxy: np.ndarray) -> str:
    left, top, right, bottom = box_xyxy.tolist()
    return f"[{left:g}, {top:g}, {right - left:g}, {bottom - top:g}]"
