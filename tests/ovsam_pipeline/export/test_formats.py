"""coco, yolo, masks and crops: the 7 masks there and back, pictures, choices, odd outputs."""

import json
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image
from seven_masks import CLASSES, make_label, make_seven_masks, write_output, write_seven_masks

from ovsam.errors import ConfigError
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.check import measure_losses
from ovsam_pipeline.export.coco import export_coco
from ovsam_pipeline.export.coco_choice import export_coco_as, read_coco
from ovsam_pipeline.export.crops import export_crops, pad_box
from ovsam_pipeline.export.image_files import ImageFiles
from ovsam_pipeline.export.labels import LabelChoice, iterate_labelled, read_categories
from ovsam_pipeline.export.masks import export_masks, read_masks
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.export.splits import deal, parse_split
from ovsam_pipeline.export.yolo import export_yolo, read_yolo

MASKS = make_seven_masks()


@pytest.fixture
def output(tmp_path):
    return write_seven_masks(tmp_path)


def make_folder(tmp_path, name="target"):
    (tmp_path / name).mkdir()
    return tmp_path / name


def make_lone(tmp_path, names, **labels):
    """Write an output with one solid object on each named image."""
    item = make_label(MASKS["solid"], 1, "solid", **labels)
    return write_output(tmp_path / "out", tmp_path / "images", {name: [item] for name in names})


def measure(output, target, options, export, read):
    summary = export(output, target, options)
    return summary, measure_losses(output, options, summary, read(output, target, options))


def test_polygons_of_coco_lose_nothing(output, tmp_path):
    options = ExportOptions(polygons=True)
    _, losses = measure(output, tmp_path / "p.json", options, export_coco_as, read_coco)
    assert (losses.objects, losses.mean_iou, losses.worst) == (7, 1, [])
    made = json.loads((tmp_path / "p.json").read_text())["annotations"]
    assert [len(item["segmentation"]) for item in made] == [1, 1, 2, 1, 1, 3, 1]
    assert made[3]["segmentation"] == [[17, 200, 18, 200, 18, 201, 17, 201]]


def test_chosen_coco_has_what_all_labels_have(output, tmp_path):
    export_coco(output, tmp_path / "all.json")
    everything = ExportOptions(LabelChoice(classes=CLASSES))
    export_coco_as(output, tmp_path / "chosen.json", everything)
    found = [json.loads((tmp_path / f"{n}.json").read_text()) for n in ("all", "chosen")]
    for key in ("images", "annotations", "categories", "info"):
        assert found[0][key] == found[1][key]


def test_yolo_holds_what_one_polygon_can_hold(output, tmp_path):
    target = make_folder(tmp_path)
    summary, losses = measure(output, target, ExportOptions(), export_yolo, read_yolo)
    assert (summary.images, summary.objects, losses.lost, losses.changed) == (2, 7, 0, 1)
    assert {loss.category for loss in losses.worst} == {"two parts", "three parts"}
    rows = (target / "labels/train/a.txt").read_text().splitlines()
    assert [row.split()[0] for row in rows] == list("0123456")
    assert all(len(row.split()) >= 7 for row in rows)
    assert (target / "labels/train/sub/b.txt").read_bytes() == b""
    about = yaml.safe_load((target / "data.yaml").read_text())
    assert about["names"] == dict(enumerate(CLASSES))
    assert (about["train"], about["val"]) == ("images/train", "images/train")


def test_yolo_keeps_class_numbers_whatever_was_found(tmp_path):
    item = make_label(MASKS["line"], 5, "line")
    output = write_output(tmp_path / "out", tmp_path / "images", {"a.png": [item]})
    target = make_folder(tmp_path)
    export_yolo(output, target, ExportOptions())
    assert (target / "labels/train/a.txt").read_text().startswith("4 ")


def test_yolo_does_not_put_labels_below_a_folder_of_that_name(tmp_path):
    output = make_lone(tmp_path, ["images/labels/a.png"])
    target = make_folder(tmp_path)
    export_yolo(output, target, ExportOptions())
    files = sorted(p.relative_to(target).as_posix() for p in target.rglob("a.*"))
    assert files == ["images/train/images_/labels_/a.png", "labels/train/images_/labels_/a.txt"]


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (2, 2)])
def test_small_masks_at_every_corner_survive_yolo(tmp_path, size):
    objects = []
    for top in (0, 240 - size[0]):
        for left in (0, 320 - size[1]):
            mask = np.zeros((240, 320), bool)
            mask[top : top + size[0], left : left + size[1]] = True
            objects.append(make_label(mask, 1, "solid"))
    output = write_output(tmp_path / "out", tmp_path / "images", {"a.png": objects})
    target = make_folder(tmp_path)
    _, losses = measure(output, target, ExportOptions(), export_yolo, read_yolo)
    assert (losses.objects, losses.mean_iou) == (4, 1)
    rows = (target / "labels/train/a.txt").read_text().splitlines()
    values = np.array([row.split()[1:] for row in rows], float).reshape(4, -1, 2)
    assert (np.ptp(values, axis=1) > 0).all(), "a box without a size"
    assert ((values >= 0) & (values <= 1)).all()


