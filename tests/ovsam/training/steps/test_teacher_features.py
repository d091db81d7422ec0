import re

import cv2
import numpy as np
import pytest
import torch

from ovsam.errors import CheckpointError, ConfigError, ImageError
from ovsam.training.data.image_set import FolderImages, open_images
from ovsam.training.steps import teacher_features
from ovsam.training.steps.teacher_features import (
    FeatureForm,
    StoredFeatures,
    find_missing,
    prepare_features,
    write_features,
)

FORM = FeatureForm(teacher="t", num_images=5, channels=2, grid=3, input_size=48)


@pytest.fixture
def images(tmp_path):
    """Five pictures in SA-1B's layout, and files that are none."""
    for index in range(5):
        path = tmp_path / "sa" / f"sa_{index % 2:06d}" / f"sa_{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((8, 6, 3), index, np.uint8))
        path.with_suffix(".json").write_text("{}")
    return FolderImages(tmp_path / "sa")


@pytest.fixture(autouse=True)
def _small_files(monkeypatch):
    monkeypatch.setattr(teacher_features, "_IMAGES_A_FILE", 2)


def embed(rows) -> torch.Tensor:
    return torch.arange(len(rows) * 18.0).reshape(len(rows), 2, 3, 3) + 100 * rows[0]


def fill(folder, form, images, numbers) -> None:
    prepare_features(folder, form, images)
    for number in numbers:
        rows = form.rows(number)
        write_features(folder, form, number, iter([embed(rows)]))


def test_pictures_below_a_folder_are_listed_by_their_path(images):
    assert [images.key(index) for index in range(len(images))] == [
        "sa_000000/sa_0.jpg", "sa_000000/sa_2.jpg", "sa_000000/sa_4.jpg",
        "sa_000001/sa_1.jpg", "sa_000001/sa_3.jpg",
    ]  # fmt: skip
    assert images.load(3).shape == (8, 6, 3)


def test_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"expected pictures .* got none"):
        open_images(tmp_path)
    with pytest.raises(ConfigError, match="expected a folder of images"):
        open_images(tmp_path / "none")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_features_come_back_by_name(images, tmp_path, dtype):
    form = FeatureForm(**{**FORM.__dict__, "dtype": dtype})
    fill(tmp_path / "f", form, images, range(3))
    stored = StoredFeatures(tmp_path / "f")
    found = stored.collect(["sa_000001/sa_3.jpg", "sa_000000/sa_2.jpg"], torch.zeros(0))
    wanted = torch.stack([embed(form.rows(2))[0], embed(form.rows(0))[1]])
    assert torch.equal(found, wanted.to(getattr(torch, dtype)).float())


def test_started_again_only_what_is_missing_is_made(images, tmp_path):
    fill(tmp_path / "f", FORM, images, [0, 2])
    assert find_missing(tmp_path / "f", FORM) == [1]
    with pytest.raises(CheckpointError, match=r"1 of 3 files .* run the same"):
        StoredFeatures(tmp_path / "f")
    fill(tmp_path / "f", FORM, images, [1])
    assert StoredFeatures(tmp_path / "f").form == FORM


def test_file_that_was_not_finished_does_not_count(images, tmp_path):
    prepare_features(tmp_path / "f", FORM, images)

    def stop():
        yield embed(range(1))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_features(tmp_path / "f", FORM, 0, stop())
    assert find_missing(tmp_path / "f", FORM) == [0, 1, 2]


def test_features_of_another_teacher_or_other_images_are_left_alone(images, tmp_path):
    fill(tmp_path / "f", FORM, images, [0])
    other = FeatureForm(**{**FORM.__dict__, "teacher": "u"})
    with pytest.raises(ConfigError, match="features of another teacher"):
        prepare_features(tmp_path / "f", other, images)
    (images.folder / "sa_000000" / "sa_0.jpg").rename(images.folder / "sa_9.jpg")
    with pytest.raises(ConfigError, match="another teacher, type or set of images"):
        prepare_features(tmp_path / "f", FORM, FolderImages(images.folder))


def test_size_is_announced_before_a_disk_is_full(images, tmp_path):
    form = FeatureForm(teacher="t", num_images=5, channels=256, grid=10**6, input_size=1024)
    with pytest.raises(ConfigError, match=re.escape("the features need 2560000.0 GB more")):
        prepare_features(tmp_path / "f", form, images)


def test_image_without_features_is_named(images, tmp_path):
    fill(tmp_path / "f", FORM, images, range(3))
    with pytest.raises(ImageError, match=r"no image 'sa_7\.jpg'; make them of the same --data"):
        StoredFeatures(tmp_path / "f").collect(["sa_7.jpg"], torch.zeros(0))


def test_folder_without_features_says_how_to_make_them(tmp_path):
    with pytest.raises(CheckpointError, match="ovsam train cache-teacher"):
        StoredFeatures(tmp_path)
