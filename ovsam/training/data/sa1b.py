"""SA-1B folders: `sa_*.jpg` next to `sa_*.json` with masks in compressed RLE and no classes.

For a teacher's masks and for CLIP2SAM's; distillation needs the images alone (image_set.py).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ovsam.checked_json import parse_json
from ovsam.errors import ConfigError, ImageError, describe_error
from ovsam.masks import decode_mask
from ovsam.training.data.picture_files import PictureFolder, walk_pictures
from ovsam.training.data.text_column import collect_texts
from ovsam.training.samples import TrainingSample

MOST_MASKS = 64


class Sa1bTrainingSet(PictureFolder):
    """Images with masks of everything; a `SampleSource` whose objects have no class."""

    has_masks = True
    categories: tuple[str, ...] = ()

    def __init__(self, folder: Path, most_masks: int = MOST_MASKS) -> None:
        """List the folder and those below it (`sa_000000/sa_1.jpg`).

        `folder`: of SA-1B, or some of its parts. `most_masks`: objects taken of an image, evenly
        spread over its list; SA-1B has a hundred an image, and their full-size masks are large.
        """
        self.most_masks = most_masks
        try:
            names = sorted(walk_pictures(folder, _has_masks))
        except OSError as error:
            raise ConfigError(f"cannot list {folder}: {describe_error(error)}") from error
        if not names:
            raise ConfigError(f"expected pairs of sa_*.jpg and sa_*.json in {folder}, got none")
        super().__init__(folder, collect_texts(names))

    def category_counts(self) -> np.ndarray:
        """Return nothing: there are no categories."""
        return np.zeros(0, np.int64)

    def load(self, index: int, labels: np.ndarray) -> TrainingSample:
        """Return one image and its masks, all labelled -1; see `SampleSource.load`."""
        del labels
        pixels = self.read_image(index)
        masks = self.masks(index, pixels.shape[:2])
        masks = masks[masks.any(axis=(1, 2))]
        return TrainingSample(pixels, masks, np.full(len(masks), -1, np.int64))

    def masks(self, index: int, size_hw: tuple[int, ...]) -> np.ndarray:
        """Decode an image's masks, (N, H, W) uint8; empty ones too."""
        path = self.path(index).with_suffix(".json")
        try:
            rows = parse_json(path.read_bytes())["annotations"]
            step = max(-(-len(rows) // self.most_masks), 1)
            masks = np.zeros((len(rows[::step]), *size_hw), np.uint8)
            for mask, row in zip(masks, rows[::step], strict=True):
                mask[:] = decode_mask(row["segmentation"], size_hw[0], size_hw[1])
            return masks
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ImageError(
                f"expected SA-1B masks of {size_hw[1]} x {size_hw[0]} pixels at {path}, got "
                f"{describe_error(error)}"
            ) from error


def _has_masks(name: str, names: set[str]) -> bool:
    """Whether a file is a picture with a JSON next to it."""
    return name.endswith(".jpg") and f"{name[:-4]}.json" in names
