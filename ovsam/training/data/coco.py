"""COCO-format images with masks or boxes (COCO, LVIS, Objects365, V3Det, own scenes) for training.

Input: an instances JSON and the folder of its images. Output: `TrainingSample`s and plain images.
Crowds, objects without masks (where masks are asked for), without pixels or without area are left
out.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from ovsam.coco_fields import to_box, to_flag, to_id, to_side
from ovsam.coco_json import get_image_file_name, iterate_json_blocks
from ovsam.errors import ConfigError, ImageError, describe_error, show_value
from ovsam.masks import decode_mask
from ovsam.training.data.picture_files import read_picture
from ovsam.training.data.text_column import TextCollector, TextColumn
from ovsam.training.samples import TrainingSample


@dataclass(frozen=True)
class CocoTable:
    """Images with objects, and the objects of image i in rows starts[i] to starts[i + 1].

    Attributes:
        image_ids: (I,) int64 ids of the images that have objects, in order.
        file_names: (I) relative paths.
        names_from_url: They are the ends of LVIS's web addresses ("train2017/000000000009.jpg").
        sizes_hw: (I, 2) int32; 0 where the file does not say.
        num_empty: How many images of the file have no objects.
        first_empty: File names of the first few of them.
        starts: (I + 1,) int64.
        category: (N,) int32 rows of `categories`.
        boxes_xywh: (N, 4) float32 as the file says; NaN where it says nothing.
        segmentations: (N) JSON texts; None where the file was read for its boxes.
    """

    image_ids: np.ndarray
    file_names: TextColumn
    names_from_url: bool
    sizes_hw: np.ndarray
    num_empty: int
    first_empty: tuple[str, ...]
    categories: tuple[str, ...]
    starts: np.ndarray
    category: np.ndarray
    boxes_xywh: np.ndarray
    segmentations: TextColumn | None


def read_coco_table(path: Path, with_masks: bool) -> CocoTable:
    """Read an instances file; LVIS's form (`coco_url`, no `file_name`) too.

    `with_masks`: keep what is not a crowd and has a segmentation; False: all that is not a crowd.
    """
    reader = _Reader(with_masks)
    try:
        for key, value in iterate_json_blocks(path):
            if key in reader.seen:
                reader.seen[key] = True
            elif key == "annotations[]":
                reader.add_objects(value)
            elif key == "images[]":
                reader.add_images(value)
            elif key == "categories[]":
                reader.add_categories(value)
    except OSError as error:
        raise ConfigError(f"cannot read the COCO file {path}: {describe_error(error)}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"expected a COCO instances file at {path}, got {error!r}") from error
    missing = [key for key, found in reader.seen.items() if not found]
    if missing:
        raise ConfigError(
            f"expected a COCO instances file at {path}, got none of {', '.join(missing)}"
        )
    return reader.finish(path)


@dataclass
class _Reader:
    """Columns that grow."""

    with_masks: bool
    seen: dict[str, bool] = field(
        default_factory=lambda: dict.fromkeys(("images", "annotations", "categories"), False)
    )
    image_ids: array[int] = field(default_factory=lambda: array("q"))
    sizes_hw: array[int] = field(default_factory=lambda: array("i"))
    names: TextCollector = field(default_factory=TextCollector)
    names_from_url: bool = False
    categories: dict[int, str] = field(default_factory=dict)
    ids: array[int] = field(default_factory=lambda: array("q"))
    image_of: array[int] = field(default_factory=lambda: array("q"))
    category_of: array[int] = field(default_factory=lambda: array("q"))
    boxes: array[float] = field(default_factory=lambda: array("f"))
    segmentations: TextCollector = field(default_factory=TextCollector)

    def add_images(self, rows: list[dict[str, Any]]) -> None:
        """Note id, size and file name of images."""
        for row in rows:
            name, from_url = get_image_file_name(row)
            if name is None:
                raise ValueError(f"expected a file_name or coco_url in image {row.get('id')!r}")
            self.names.append(name)
            self.names_from_url |= from_url
            self.image_ids.append(_require_id(row))
            self.sizes_hw.extend(to_side(row.get(side)) or 0 for side in ("height", "width"))

    def add_categories(self, rows: list[dict[str, Any]]) -> None:
        """Note the names of categories."""
        for row in rows:
            self.categories[_require_id(row)] = str(row["name"])

    def add_objects(self, rows: list[dict[str, Any]]) -> None:
        """Note image, category and box of objects, and the masks where they are wanted."""
        for row in rows:
            self.ids.append(_read_id(row, "id"))
            self.image_of.append(_read_id(row, "image_id"))
            self.category_of.append(_read_id(row, "category_id"))
            self.boxes.extend(to_box(row.get("bbox")) or (np.nan,) * 4)
            kept = not to_flag(row.get("iscrowd")) and (
                not self.with_masks or row.get("segmentation")
            )
            if not kept:
                self.boxes[-4] = np.inf
            if self.with_masks:
                self.segmentations.append(orjson.dumps(row["segmentation"]) if kept else b"")

    def finish(self, path: Path) -> CocoTable:
        """Sort objects by image and drop what is not trained on."""
        image_ids = np.frombuffer(self.image_ids, np.int64) if self.image_ids else np.zeros(0, int)
        by_id = np.argsort(image_ids, kind="stable")
        image_row = _find_rows(image_ids[by_id], np.array(self.image_of, np.int64))
        category_ids = np.array(sorted(self.categories), np.int64)
        category = _find_rows(category_ids, np.array(self.category_of, np.int64))
        wrong = np.flatnonzero((image_row < 0) | (category < 0))
        if len(wrong):
            row = int(wrong[0])
            raise ConfigError(
                f"expected objects of the file's own images and categories in {path}, "
                f"got image_id {self.image_of[row]} and category_id {self.category_of[row]} "
                f"in annotation {self.ids[row]}"
            )
        boxes = np.array(self.boxes, np.float32).reshape(-1, 4)
        kept = np.flatnonzero(~np.isinf(boxes[:, 0]))
        if not len(kept):
            what = "objects with masks" if self.with_masks else "objects with boxes"
            raise ConfigError(f"expected {what} in {path}, got none")
        order = kept[np.argsort(image_row[kept], kind="stable")]
        counts = np.bincount(image_row[order], minlength=len(image_ids))
        names = self.names.finish().take(by_id)
        used = np.flatnonzero(counts)
        empty = np.flatnonzero(counts == 0)
        return CocoTable(
            image_ids=image_ids[by_id][used],
            file_names=names.take(used),
            names_from_url=self.names_from_url,
            sizes_hw=np.array(self.sizes_hw, np.int32).reshape(-1, 2)[by_id][used],
            num_empty=len(empty),
            first_empty=tuple(names[row] for row in empty[:5]),
            categories=tuple(self.categories[int(key)] for key in category_ids),
            starts=np.concatenate([[0], np.cumsum(counts[used])]),
            category=category[order].astype(np.int32),
            boxes_xywh=boxes[order],
            segmentations=self.segmentations.finish().take(order) if self.with_masks else None,
        )


def _read_id(row: dict[str, Any], name: str) -> int:
    """Return an id of an object; -1, which no image or category has, for one that is none."""
    number = to_id(row.get(name))
    return -1 if number is None else number


def _require_id(row: dict[str, Any]) -> int:
    """Return the id of an image or a category."""
    number = to_id(row["id"])
    if number is None:
        raise ValueError(f"expected a whole number or a text as id, got {show_value(row['id'])}")
    return number


def _find_rows(sorted_ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Rows of ids in a sorted column, -1 where they are not in it."""
    if not len(sorted_ids):
        return np.full(len(wanted), -1, np.int64)
    rows = np.searchsorted(sorted_ids, wanted).clip(max=len(sorted_ids) - 1)
    rows[sorted_ids[rows] != wanted] = -1
    return rows


