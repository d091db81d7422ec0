"""Classification sets as folders (ImageNet): one folder per class, the whole image its box."""

from __future__ import annotations

import os
from array import array
from pathlib import Path

import numpy as np

from ovsam.errors import ConfigError, describe_error
from ovsam.training.data.class_names import ClassNames
from ovsam.training.data.picture_files import PictureFolder, is_picture
from ovsam.training.data.text_column import TextCollector
from ovsam.training.samples import TrainingSample


class FolderTrainingSet(PictureFolder):
    """Pictures in one folder per class; a `SampleSource` of whole images."""

    has_masks = False

    def __init__(self, folder: Path, names: Path | None = None) -> None:
        """List the folders.

        `folder`: holds one folder per class, named by WordNet id or by the class. `names`: what
        ids are called: see class_names.py.
        """
        class_names = ClassNames(names)
        categories: list[str] = []
        collector, category = TextCollector(), array("i")
        try:
            folders = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
            for inside in folders:
                with os.scandir(folder / inside) as entries:
                    found = sorted(e.name for e in entries if is_picture(e.name))
                if found:
                    categories.append(class_names.find(inside))
                for name in found:
                    collector.append(f"{inside}/{name}")
                    category.append(len(categories) - 1)
        except OSError as error:
            raise ConfigError(
                f"cannot list the class folders in {folder}: {describe_error(error)}"
            ) from error
        if not categories:
            raise ConfigError(
                f"expected folders of pictures (JPEG, PNG, …), one per class, in {folder}, got none"
            )
        self.categories = tuple(categories)
        super().__init__(folder, collector.finish())
        self._category = np.array(category, np.int32)

    def category_counts(self) -> np.ndarray:
        """Count the images of each category, (C,) int64."""
        return np.bincount(self._category, minlength=len(self.categories))

    def load(self, index: int, labels: np.ndarray) -> TrainingSample:
        """Return one image, whole, as the one object; see `SampleSource.load`."""
        return whole_image(self.read_image(index), int(labels[self._category[index]]))


def whole_image(pixels: np.ndarray, label: int) -> TrainingSample:
    """Make a sample whose one box is the whole image."""
    height, width = pixels.shape[:2]
    boxes = np.array([[0, 0, width, height]], np.float32)
    return TrainingSample(pixels, None, np.array([label], np.int64), boxes)
