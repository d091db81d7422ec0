"""COCO-format images with masks (COCO, LVIS, our own scenes) as training samples.

Input: an instances JSON and the folder of its images. Output: `TrainingSample`s and plain images.
Crowds, boxes without masks and objects without pixels are left out; an image that cannot be read is
an error naming it, for training data should be whole.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ovsam.class_list import fold_name
from ovsam.errors import ConfigError, ImageError
from ovsam.training.samples import TrainingSample
from ovsam.vocabulary import Vocabulary


class CocoTrainingSet:
    """Images and masks of one instances file."""

    def __init__(self, annotations: Path, images: Path, vocabulary: Vocabulary) -> None:
        """Read the file.

        Args:
            annotations: COCO instances JSON; LVIS's form (`coco_url`, no `file_name`) too.
            images: Folder that file names are relative to.
            vocabulary: Labels are rows of its base classes (of all, where it has no split);
                categories that are not among them get -1.

        Raises:
            ConfigError: The file is not an instances file, an object names an image or a category
                that the file lacks, or no image has a mask.
        """
        try:
            content = json.loads(annotations.read_text(encoding="utf-8"))
            self._images = {int(image["id"]): image for image in content["images"]}
            categories = {int(c["id"]): fold_name(str(c["name"])) for c in content["categories"]}
            rows = content["annotations"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"expected a COCO instances file at {annotations}, got {error!r}"
            ) from error
        self.folder = images
        known = vocabulary.base or tuple(range(vocabulary.num_classes))
        row_of = {fold_name(vocabulary.names[index]): row for row, index in enumerate(known)}
        self._labels = {key: row_of.get(name, -1) for key, name in categories.items()}
        self._objects = self._group_objects(rows, annotations)
        self.image_ids = sorted(self._objects)
        if not self.image_ids:
            raise ConfigError(f"expected objects with masks in {annotations}, got none")

    def _group_objects(
        self, rows: list[dict[str, Any]], annotations: Path
    ) -> dict[int, list[dict[str, Any]]]:
        """Objects with masks, by image."""
        grouped: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            image_id, category_id = row.get("image_id"), row.get("category_id")
            if image_id not in self._images or category_id not in self._labels:
                raise ConfigError(
                    f"expected objects of the file's own images and categories in {annotations}, "
                    f"got image_id {image_id!r} and category_id {category_id!r} in annotation "
                    f"{row.get('id')!r}"
                )
            if row.get("segmentation") and not row.get("iscrowd"):
                grouped[image_id].append(row)
        return grouped

    def __len__(self) -> int:
        """Number of images with masks."""
        return len(self.image_ids)

    def load(self, index: int) -> TrainingSample:
        """Return one image with all its objects.

        Raises:
            ImageError: The file is missing or no picture.
        """
        image_id = self.image_ids[index]
        pixels = self.read_image(image_id)
        masks, labels = [], []
        for row in self._objects[image_id]:
            mask = decode_segmentation(row["segmentation"], pixels.shape[0], pixels.shape[1])
            if mask.any():
                masks.append(mask)
                labels.append(self._labels[row["category_id"]])
        empty = np.zeros((0, *pixels.shape[:2]), np.uint8)
        return TrainingSample(
            pixels=pixels,
            masks=np.stack(masks) if masks else empty,
            labels=np.array(labels, np.int64),
        )

    def sample(self, random: np.random.Generator) -> TrainingSample:
        """Return a random image with its objects."""
        return self.load(int(random.integers(len(self))))

    def sample_image(self, random: np.random.Generator) -> tuple[str, np.ndarray]:
        """Return a random image and the key of its cached teacher features."""
        image_id = self.image_ids[int(random.integers(len(self)))]
        return f"image-{image_id}", self.read_image(image_id)

    def read_image(self, image_id: int) -> np.ndarray:
        """Decode one image, (H, W, 3) uint8 RGB.

        Raises:
            ImageError: The file is missing or no picture.
        """
        image = self._images[image_id]
        name = image.get("file_name") or str(image.get("coco_url", "")).rsplit("/", 1)[-1]
        path = self.folder / name
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise ImageError(f"expected a picture at {path} (image {image_id}), cannot read it")
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def decode_segmentation(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Decode COCO polygons, compressed or plain RLE to an (H, W) uint8 mask."""
    from pycocotools import mask as coco_mask

    if isinstance(segmentation, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        rle = coco_mask.frPyObjects(segmentation, height, width)
    else:
        rle = segmentation
    return coco_mask.decode(rle)
