import base64
import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from urllib.parse import unquote

import cv2
import numpy as np
import pytest
from PIL import Image
from seven_masks import HEIGHT, WIDTH, make_label, make_seven_masks, write_output, write_seven_masks

from ovsam.masks import decode_mask, encode_mask
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export import cvat, datumaro, fiftyone, label_studio, labelme, voc
from ovsam_pipeline.export.brush_runs import decode_brush
from ovsam_pipeline.export.check import measure_losses
from ovsam_pipeline.export.label_studio import build_config
from ovsam_pipeline.export.options import ExportOptions
from ovsam_pipeline.export.review_tasks import make_key
from ovsam_pipeline.output.parts import write_part
from ovsam_pipeline.records import ImageRecord, LabelRecord, Origin
from ovsam_pipeline.review.editors.read_back import (
    read_back_cvat,
    read_back_fiftyone,
    read_back_label_studio,
)

EXPORTS = {
    "cvat": cvat.export_cvat,
    "datumaro": datumaro.export_datumaro,
    "fiftyone": fiftyone.export_fiftyone,
    "label-studio": label_studio.export_label_studio,
    "labelme": labelme.export_labelme,
    "voc": voc.export_voc,
}
ODD_SIZE = encode_mask(np.ones((2, 2)))
ODD_NAMES = (
    '<img src=x onerror="alert(1)">.png',
    "a & 'b' \"c\".png",
    "../up.png",
    "deep/../../up.png",
    "line\nbreak\x01.png",
    "写真/猫.png",
    "%2e%2e/x?d=1#y.png",
    "A.png",
    "a.png",
)


def export(folder, name, output, **options):
    target = folder / name
    target.mkdir()
    return target, EXPORTS[name](output, target, ExportOptions(**options))


def draw(left, top, pixels):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return mask


def check_seven(found):
    masks = make_seven_masks()
    assert found.keys() == masks.keys()
    for name, mask in masks.items():
        assert np.array_equal(found[name], mask), name


def test_label_studio_has_every_pixel(tmp_path):
    target, summary = export(tmp_path, "label-studio", write_seven_masks(tmp_path))
    assert (summary.images, summary.objects) == (2, 7)
    tasks = json.loads((target / "tasks.json").read_text())
    [task, empty] = tasks
    assert task["data"] == {
        "image": "/data/local-files/?d=images/a.png",
        "ovsam_file_name": "a.png",
    }
    assert empty["predictions"][0]["result"] == []
    prediction = task["predictions"][0]
    assert prediction["model_version"] == "nano"
    found = {}
    for region in prediction["result"]:
        assert region["score"] == 0.5
        assert region["id"] == region["meta"]["ovsam_key"]
        [name] = region["value"]["brushlabels"]
        found[name] = decode_brush(np.array(region["value"]["rle"], np.uint8), HEIGHT, WIDTH)
    check_seven(found)
    config = ElementTree.fromstring((target / "labeling_config.xml").read_text())
    for tag in ("BrushLabels", "RectangleLabels", "PolygonLabels"):
        assert [label.get("value") for label in config.find(tag)] == list(found)


def test_tasks_come_by_risk_in_files_of_bounded_size(tmp_path, monkeypatch):
    masks = make_seven_masks()
    labels = {
        f"{number}.png": [make_label(masks["solid"], 1, "solid", score=number / 8)]
        for number in range(8)
    }
    output = write_output(tmp_path / "out", tmp_path / "images", labels)
    monkeypatch.setattr(label_studio, "_FILE_BYTES", 2_000)
    target, _ = export(tmp_path, "label-studio", output)
    files = sorted(target.glob("tasks*.json"))
    assert files[0].name == "tasks-0001.json"
    assert len(files) > 2
    tasks = [task for file in files for task in json.loads(file.read_text())]
    assert len(tasks) == 8
    scores = [task["predictions"][0]["score"] for task in tasks]
    assert scores == sorted(scores)
    assert not list(target.glob("*.spool"))


def test_pictures_that_stay_where_they_are(tmp_path, monkeypatch):
    output = write_seven_masks(tmp_path)
    monkeypatch.setenv("LOCAL_FILES_DOCUMENT_ROOT", str(tmp_path))
    target, _ = export(tmp_path, "label-studio", output, images="none")
    [task, _] = json.loads((target / "tasks.json").read_text())
    assert task["data"]["image"] == "/data/local-files/?d=images/a.png"
    assert not (target / "images").exists()
    target, _ = export(tmp_path, "labelme", output, images="none")
    content = json.loads((target / "images/a.json").read_text())
    assert content["imagePath"] == str(tmp_path / "images/a.png")


