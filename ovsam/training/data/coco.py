"""COCO-format images with masks or boxes (COCO, LVIS, Objects365, V3Det, own scenes) for training.

Input: an instances JSON and the folder of its images. Output: `TrainingSample`s and plain images.
Crowds, objects without masks (where masks are asked for), without pixels or without area are left
out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson

from ovsam.errors import ImageError
from ovsam.masks import decode_mask
from ovsam.training.data.coco_table import read_coco_table
from ovsam.training.data.picture_files import read_picture
from ovsam.training.samples import TrainingSample


class CocoTrainingSet:
    """Images and objects of one instances file; a `SampleSource`."""

    def __init__(self, annotations: Path, images: Path, has_masks: bool = True) -> None:
        """Read the file.

        Args:
            annotations: COCO instances JSON; LVIS's form (`coco_url`, no `file_name`) too.
            images: Folder that file names are relative to. LVIS: COCO's folder, with `train2017`
                and `val2017` in it, or one folder with the pictures of both.
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