def test_check_counts_what_is_gone(output, tmp_path):
    target = make_folder(tmp_path)
    summary = export_yolo(output, target, ExportOptions())
    path = target / "labels/train/a.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:5]))
    losses = measure_losses(
        output, ExportOptions(), summary, read_yolo(output, target, ExportOptions())
    )
    assert (losses.objects, losses.lost) == (7, 2)
    assert losses.worst[0][:1] == (0.0,)


def test_masks_show_the_smaller_object_or_the_surer_one(tmp_path):
    large, small = np.zeros((2, 240, 320), bool)
    large[10:100, 10:100] = True
    small[20:30, 20:30] = True
    objects = [make_label(small, 1, "solid", 0.25), make_label(large, 3, "two parts", 0.75)]
    output = write_output(tmp_path / "out", tmp_path / "images", {"a.png": objects})
    target = make_folder(tmp_path)
    _, losses = measure(output, target, ExportOptions(), export_masks, read_masks)
    assert losses.worst[0].category == "two parts"
    assert losses.worst[0].iou == pytest.approx(8000 / 8100)
    instances = cv2.imread(str(target / "instances/a.png"), cv2.IMREAD_UNCHANGED)
    assert instances.dtype == np.uint16
    assert np.array_equal(instances == 1, small)
    semantic = Image.open(target / "semantic/a.png")
    assert semantic.mode == "P"
    assert np.array_equal(np.asarray(semantic) == 3, large & ~small)
    surer = make_folder(tmp_path, "surer")
    options = ExportOptions(on_top="score")
    summary, losses = measure(output, surer, options, export_masks, read_masks)
    assert (losses.lost, summary.notes) == (1, ["1 object hidden whole by others"])


def test_seven_masks_come_back_from_png(output, tmp_path):
    _, losses = measure(output, make_folder(tmp_path), ExportOptions(), export_masks, read_masks)
    assert (losses.objects, losses.mean_iou) == (7, 1)


def test_crops_lie_in_a_folder_per_class_with_the_mask_as_alpha(output, tmp_path):
    target = make_folder(tmp_path)
    summary = export_crops(output, target, ExportOptions(padding=0, cut_out=True))
    assert (summary.images, summary.objects) == (2, 7)
    crop = np.asarray(Image.open(target / "donut/a.png_2.png"))
    left, top, right, bottom = pad_box([175, 15, 91, 91], 0, 320, 240)
    assert np.array_equal(crop[..., 3] == 255, MASKS["donut"][top:bottom, left:right])
    picture = np.asarray(Image.open(tmp_path / "images/a.png"))
    assert np.array_equal(crop[..., :3], picture[top:bottom, left:right])
    lines = [json.loads(line) for line in (target / "crops.jsonl").read_text().splitlines()]
    assert all((target / line["crop"]).is_file() for line in lines)
    assert len(lines) == 7


def test_box_of_a_crop_stays_inside_and_has_a_pixel():
    assert pad_box([0, 0, 10, 4], 0.5, 12, 5) == (0, 0, 12, 5)
    assert pad_box([12, 5, 0, 0], 0, 12, 5) == (11, 4, 12, 5)


def test_score_and_classes_choose_objects_and_keep_images(output):
    choice = LabelChoice(min_score=0.75)
    assert [len(image.objects) for image in iterate_labelled(output, choice)] == [0, 0]
    choice = LabelChoice(classes=("donut", "line"))
    assert [len(image.objects) for image in iterate_labelled(output, choice)] == [2, 0]
    assert [c["id"] for c in read_categories(output, choice)] == [2, 5]
    with pytest.raises(ConfigError, match="got 'donot'; did you mean donut"):
        read_categories(output, LabelChoice(classes=("donot",)))
    assert list(iterate_labelled(output, LabelChoice(reviewed_only=True))) == []


def test_pictures_are_copied_linked_or_left(output, tmp_path):
    original = tmp_path / "images/a.png"
    for mode in ("copy", "link", "none"):
        target = make_folder(tmp_path, mode)
        export_yolo(output, target, ExportOptions(images=mode))
        found = target / "images/train/a.png"
        assert found.exists() == (mode != "none")
        if mode != "none":
            assert found.read_bytes() == original.read_bytes()
            assert found.samefile(original) == (mode == "link")