@pytest.mark.parametrize(
    ("folder", "name", "address"),
    [
        ("s3://bucket/in", "a b/c.jpg", "s3://bucket/in/a b/c.jpg"),
        ("", "https://host/x.jpg", "https://host/x.jpg"),
        ("/not/there", "x.jpg", "x.jpg"),
        ("s3://", "x.jpg", "x.jpg"),
    ],
)
def test_pictures_at_addresses_and_gone_ones(tmp_path, folder, name, address):
    row = LabelRecord.labelled(ImageRecord(1, name, tmp_path), 9, 8, ())
    parts = tmp_path / "out/parts"
    parts.mkdir(parents=True)
    write_part(parts, [replace(row, origin=Origin("", folder))], "f")
    run = {"categories": [], "settings": {"sources": ["s3://bucket/in"]}}
    (tmp_path / "out/run.json").write_text(json.dumps(run))
    target, summary = export(tmp_path, "label-studio", tmp_path / "out", images="none")
    [task] = json.loads((target / "tasks.json").read_text())
    assert task["data"]["image"] == address
    assert ("1 picture where" in summary.notes[0]) == (address == "x.jpg")


def test_cvat_counts_along_the_rows_of_a_box(tmp_path):
    target, _ = export(tmp_path, "cvat", write_seven_masks(tmp_path))
    root = ElementTree.parse(target / "annotations.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert [image.get("name") for image in root.iter("image")] == ["a.png", "sub/b.png"]
    found = {}
    for mask in root.iter("mask"):
        runs = list(map(int, mask.get("rle").split(",")))
        left, top, width, height = (int(mask.get(n)) for n in ("left", "top", "width", "height"))
        pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
        found[mask.get("label")] = draw(left, top, pixels)
        facts = {item.get("name"): item.text for item in mask}
        assert facts["score"] == "0.5"
        assert len(facts["ovsam_key"]) == 16
    check_seven(found)
    labels = json.loads((target / "labels.json").read_text())
    assert [label["name"] for label in labels] == list(make_seven_masks())
    declared = {attribute["name"] for attribute in labels[0]["attributes"]}
    assert {"score", "risk", "reason", "ovsam_key"} <= declared


def test_labelme_has_masks_in_their_box(tmp_path):
    target, _ = export(tmp_path, "labelme", write_seven_masks(tmp_path))
    content = json.loads((target / "images/a.json").read_text())
    assert (target / "images" / content["imagePath"]).is_file()
    found = {}
    for shape in content["shapes"]:
        assert shape["shape_type"] == "mask"
        (left, top), (right, bottom) = shape["points"]
        png = np.frombuffer(base64.b64decode(shape["mask"]), np.uint8)
        pixels = cv2.imdecode(png, cv2.IMREAD_UNCHANGED) > 0
        assert pixels.shape == (bottom - top + 1, right - left + 1)
        found[shape["label"]] = draw(left, top, pixels)
    check_seven(found)


def test_datumaro_and_fiftyone_have_run_lengths(tmp_path):
    output = write_seven_masks(tmp_path)
    target, _ = export(tmp_path, "datumaro", output)
    data = json.loads((target / "annotations/default.json").read_text())
    names = [label["name"] for label in data["categories"]["label"]["labels"]]
    [item, empty] = data["items"]
    assert (item["id"], empty["id"], empty["annotations"]) == ("a", "sub/b", [])
    check_seven(
        {names[a["label_id"]]: decode_mask(a["rle"], HEIGHT, WIDTH) for a in item["annotations"]}
    )
    target, _ = export(tmp_path, "fiftyone", output)
    data = json.loads((target / "labels.json").read_text())
    names = {category["id"]: category["name"] for category in data["categories"]}
    check_seven(
        {
            names[a["category_id"]]: decode_mask(a["segmentation"], HEIGHT, WIDTH)
            for a in data["annotations"]
        }
    )
    assert len({a["id"] for a in data["annotations"]}) == 7
    assert data["annotations"][0]["ovsam_key"] == make_key(
        "a.png", data["annotations"][0]["segmentation"]
    )
    assert (target / "data/sub/b.png").is_file()


def test_voc_has_boxes_from_one_and_pictures_of_numbers(tmp_path):
    target, summary = export(tmp_path, "voc", write_seven_masks(tmp_path))
    root = ElementTree.parse(target / "Annotations/a.xml").getroot()
    objects = root.findall("object")
    box = objects[0].find("bndbox")
    assert [int(box.findtext(n)) for n in ("xmin", "ymin", "xmax", "ymax")] == [31, 21, 120, 80]
    numbers = np.array(Image.open(target / "SegmentationObject/a.png"))
    check_seven({o.findtext("name"): numbers == n for n, o in enumerate(objects, 1)})
    classes = np.array(Image.open(target / "SegmentationClass/a.png"))
    assert np.array_equal(classes, numbers)
    assert (target / "ImageSets/Main/default.txt").read_text() == "a\nsub/b\n"
    assert "donut:0,128,0::" in (target / "labelmap.txt").read_text()
    assert summary.notes == []


def test_voc_says_what_it_cannot_hold(tmp_path):
    below, above = np.zeros((2, HEIGHT, WIDTH), bool)
    below[:40, :40] = True
    above[10:20, 10:20] = True
    many = [make_label(above, 1, "solid") for _ in range(255)]
    labels = {"a.png": [make_label(below, 2, "donut"), *many]}
    output = write_output(tmp_path / "out", tmp_path / "images", labels)
    target, summary = export(tmp_path, "voc", output)
    [covered, beyond] = summary.notes
    assert covered.startswith("253 objects partly under smaller ones")
    assert beyond.startswith("2 objects with a box but no mask")
    assert len(ElementTree.parse(target / "Annotations/a.xml").findall("object")) == 256


def test_voc_names_that_its_label_map_cannot_hold():
    names = ["a:b", "a_b", "background", "#x", "two\nlines", "cat"]
    assert list(voc.make_voc_names(names).values()) == [
        "a_b", "a_b_", "background_", "x", "two lines", "cat",
    ]  # fmt: skip


@pytest.mark.parametrize("name", EXPORTS)
def test_odd_names_stay_inside_and_are_escaped(tmp_path, name):
    solid = make_seven_masks()["solid"]
    labels = {name: [make_label(solid, 1, "solid")] for name in ODD_NAMES}
    work = tmp_path / "work"
    (work / "images/deep").mkdir(parents=True)
    output = write_output(work / "out", work / "images/in", labels)
    outside = {path for path in tmp_path.rglob("*") if path.is_file()}
    target, summary = export(work, name, output)
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - outside
    assert all(path.is_relative_to(target) for path in written)
    pictures = [path for path in written if path.suffix == ".png" and "Segm" not in str(path)]
    assert summary.images == len(pictures) == len(ODD_NAMES)
    assert len({str(path).casefold() for path in pictures}) == len(ODD_NAMES)
    for path in written:
        if path.suffix == ".xml":
            ElementTree.parse(path)
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
    if name == "label-studio":
        for task in json.loads((target / "tasks.json").read_text()):
            picture = unquote(task["data"]["image"].removeprefix("/data/local-files/?d="))
            assert (target / picture).is_file()


@pytest.mark.parametrize("name", EXPORTS)
def test_a_mask_of_another_size(tmp_path, name):
    odd = replace(make_label(make_seven_masks()["solid"], 1, "solid"), segmentation=ODD_SIZE)
    output = write_output(tmp_path / "out", tmp_path / "images", {"a.png": [odd]})
    with pytest.raises(OutputError, match="expected masks of 320 x 240 pixels, got 2 x 2"):
        export(tmp_path, name, output)


@pytest.mark.parametrize("name", EXPORTS)
def test_a_class_that_run_json_lacks(tmp_path, name):
    labels = {"a.png": [make_label(make_seven_masks()["solid"], 99, "=cmd()")]}
    output = write_output(tmp_path / "out", tmp_path / "images", labels)
    with pytest.raises(
        OutputError, match=r"classes of run.json, got '=cmd\(\)' in the row of 'a.png'"
    ):
        export(tmp_path, name, output)


READERS = {
    "cvat": read_back_cvat,
    "datumaro": datumaro.read_datumaro,
    "fiftyone": read_back_fiftyone,
    "label-studio": read_back_label_studio,
    "labelme": labelme.read_labelme,
    "voc": voc.read_voc,
}


@pytest.mark.parametrize("name", READERS)
def test_check_compares_object_by_object(tmp_path, name):
    masks = make_seven_masks()
    nothing = make_label(masks["solid"], 1, "solid")
    nothing = replace(nothing, area=0, segmentation=encode_mask(np.zeros((HEIGHT, WIDTH), bool)))
    # Of two images one picture is gone; of the other's objects one has no pixel.
    objects = [
        make_label(masks["wavy"], 7, "wavy"),
        nothing,
        make_label(masks["donut"], 2, "donut"),
    ]
    labels = {"gone.png": objects, "z.png": objects, "y.png": [objects[0]]}
    output = write_output(tmp_path / "out", tmp_path / "images", labels)
    (tmp_path / "images/gone.png").unlink()
    target, summary = export(tmp_path, name, output)
    assert (summary.images, summary.objects, len(summary.missing_ids)) == (2, 3, 1)
    assert any("1 object without a pixel" in note for note in summary.notes)
    options = ExportOptions()
    losses = measure_losses(output, options, summary, READERS[name](output, target, options))
    assert (losses.objects, losses.lost) == (4, 1)
    assert losses.sum_iou == 3


def test_odd_class_names_in_the_configuration():
    names = ("<b>\"&'", "line\nbreak", "\x00nul", "猫")
    config = ElementTree.fromstring(build_config(names))
    values = [label.get("value") for label in config.find("BrushLabels")]
    assert values == ["<b>\"&'", "line\nbreak", "\ufffdnul", "猫"]
