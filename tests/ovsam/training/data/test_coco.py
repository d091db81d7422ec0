"""COCO-format files as training samples."""

import json

import numpy as np
import pytest

from ovsam.errors import ConfigError, ImageError
from ovsam.masks import decode_mask
from ovsam.training.data.coco import CocoTrainingSet
from ovsam.training.scenes.files import SceneFile, write_scene_files
from ovsam.training.scenes.scene import draw_scene

pytest.importorskip("pycocotools")
LABELS = {"disc": 1, "bar": 0, "green disc": -1}


def load_first(dataset: CocoTrainingSet):
    return dataset.load(0, np.array([LABELS[name] for name in dataset.categories]))


@pytest.fixture
def dataset(atlas, tmp_path):
    files = [SceneFile("a.png", (80, 64)), SceneFile("b.png", (64, 64))]
    return write_scene_files(tmp_path, atlas, files, seed=6), tmp_path


def test_sample_has_the_files_pixels_masks_and_base_labels(dataset, atlas):
    sample = load_first(CocoTrainingSet(*dataset))
    truth = draw_scene(atlas, (80, 64), (6, 0))
    assert np.array_equal(sample.pixels, truth.image)
    assert np.array_equal(sample.masks[0], truth.mask(0))
    names = [atlas.classes[index].name for index in truth.class_ids]
    assert sample.labels.tolist() == [LABELS[name] for name in names]


def test_crowds_and_boxes_without_masks_are_left_out(dataset):
    path, folder = dataset
    content = json.loads(path.read_text())
    for row in content["annotations"]:
        row["iscrowd"] = int(row["image_id"] == 1)
    path.write_text(json.dumps(content))
    assert CocoTrainingSet(path, folder).table.image_ids.tolist() == [2]


def test_missing_picture_is_named(dataset):
    path, folder = dataset
    (folder / "b.png").unlink()
    with pytest.raises(ImageError, match=r"b\.png \(image 2\)"):
        CocoTrainingSet(path, folder).read_image(1)


def test_file_of_another_form_is_refused(tmp_path):
    path = tmp_path / "list.json"
    path.write_text("[1, 2]")
    with pytest.raises(ConfigError, match="expected a COCO instances file"):
        CocoTrainingSet(path, tmp_path)


@pytest.mark.parametrize(("key", "value"), [("image_id", 99), ("category_id", 77)])
def test_objects_of_unknown_images_or_categories_are_named(dataset, key, value):
    path, folder = dataset
    content = json.loads(path.read_text())
    content["annotations"][1][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=rf"{key} {value}.* in annotation 2"):
        CocoTrainingSet(path, folder)


def test_file_without_masks_is_refused(tmp_path):
    path = tmp_path / "empty.json"
    path.write_text('{"images": [], "categories": [], "annotations": []}')
    with pytest.raises(ConfigError, match="objects with masks"):
        CocoTrainingSet(path, tmp_path)


def test_polygons_and_plain_rle_decode():
    square = decode_mask([[1, 1, 4, 1, 4, 4, 1, 4]], 6, 6)
    column = decode_mask({"size": [2, 2], "counts": [0, 2, 2]}, 2, 2)
    assert square[1:4, 1:4].all()
    assert square.sum() == 9
    assert column.tolist() == [[1, 0], [1, 0]]