def test_pictures_that_are_gone_are_named_and_left_out(output, tmp_path):
    (tmp_path / "images/sub/b.png").unlink()
    target = make_folder(tmp_path)
    summary, losses = measure(output, target, ExportOptions(), export_yolo, read_yolo)
    assert (summary.images, len(summary.missing_ids), losses.objects) == (1, 1, 7)
    assert summary.missing_names == {"sub/b.png": "it is not among the sources any more"}
    assert not list(target.rglob("b.*"))


def test_pictures_that_moved_are_found_with_source(output, tmp_path):
    (tmp_path / "images").rename(tmp_path / "moved")
    with pytest.raises(ConfigError, match=r"does not exist.*--source NEW_PLACE"):
        export_yolo(output, make_folder(tmp_path, "lost"), ExportOptions())
    options = ExportOptions(sources=(str(tmp_path / "moved"),))
    summary = export_yolo(output, make_folder(tmp_path), options)
    assert (summary.images, summary.missing_ids) == (2, set())


def test_names_of_others_stay_inside_and_apart(tmp_path):
    names = ["../../x.png", "a.png", "A.png", "a.jpg"]
    (tmp_path / "images/deep/er").mkdir(parents=True)
    item = make_label(MASKS["solid"], 1, "solid")
    labels = {name: [item] for name in names}
    output = write_output(tmp_path / "out", tmp_path / "images/deep/er", labels)
    target = make_folder(tmp_path)
    before = set(tmp_path.rglob("*"))
    assert export_yolo(output, target, ExportOptions()).images == 4
    new = set(tmp_path.rglob("*")) - before
    assert all(target in path.parents for path in new)
    written = [path for path in new if path.is_file()]
    assert len({str(path).casefold() for path in written}) == 4 + 4 + 1


def test_a_row_cannot_bring_a_file_that_is_no_picture_into_an_export(output, tmp_path):
    secret = tmp_path / "images/id_rsa"
    secret.write_text("secret")
    image = next(iter(iterate_labelled(output, LabelChoice())))
    files = ImageFiles(output, ExportOptions(), ExportSummary())
    assert not files.put(replace(image, file_name="id_rsa"), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_damaged_masks_are_one_sentence(tmp_path):
    item = make_label(MASKS["solid"], 1, "solid")
    cut = {"size": [240, 320], "counts": item.segmentation["counts"][:-2]}
    other = {"size": [24, 32], "counts": "P8"}
    for number, rle in enumerate((cut, other)):
        bad = make_label(MASKS["solid"], 1, "solid")
        object.__setattr__(bad, "segmentation", rle)
        folder = tmp_path / str(number)
        output = write_output(folder / "out", folder / "images", {"a.png": [item, bad]})
        with pytest.raises(OutputError, match=r"row of a.png is damaged: its (run|masks)"):
            export_yolo(output, make_folder(folder), ExportOptions())


def test_splits_keep_their_shares_of_every_class_and_groups_together():
    rng = np.random.default_rng(0)
    classes = {str(n): Counter(rng.integers(0, 6, n % 4).tolist()) for n in range(400)}
    for rare in ("3", "50", "120", "201", "300"):
        classes[rare][9] = 1
    groups = [[str(n), str(n + 1)] for n in range(0, 100, 2)] + [[str(n)] for n in range(100, 400)]
    splits = deal(classes, groups, (0.6, 0.2, 0.2))
    counts = Counter(splits.by_name.values())
    assert {name: counts[name] for name in splits.used} == {"train": 240, "val": 80, "test": 80}
    for kind in range(6):
        having = [name for name, found in classes.items() if kind in found]
        assert 0.55 < np.mean([splits.find(name) == "train" for name in having]) < 0.65
    rare = Counter(splits.find(name) for name, found in classes.items() if 9 in found)
    assert rare == {"train": 3, "val": 1, "test": 1}
    assert all(len({splits.find(name) for name in group}) == 1 for group in groups)
    shuffled = [groups[i] for i in rng.permutation(len(groups))]
    assert deal(classes, shuffled, (0.6, 0.2, 0.2)).by_name == splits.by_name


def test_split_is_said_in_data_yaml(output, tmp_path):
    target = make_folder(tmp_path)
    options = ExportOptions(split=(0.5, 0.5))
    summary, losses = measure(output, target, options, export_yolo, read_yolo)
    assert (summary.images, losses.objects) == (2, 7)
    about = yaml.safe_load((target / "data.yaml").read_text())
    assert (about["train"], about["val"]) == ("images/train", "images/val")
    assert len(list(target.glob("images/*/"))) == 2


@pytest.mark.parametrize(
    "text", ["", "1", ".8", ".8/.3", ".5/.5/0", "a/b", ".4/.3/.2/.1", "nan/.5"]
)
def test_split_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="shares that add up to 1"):
        parse_split(text)
