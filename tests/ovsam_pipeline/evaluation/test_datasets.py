import gzip
import json
from pathlib import Path

import pytest

from ovsam.text.vocabulary_files import load_vocabulary
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.datasets import find_dataset


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("OVSAM_DATA", raising=False)
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    monkeypatch.chdir(tmp_path)


def put(path: Path, names=("cat",)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    categories = [{"id": i, "name": name} for i, name in enumerate(names, start=1)]
    data = json.dumps({"images": [], "annotations": [], "categories": categories})
    path.write_bytes(gzip.compress(data.encode()) if path.suffix == ".gz" else data.encode())
    return path


def fill(root: Path) -> Path:
    for file in (
        "coco/annotations/instances_val2017.json",
        "coco/annotations/instances_train2017.json",
        "lvis/lvis_v1_val.json",
        "lvis/lvis_v1_train.json",
        "lvis/lvis_v1_minival_inserted_image_name.json",
        "ovsam_scenes/annotations.json",
    ):
        put(root / file)
    (root / "coco/val2017").mkdir()
    (root / "coco/train2017").mkdir()
    return root


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("coco", ("coco_2017_val", "coco/annotations/instances_val2017.json", "coco/val2017")),
        ("coco_2017_train", (None, "coco/annotations/instances_train2017.json", "coco/train2017")),
        ("lvis", ("lvis_v1_val", "lvis/lvis_v1_val.json", "coco")),
        ("lvis_v1_train", (None, "lvis/lvis_v1_train.json", "coco")),
        ("lvis_v1_minival", (None, "lvis/lvis_v1_minival_inserted_image_name.json", "coco")),
        ("scenes", (None, "ovsam_scenes/annotations.json", "ovsam_scenes")),
    ],
)
def test_named_data_sets_lie_as_in_detectron2(tmp_path, name, expected):
    root = fill(tmp_path / "data")
    found = find_dataset(name, data_root=str(root))
    title, file, images = expected
    assert (found.name, found.annotations) == (title or name, root / file)
    assert found.image_root == root / images
    assert found.is_lvis == name.startswith("lvis")
    vocabulary = {"c": "coco", "l": "lvis", "s": "nano"}[name[0]]
    assert found.vocabulary == vocabulary


def test_first_root_that_is_given_wins(tmp_path, monkeypatch):
    fill(tmp_path / "datasets")
    assert find_dataset("coco").annotations.parts[0] == "datasets"
    for variable in ("DETECTRON2_DATASETS", "OVSAM_DATA"):
        monkeypatch.setenv(variable, str(fill(tmp_path / variable)))
        assert find_dataset("coco").annotations.is_relative_to(tmp_path / variable)
    root = fill(tmp_path / "flag")
    assert find_dataset("coco", data_root=str(root)).annotations.is_relative_to(root)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("coco", r"annotations of coco_2017_val in .*val2017.json, .*cocodataset.org.*--data-root"),
        ("lvis", r"annotations of lvis_v1_val in .*lvis_v1_val.json, .*lvisdataset.org"),
        ("lvis_v1_minival", r"inserted_image_name.json or .*lvis_v1_minival.json"),
        ("scenes", r"`ovsam scenes datasets/ovsam_scenes --count 500`"),
        ("cocoo", r"got 'cocoo'; named ones: coco, lvis, .*scenes"),
        ("no.json", r"expected a data set's name or a COCO file, got 'no.json'"),
    ],
)
def test_missing_annotations_are_named_with_their_source(name, message):
    with pytest.raises(DatasetError, match=message):
        find_dataset(name)


def test_missing_images_matter_only_where_they_are_needed(tmp_path):
    root = tmp_path / "data"
    put(root / "lvis/lvis_v1_val.json")
    with pytest.raises(DatasetError, match=r"coco/val2017 or .*train2017.*cocodataset.*image-root"):
        find_dataset("lvis", data_root=str(root))
    assert find_dataset("lvis", data_root=str(root), needs_images=False).image_root is None
    elsewhere = tmp_path / "pictures"
    with pytest.raises(DatasetError, match="expected --image-root to be a folder"):
        find_dataset("lvis", data_root=str(root), image_root=str(elsewhere))
    elsewhere.mkdir()
    found = find_dataset("lvis", data_root=str(root), image_root=str(elsewhere))
    assert found.image_root == elsewhere


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (load_vocabulary("coco").names, "coco"),
        (load_vocabulary("lvis").names, "lvis"),
        (load_vocabulary("nano").names, "nano"),
        (load_vocabulary("coco").names[:79], None),
    ],
)
def test_file_takes_the_built_in_vocabulary_of_its_names_else_itself(tmp_path, names, expected):
    for file in ("mine.json", "mine.json.gz"):
        path = put(tmp_path / file, names)
        found = find_dataset(str(path))
        assert found.name == "mine"
        assert found.vocabulary == (expected or str(path))
        assert load_vocabulary(found.vocabulary).num_classes == len(names)


@pytest.mark.parametrize(
    ("text", "message"), [("[1]", "got a list: results are given as"), ("{", "expected JSON in")]
)
def test_file_that_is_no_data_set_is_refused(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DatasetError, match=message):
        find_dataset("x.json")
