"""Every kind of training data gives its images, objects and classes."""

import io
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from ovsam.errors import ConfigError, ImageError, TrainingError
from ovsam.text.vocabulary import Vocabulary
from ovsam.training.data.class_names import ClassNames
from ovsam.training.data.coco import CocoTrainingSet
from ovsam.training.data.folder import FolderTrainingSet
from ovsam.training.data.mixed import DataSettings, MixedData, open_data
from ovsam.training.data.pool import PoolTrainingSet
from ovsam.training.data.sa1b import Sa1bTrainingSet
from ovsam.training.data.training_classes import TrainingClasses
from ovsam.training.data.webdataset import WebDatasetTrainingSet
from ovsam.training.loop.step_random import StepRandom

pytest.importorskip("pycocotools")
WORDS = Vocabulary(["Traffic_Light", "dog", "cat"], base=[0, 1], novel=[2])


def write_picture(path: Path, colour: int = 90, size_hw: tuple[int, int] = (40, 60)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((*size_hw, 3), colour, np.uint8))
    return path


def write_boxes(folder: Path, boxes: list[list[float]], **image) -> Path:
    """A COCO-format file of one picture with one dog a box."""
    write_picture(folder / "a.png")
    content = {
        "images": [{"id": 7, "file_name": "a.png", "height": 40, "width": 60} | image],
        "categories": [{"id": 4, "name": "dog"}, {"id": 2, "name": "traffic light"}],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": 4, "bbox": box} for i, box in enumerate(boxes)
        ],
    }
    path = folder / "boxes.json"
    path.write_text(json.dumps(content))
    return path


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def tars(tmp_path) -> Path:
    picture = write_picture(tmp_path / "x.png", 7).read_bytes()
    folder = tmp_path / "tars"
    folder.mkdir()
    with tarfile.open(folder / "0.tar", "w") as tar:
        for key, suffix, label in (
            ("s/1", "cls", b"1"),
            ("s/2", "txt", b"zebra\n"),
            ("s/3", "json", b'{"label": "n02"}'),
            ("s/4", "json", b'{"caption": "no class"}'),
        ):
            add_member(tar, f"{key}.png", picture)
            add_member(tar, f"{key}.{suffix}", label)
    with tarfile.open(folder / "1.tar", "w") as tar:
        add_member(tar, "late.txt", b"zebra")
        add_member(tar, "late.PNG", b"no picture")
    return folder


def test_boxes_are_clipped_and_those_without_area_are_left_out(tmp_path) -> None:
    path = write_boxes(tmp_path, [[50, 10, 30, 5], [5, 5, 0, 9], [1, 2, 3, 4]])
    sample = CocoTrainingSet(path, tmp_path, has_masks=False).load(0, np.array([5, 6]))
    assert sample.masks is None
    assert sample.boxes_xyxy().tolist() == [[50, 10, 60, 15], [1, 2, 4, 6]]
    assert sample.labels.tolist() == [6, 6]  # categories in the order of their ids


def test_objects_are_grouped_by_image_whatever_the_order_of_the_file(tmp_path) -> None:
    write_picture(tmp_path / "a.png")
    content = {
        "annotations": [
            {"id": n, "image_id": image, "category_id": 1, "bbox": [n, 0, 9, 9]}
            for n, image in enumerate([30, 10, 30, 10, 30])
        ],
        "categories": [{"id": 1, "name": "dog"}],
        "images": [{"id": i, "file_name": f"{i}/ä.png"} for i in (30, 20, 10)],
    }
    path = tmp_path / "set.json"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    table = CocoTrainingSet(path, tmp_path, has_masks=False).table
    assert table.image_ids.tolist() == [10, 30]
    assert [table.file_names[i] for i in range(2)] == ["10/ä.png", "30/ä.png"]
    assert table.starts.tolist() == [0, 2, 5]
    assert table.boxes_xywh[:, 0].tolist() == [1, 3, 0, 2, 4]
    assert (table.num_empty, table.first_empty) == (1, ("20/ä.png",))


@pytest.mark.parametrize("place", ["train2017/9.png", "9.png"])
def test_lvis_pictures_are_found_by_the_end_of_their_address(tmp_path, place) -> None:
    write_picture(tmp_path / place)
    url = "http://images.cocodataset.org/train2017/9.png"
    path = write_boxes(tmp_path, [[1, 2, 3, 4]], file_name=None, coco_url=url)
    assert CocoTrainingSet(path, tmp_path, has_masks=False).read_image(0).shape == (40, 60, 3)