class CocoTrainingSet:
    """Images and objects of one instances file; a `SampleSource`."""

    def __init__(self, annotations: Path, images: Path, has_masks: bool = True) -> None:
        """Read the file.

        `annotations`: COCO instances JSON; LVIS's form (`coco_url`, no `file_name`) too. `images`:
        folder that file names are relative to. LVIS: COCO's folder, with `train2017` and `val2017`
        in it, or one folder with the pictures of both.
        """
        self.title = str(annotations)
        self.folder = images
        self.has_masks = has_masks
        self.table = read_coco_table(annotations, has_masks)
        self.categories = self.table.categories

    def __len__(self) -> int:
        """Number of images with objects."""
        return len(self.table.image_ids)

    def name(self, index: int) -> str:
        """Return the image's path in the folder."""
        return self.table.file_names[index]

    def path(self, index: int) -> Path:
        """Return the image's path."""
        path = self.folder / self.name(index)
        if self.table.names_from_url and not path.exists():
            return self.folder / path.name
        return path

    def category_counts(self) -> np.ndarray:
        """Count the objects of each category, (C,) int64."""
        return np.bincount(self.table.category, minlength=len(self.categories))

    def read_image(self, index: int) -> np.ndarray:
        """Decode one image, (H, W, 3) uint8 RGB."""
        return read_picture(self.path(index), f"image {self.table.image_ids[index]}")

    def load(self, index: int, labels: np.ndarray) -> TrainingSample:
        """Return one image with all its objects; see `SampleSource.load`."""
        pixels = self.read_image(index)
        self._check_size(index, pixels.shape[:2])
        rows = self.rows(index)
        own = labels[self.table.category[rows]]
        if not self.has_masks:
            boxes = clip_boxes(self.table.boxes_xywh[rows], pixels.shape[:2])
            kept = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
            return TrainingSample(pixels, None, own[kept], boxes[kept])
        masks = self.masks(index, pixels.shape[:2])
        kept = masks.any(axis=(1, 2))
        return TrainingSample(pixels, masks[kept], own[kept])

    def _check_size(self, index: int, size_hw: tuple[int, ...]) -> None:
        """Refuse a picture that is not the annotated one: its masks would lie elsewhere."""
        height, width = (int(side) for side in self.table.sizes_hw[index])
        if height and width and (height, width) != tuple(size_hw):
            raise ImageError(
                f"expected {width} x {height} pixels, as {self.title} says of {self.name(index)}, "
                f"got {size_hw[1]} x {size_hw[0]}; was it resized, or annotated without its EXIF "
                "orientation?"
            )

    def rows(self, index: int) -> slice:
        """Return the rows of the table that are an image's objects."""
        return slice(int(self.table.starts[index]), int(self.table.starts[index + 1]))

    def masks(self, index: int, size_hw: tuple[int, ...]) -> np.ndarray:
        """Decode an image's masks, (N, H, W) uint8; empty ones too."""
        rows = self.rows(index)
        texts = self.table.segmentations
        assert texts is not None
        masks = np.zeros((rows.stop - rows.start, *size_hw), np.uint8)
        for mask, row in zip(masks, range(rows.start, rows.stop), strict=True):
            try:
                mask[:] = decode_mask(orjson.loads(texts[row]), size_hw[0], size_hw[1])
            except ValueError as error:
                raise ImageError(
                    f"expected a mask of {size_hw[1]} x {size_hw[0]} pixels in {self.title} for "
                    f"image {self.name(index)}, got one that does not fit: {error}"
                ) from error
        return masks


def clip_boxes(boxes_xywh: np.ndarray, size_hw: tuple[int, ...]) -> np.ndarray:
    """Turn (N, 4) x, y, width, height into x1, y1, x2, y2 within an image; NaN gives no area."""
    boxes = np.nan_to_num(boxes_xywh)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    return corners.clip(0, np.array([size_hw[1], size_hw[0]] * 2)).astype(np.float32)
