"""Odd training data: refused or passed over, never trained on wrongly."""

import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from ovsam.errors import ImageError, TrainingError
from ovsam.masks import decode_mask
from ovsam.training.data.coco import CocoTrainingSet
from ovsam.training.data.image_set import FolderImages
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.steps.distil import DistilStep


@pytest.mark.parametrize("polygons", [[[]], [[1, 2]], [[1, 2, 3, 4]], []])
def test_polygon_without_area_is_an_empty_mask(polygons):
    assert not decode_mask(polygons, 10, 12).any()


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [10, 10], "counts": []},
        {"size": [10, 10], "counts": [5, 5]},
        {"size": [10, 10], "counts": ""},
        [[1, 2, 3, None, 5, 6]],
    ],
)
def test_mask_that_is_none_is_refused(segmentation):
    with pytest.raises(ValueError, match=r"size|no runs|not all numbers"):
        decode_mask(segmentation, 10, 10)


@pytest.mark.parametrize("has_masks", [True, False])
def test_picture_of_another_size_than_annotated_is_refused(tmp_path, has_masks):
    exif = Image.Exif()
    exif[0x0112] = 6  # seen turned by 90 degrees
    Image.new("RGB", (200, 100)).save(tmp_path / "a.jpg", exif=exif)
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 200, "height": 100}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {
                "id": 1, "image_id": 1, "category_id": 1, "bbox": [60, 10, 130, 40],
                "area": 5200, "segmentation": [[60, 10, 190, 10, 190, 50, 60, 50]],
            }
        ],
    }  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(content))
    source = CocoTrainingSet(tmp_path / "a.json", tmp_path, has_masks=has_masks)
    with pytest.raises(ImageError, match=r"expected 200 x 100 pixels, .* got 100 x 200"):
        source.load(0, np.zeros(1, np.int64))


class NoTargets:
    """A teacher that says zero of everything."""

    def collect(self, keys, pixels):
        self.keys = keys
        return torch.zeros(len(keys), 32, 8, 8)


def make_step(tiny_model, folder) -> DistilStep:
    return DistilStep(tiny_model, NoTargets(), FolderImages(folder), 8)


def test_distillation_passes_over_what_is_no_picture(tiny_model, tmp_path):
    cv2.imwrite(str(tmp_path / "good.jpg"), np.zeros((16, 16, 3), np.uint8))
    (tmp_path / "bad.jpg").write_text("no picture")
    step = make_step(tiny_model, tmp_path)
    drawn = step.reader.read(StepRandom(0, 0))
    assert {key for key, _ in drawn} == {"good.jpg"}


def test_distillation_without_any_picture_ends(tiny_model, tmp_path):
    (tmp_path / "bad.jpg").write_text("no picture")
    with pytest.raises(TrainingError, match="none of 100 images"):
        make_step(tiny_model, tmp_path).reader.read(StepRandom(0, 0))