def test_a_mask_of_another_size_is_an_error_of_that_image(tmp_path) -> None:
    path = write_boxes(tmp_path, [[1, 2, 3, 4]])
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = {"size": [2, 2], "counts": [0, 2, 2]}
    path.write_text(json.dumps(content))
    with pytest.raises(ImageError, match=r"mask of 60 x 40 pixels in .* for image a\.png"):
        CocoTrainingSet(path, tmp_path).load(0, np.array([0, 0]))


def test_class_folders_are_named_by_wordnet_id_or_by_class(tmp_path) -> None:
    write_picture(tmp_path / "set" / "n02084071" / "1.png", 10)
    write_picture(tmp_path / "set" / "zebra" / "2.png", 20)
    (tmp_path / "set" / "empty").mkdir()
    names = tmp_path / "words.txt"
    names.write_text("n02084071\tdog, domestic dog, Canis familiaris\nn1\tthing\n")
    source = FolderTrainingSet(tmp_path / "set", names)
    assert source.categories == ("dog", "zebra")
    sample = source.load(1, np.array([3, 8]))
    assert sample.pixels[0, 0].tolist() == [20, 20, 20]
    assert (sample.boxes_xyxy().tolist(), sample.labels.tolist()) == ([[0, 0, 60, 40]], [8])


def test_folder_without_class_folders_is_refused(tmp_path) -> None:
    write_picture(tmp_path / "loose.png")
    with pytest.raises(ConfigError, match=r"expected folders of pictures .* one per class"):
        FolderTrainingSet(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "key", "expected"),
    [
        ("a.txt", "dog\ncat\n", "1", "cat"),
        ("a.txt", "0 tench, Tinca tinca\n1 goldfish\n", "0", "tench"),
        ("a.json", '["dog", "cat"]', "1", "cat"),
        ("a.json", '{"n02": "dog"}', "n02", "dog"),
        ("a.txt", "dog\n", "bird, flying", "bird, flying"),
    ],
)
def test_class_names_are_found_by_line_or_id(tmp_path, name, text, key, expected) -> None:
    (tmp_path / name).write_text(text)
    assert ClassNames(tmp_path / name).find(key) == expected


def test_a_class_number_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"name for class '17', but no file of names is given"):
        ClassNames().find("17")


def test_webdataset_samples_have_the_class_of_any_of_three_members(tars, tmp_path) -> None:
    names = tmp_path / "names.json"
    names.write_text('{"1": "cat", "n02": "dog"}')
    source = WebDatasetTrainingSet(tars, names)
    assert source.categories == ("cat", "zebra", "dog")
    assert source.num_without_class == 1
    assert source.category_counts().tolist() == [1, 2, 1]
    assert [source.name(i) for i in range(4)] == [
        "0.tar:s/1",
        "0.tar:s/2",
        "0.tar:s/3",
        "1.tar:late",
    ]
    sample = source.load(2, np.array([0, 1, 2]))
    assert (sample.labels.tolist(), sample.pixels[3, 3].tolist()) == ([2], [7, 7, 7])
    with pytest.raises(ImageError, match=r"picture .*1\.tar:late: expected an image"):
        source.load(3, np.array([0, 1, 2]))


def test_a_damaged_tar_is_refused_by_name(tmp_path) -> None:
    (tmp_path / "a.tar").write_bytes(b"x" * 600)
    with pytest.raises(ConfigError, match=r"expected a WebDataset tar at .*a\.tar"):
        WebDatasetTrainingSet(tmp_path)


def test_tars_without_classes_are_refused(tmp_path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add_member(tar, "1.png", b"data")
    with pytest.raises(ConfigError, match=r"a picture and a class \(.cls, .txt, .json\)"):
        WebDatasetTrainingSet(tmp_path / "a.tar")


def test_sa1b_masks_are_decoded_and_have_no_class(tmp_path) -> None:
    from pycocotools import mask as coco_mask

    write_picture(tmp_path / "sa_000000" / "sa_1.jpg")
    write_picture(tmp_path / "sa_000000" / "sa_2.jpg")
    truth = np.zeros((3, 40, 60), np.uint8)
    truth[0, 5:20, 10:30] = truth[1, 2:9, 40:50] = 1
    rows = [{"segmentation": coco_mask.encode(np.asfortranarray(mask))} for mask in truth]
    for row in rows:
        row["segmentation"]["counts"] = row["segmentation"]["counts"].decode()
    text = json.dumps({"image": {}, "annotations": rows})
    (tmp_path / "sa_000000" / "sa_1.json").write_text(text)
    source = Sa1bTrainingSet(tmp_path)
    assert [source.name(i) for i in range(len(source))] == ["sa_000000/sa_1.jpg"]
    sample = source.load(0, np.zeros(0, np.int64))
    assert np.array_equal(sample.masks, truth[:2])
    assert sample.labels.tolist() == [-1, -1]
    assert len(Sa1bTrainingSet(tmp_path, most_masks=2).masks(0, (40, 60))) == 2
    with pytest.raises(ImageError, match=r"expected SA-1B masks of 40 x 60 pixels"):
        source.masks(0, (60, 40))


def test_classes_of_several_sets_become_one_list_without_novel_ones() -> None:
    classes = TrainingClasses(WORDS)
    added = classes.add(["DOG", "Zebra", "cat", "zebra", "traffic  light"])
    assert added == 1
    assert [item.name for item in classes.classes] == ["Traffic_Light", "dog", "Zebra"]
    match = classes.match(["cat", "zebra", "traffic light", "yeti"])
    assert match.labels.tolist() == [-1, 2, 0, -1]
    assert (match.hidden, match.unknown) == (("cat",), ("yeti",))
    assert classes.vocabulary().names == ("Traffic_Light", "dog", "Zebra")
    assert classes.vocabulary().base is None


def test_sets_are_drawn_by_their_ratios(tmp_path, pool) -> None:
    for name in ("one", "two"):
        write_picture(tmp_path / name / name / "a.png")
    entries = [
        DataSettings(kind="folders", path=str(tmp_path / "one"), ratio=3),
        DataSettings(kind="folders", path=str(tmp_path / "two"), ratio=1),
    ]
    opened = open_data(entries, WORDS)
    assert [item.name for item in opened.classes.classes] == ["Traffic_Light", "dog", "one", "two"]
    data = MixedData(opened.parts, budget=0)
    labels = [
        int(data.sample(StepRandom(0, step).of_sample(i, 8)).labels[0])
        for step in range(50)
        for i in range(8)
    ]
    assert set(labels) == {2, 3}
    assert labels.count(2) == pytest.approx(300, abs=35)


def test_unreadable_images_are_skipped_until_the_budget_is_spent(tmp_path, caplog) -> None:
    for number in range(4):
        write_picture(tmp_path / "dog" / f"{number}.png")
    (tmp_path / "dog" / "1.png").write_bytes(b"broken")
    opened = open_data([DataSettings(kind="folders", path=str(tmp_path))], WORDS)
    data = MixedData(opened.parts, budget=0.25)
    for seed in range(20):
        assert data.sample(np.random.default_rng(seed)).pixels.shape == (40, 60, 3)
    assert data.num_bad == 1
    assert [record.message[:26] for record in caplog.records] == ["skipped an image (1 so far"]


def test_one_unreadable_image_too_many_stops_the_run(tmp_path) -> None:
    for number in range(4):
        (tmp_path / "dog").mkdir(exist_ok=True)
        (tmp_path / "dog" / f"{number}.png").write_bytes(b"broken")
    opened = open_data([DataSettings(kind="folders", path=str(tmp_path))], WORDS)
    data = MixedData(opened.parts, budget=0.2)
    with pytest.raises(TrainingError, match=r"1 of 4 images of .* more than data_budget 0\.2"):
        data.sample(np.random.default_rng(0))


def test_a_pool_of_more_classes_than_names_is_refused(pool, tmp_path) -> None:
    for name in ("images", "id_maps", "objects"):
        np.save(tmp_path / f"{name}.npy", getattr(pool, name))
    assert len(PoolTrainingSet(tmp_path, ["a", "b", "c"])) == 6
    with pytest.raises(ConfigError, match="class ids below 1 in the pool"):
        PoolTrainingSet(tmp_path, ["a"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "masks", "path": "a"}, r"data.kind must be one of instances, .* got 'masks'"),
        ({"kind": "boxes", "path": "a"}, "the COCO file a needs its image folder: give images"),
        (
            {"kind": "pool", "path": "a", "images": "b"},
            "only goes with a COCO file; a is a pool with pictures of its own",
        ),
        ({"kind": "pool", "path": "a", "ratio": 0.0}, "data.ratio must be above 0, got 0.0 for a"),
        ({"kind": "pool", "path": "a", "classes": "mine"}, "must be one of own, vocabulary"),
    ],
)
def test_impossible_data_settings_are_refused(values, message) -> None:
    with pytest.raises(ConfigError, match=message):
        DataSettings(**values)


def test_no_data_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected training data, got none"):
        open_data([], WORDS)
