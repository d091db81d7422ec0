"""What was exported is corrected as an editor would write it, and read back."""

import base64
import io
import json
import re
import zipfile
import zlib

import numpy as np
import pytest
from seven_masks import HEIGHT, WIDTH, make_seven_masks, write_seven_masks

from ovsam.errors import ConfigError
from ovsam.masks import decode_mask, encode_mask
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.export.cvat import export_cvat
from ovsam_pipeline.export.fiftyone import export_fiftyone
from ovsam_pipeline.export.label_studio import export_label_studio
from ovsam_pipeline.export.options import ExportOptions
from ovsam_pipeline.export.review_tasks import make_key
from ovsam_pipeline.outcomes import Reasons
from ovsam_pipeline.review.editors import xml_events
from ovsam_pipeline.review.editors.reading import read_editor_file

MASKS = make_seven_masks()
SOLID = encode_mask(MASKS["solid"])
PLAIN = {"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}


def read(path, editor=None):
    left_out = Reasons()
    images = list(read_editor_file(path, left_out, editor))
    assert not left_out
    return images


def read_some(path):
    """Return the images of a file, and the reason why one gave none, with its name."""
    left_out = Reasons()
    images = list(read_editor_file(path, left_out))
    (group,) = left_out.list_common()
    assert group.count == 1
    return images, group


def describe(image):
    return {(item.category, item.segmentation["counts"], item.key) for item in image.objects}


EXPECTED = {
    (name, rle["counts"], make_key("a.png", rle))
    for name, rle in ((name, encode_mask(mask)) for name, mask in MASKS.items())
}


def write_json(folder, value, name="file.json"):
    path = folder / name
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def make_annotation(result, **values):
    return {"result": result, "was_cancelled": False, "completed_by": 3, **values}


def make_region(kind, value, **values):
    place = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    labels = {f"{kind}labels": ["cat"]}
    return {"id": "x", "type": f"{kind}labels", "value": {**value, **labels}, **place, **values}


def make_task(*annotations, **data):
    return {"data": {"image": "/data/upload/1/a.png", **data}, "annotations": list(annotations)}


def draw_of(image):
    [item] = image.objects
    return decode_mask(item.segmentation, HEIGHT, WIDTH) > 0


def test_unchanged_label_studio_comes_back_as_it_went(tmp_path):
    output, target = write_seven_masks(tmp_path), tmp_path / "export"
    target.mkdir()
    export_label_studio(output, target, ExportOptions())
    tasks = json.loads((target / "tasks.json").read_text())
    # Nobody submitted anything yet: predictions are no answers.
    assert read(target / "tasks.json") == []
    for task in tasks:
        result = task.pop("predictions")[0]["result"]
        # The editor gives regions of a prediction new ids.
        result = [{**region, "id": f"new{n}"} for n, region in enumerate(result)]
        task["annotations"] = [make_annotation(result, updated_at="2026-11-29T10:00:00Z")]
    first, empty = read(write_json(tmp_path, tasks))
    assert (first.file_name, first.by) == ("a.png", "user 3")
    assert first.at == "2026-11-29T10:00:00+00:00"
    assert describe(first) == EXPECTED
    assert (empty.file_name, empty.objects) == ("sub/b.png", ())


def test_label_studio_tells_people_skips_and_rejections_apart(tmp_path):
    box = make_region("rectangle", {"x": 25, "y": 50, "width": 12.5, "height": 25})
    later = make_annotation([box], updated_at="2026-02-01", completed_by={"email": "b@x.org"})
    verdict = {"id": "x", "type": "choices", "value": {"choices": ["reject"]}}
    earlier = make_annotation([box, verdict], updated_at="2026-01-01", completed_by={"id": 7})
    skipped = make_annotation([], was_cancelled=True)
    task = make_task(later, skipped, earlier, ovsam_file_name="s/a.png", ovsam_batch="b1")
    one, two = read(write_json(tmp_path, [task, make_task(), make_task(skipped)]))
    assert (one.by, one.objects, one.batch) == ("user 7", (), "b1")
    assert (two.by, two.file_name) == ("b@x.org", "s/a.png")
    drawn = draw_of(two)
    assert drawn.sum() == 40 * 60
    assert drawn[120:180, 80:120].all()
    assert two.objects[0].key is None


def test_label_studio_shapes(tmp_path):
    shapes = [
        make_region("polygon", {"points": [[0, 0], [50, 0], [50, 50], [0, 50]]}),
        make_region("ellipse", {"x": 50, "y": 50, "radiusX": 10, "radiusY": 10, "rotation": 30}),
        make_region("rectangle", {"x": 50, "y": 50, "width": 10, "height": 10, "rotation": 90}),
        # Boxes and polygons may reach beyond the image.
        make_region("rectangle", {"x": -10, "y": -10, "width": 20, "height": 20}),
    ]
    tasks = [make_task(make_annotation([shape])) for shape in shapes]
    areas = [int(draw_of(image).sum()) for image in read(write_json(tmp_path, tasks))]
    assert areas[0] == 160 * 120
    assert abs(areas[1] - np.pi * 32 * 24) < 30
    assert abs(areas[2] - 32 * 24) < 60
    assert areas[3] == 32 * 24


def test_half_letters_and_times_that_are_none(tmp_path):
    box = make_region("rectangle", {"x": 0, "y": 0, "width": 10, "height": 10})
    box["value"]["rectanglelabels"] = ["c\ud800t"]
    annotation = make_annotation([box], completed_by="a\udfff", updated_at="yesterday")
    [image] = read(write_json(tmp_path, [make_task(annotation)]))
    assert (image.by, image.at, image.objects[0].category) == ("a?", None, "c?t")


def test_labels_and_shapes_in_results_of_their_own(tmp_path):
    place = {"original_width": WIDTH, "original_height": HEIGHT}
    shape = {"x": 0, "y": 0, "width": 10, "height": 10}
    result = [
        {"id": "r", "type": "rectangle", "value": shape, **place},
        {"id": "r", "type": "labels", "value": {**shape, "labels": ["dog"]}, **place},
        {"type": "relation", "from_id": "r", "to_id": "r"},
        {"id": "q", "type": "textarea", "value": {"text": ["hm"]}},
    ]
    [image] = read(write_json(tmp_path, [make_task(make_annotation(result))]))
    assert [item.category for item in image.objects] == ["dog"]


def brush(rle, **values):
    return make_region("brush", {"format": "rle", "rle": rle}, **values)


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        (brush([0, 0, 0]), "ends within its first eight bytes"),
        (brush([300, 1]), "list of bytes"),
        (brush("x"), "list of bytes"),
        (brush([10**40]), "list of bytes"),
        (brush([0] * 9, original_width=10**9, original_height=10**9), "too large"),
        (brush([0] * 9, original_width=-1), "expected the width and height"),
        (make_region("rectangle", {"x": 1e999, "y": 0, "width": 1, "height": 1}), "a number"),
        (make_region("rectangle", {"x": 200, "y": 0, "width": 1, "height": 1}), "outside"),
        (make_region("rectangle", {"x": 1, "y": 0, "width": 1}), "'height' is missing"),
        (make_region("polygon", {"points": [[0, 0], [1, 1]]}), "three points"),
        (make_region("polygon", {"points": [[0, 0], [1e30, 1], [0, 1]]}), "within an image"),
        (make_region("polygon", {"points": 5}), "not what it should be"),
        (make_region("keypoint", {"x": 1, "y": 1}), "type 'keypointlabels' cannot be read"),
        (make_region("rectangle", {}, image_rotation=90), "turned in the editor"),
        ({"id": "x", "type": "rectangle", "value": {}}, "no label"),
        (5, "not what it should be"),
    ],
)
def test_a_region_that_cannot_be_read_gives_no_answers_of_its_image(tmp_path, region, reason):
    good = make_task(make_annotation([]), ovsam_file_name="good.png")
    bad = make_task(make_annotation([region]), ovsam_file_name="bad.png")
    [image], left_out = read_some(write_json(tmp_path, [bad, good]))
    assert image.file_name == "good.png"
    assert left_out.file_name == "bad.png"
    assert left_out.sentence.startswith("no answers taken: ")
    assert reason in left_out.sentence


def test_cvat_comes_back_as_it_went(tmp_path):
    output, target = write_seven_masks(tmp_path), tmp_path / "export"
    target.mkdir()
    export_cvat(output, target, ExportOptions())
    first, empty = read(target / "annotations.xml")
    assert (first.file_name, describe(first)) == ("a.png", EXPECTED)
    assert (empty.file_name, empty.objects) == ("sub/b.png", ())
    with zipfile.ZipFile(tmp_path / "job.zip", "w") as archive:
        archive.write(target / "annotations.xml", "annotations.xml")
    assert describe(read(tmp_path / "job.zip")[0]) == EXPECTED


def write_xml(folder, shapes, head=""):
    path = folder / "annotations.xml"
    image = f'<image id="0" name="a.png" width="{WIDTH}" height="{HEIGHT}">{shapes}</image>'
    path.write_text(f"{head}<annotations><version>1.1</version>{image}</annotations>")
    return path


def test_cvat_shapes(tmp_path):
    box = '<box label="cat" xtl="10" ytl="20" xbr="30" ybr="40.0" rotation="90.0"/>'
    part = '<polygon label="dog" points="{0},0;{1},0;{1},10;{0},10" group_id="4">{2}</polygon>'
    key = '<attribute name="ovsam_key">00ff00ff00ff00ff</attribute>'
    batch = '<attribute name="ovsam_batch">b7</attribute>'
    shapes = box + part.format(0, 10, key + batch) + part.format(50, 60, "")
    shapes += '<ellipse label="cup" cx="100" cy="100" rx="10" ry="20"/><tag label="seen"/>'
    [image] = read(write_xml(tmp_path, shapes))
    areas = {i.category: decode_mask(i.segmentation, HEIGHT, WIDTH).sum() for i in image.objects}
    assert areas["dog"] == 200
    assert abs(int(areas["cat"]) - 400) < 45
    assert abs(areas["cup"] - np.pi * 200) < 20
    assert {item.category: item.key for item in image.objects}["dog"] == "00ff00ff00ff00ff"
    assert image.batch == "b7"


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ('<mask label="x" rle="1,2" left="0" top="0" width="2" height="2"/>', "do not fill"),
        ('<mask label="x" rle="-1,5" left="0" top="0" width="2" height="2"/>', "do not fill"),
        ('<mask label="x" rle="9{0}" left="0" top="0" width="2" height="2"/>', "do not fill"),
        ('<mask label="x" rle="a" left="0" top="0" width="2" height="2"/>', "invalid literal"),
        ('<mask label="x" rle="0,4" left="319" top="0" width="2" height="2"/>', "beyond the image"),
        (
            '<mask label="x" rle="0,4" left="0" top="0" width="9{0}" height="2"/>',
            "beyond the image",
        ),
        ('<mask label="x" rle="0,4" left="1e400" top="0" width="2" height="2"/>', "a number"),
        ('<mask label="x" rle="4" left="0" top="0" width="2" height="2"/>', "no pixel"),
        ('<box xtl="1" ytl="1" xbr="2" ybr="2"/>', "'label' is missing"),
        ('<box label="x" xtl="nan" ytl="1" xbr="2" ybr="2"/>', "a number"),
        ('<polygon label="x" points="1,1;2"/>', "unpack"),
        ('<points label="x" points="1,1"/>', "covers no pixels"),
    ],
)
def test_a_shape_of_cvat_that_cannot_be_read(tmp_path, shape, reason):
    images, left_out = read_some(write_xml(tmp_path, shape.format("9" * 40)))
    assert images == []
    assert reason in left_out.sentence


BOMB = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;">]>'
OUTSIDE = '<!DOCTYPE a SYSTEM "file:///etc/passwd">'


@pytest.mark.parametrize("head", [BOMB, OUTSIDE])
def test_xml_with_a_document_type_is_refused(tmp_path, head):
    with pytest.raises(DatasetError, match="document type"):
        read(write_xml(tmp_path, "", head))


def test_an_element_without_end_takes_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(xml_events, "_MOST_ELEMENT", 1 << 22)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", "<annotations><mask rle='" + "1," * (1 << 23))
    with pytest.raises(DatasetError, match="more than 256 MB"):
        read(tmp_path / "x.zip")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotations><image", "no XML, or cut off"),
        ("<a></a>", "expected <annotations>"),
        ("<annotations>" + "<b>" * 200, "nested more than 100"),
        ("<annotations><track id='1'/></annotations>", "CVAT for video"),
        ("", "no XML, or cut off"),
    ],
)
def test_what_is_no_cvat_file(tmp_path, text, reason):
    path = tmp_path / "x.xml"
    path.write_text(text)
    with pytest.raises(DatasetError, match=reason):
        read(path)


def test_fiftyones_layout_comes_back_as_coco(tmp_path):
    output, target = write_seven_masks(tmp_path), tmp_path / "export"
    target.mkdir()
    export_fiftyone(output, target, ExportOptions())
    first, empty = read(target)
    assert (first.file_name, describe(first)) == ("a.png", EXPECTED)
    assert (empty.file_name, empty.objects) == ("sub/b.png", ())


def test_coco_of_other_editors(tmp_path):
    annotations = [
        {"segmentation": [[0, 0, 10, 0, 10, 10, 0, 10]], "attributes": {"ovsam_key": "k1"}},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [0, 5, HEIGHT * WIDTH - 5]}},
        {"bbox": [20, 20, 10, 10], "segmentation": []},
        {"segmentation": SOLID, "ovsam_key": "k2"},
    ]
    data = {
        "categories": [{"id": 0, "name": "cat"}],
        "images": [PLAIN, {**PLAIN, "id": 2, "file_name": "b.png"}],
        "annotations": [{"image_id": 1, "category_id": 0, **item} for item in annotations],
    }
    first, second = read(write_json(tmp_path, data))
    areas = [int(decode_mask(i.segmentation, HEIGHT, WIDTH).sum()) for i in first.objects]
    assert areas == [100, 5, 100, 90 * 60]
    assert [item.key for item in first.objects] == ["k1", None, None, "k2"]
    assert second.objects == ()


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"category_id": 9, "bbox": [0, 0, 1, 1]}, "category_id 9"),
        ({"segmentation": {"size": [1, 1], "counts": "1"}}, "expected a mask of 320 x 240"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": "zz"}}, "damaged"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": [10**30]}}, "do not fill"),
        ({"segmentation": 7}, "polygons or run lengths"),
        ({}, "neither segmentation nor bbox"),
    ],
)
def test_an_annotation_of_coco_that_cannot_be_read(tmp_path, annotation, reason):
    data = {
        "images": [PLAIN],
        "categories": [{"id": 0, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 0, **annotation}],
    }
    images, left_out = read_some(write_json(tmp_path, data))
    assert images == []
    assert reason in left_out.sentence


def test_an_annotation_of_coco_without_its_image_is_counted(tmp_path):
    lost = {"image_id": 2, "category_id": 0, "bbox": [0, 0, 1, 1]}
    categories = [{"id": 0, "name": "cat"}]
    data = {"images": [PLAIN], "categories": categories, "annotations": [lost]}
    [image], left_out = read_some(write_json(tmp_path, data))
    assert (image.file_name, image.objects) == ("a.png", ())
    assert left_out.file_name == "image_id 2"


@pytest.mark.parametrize("number", [1, "one"])
def test_images_of_coco_whose_annotations_cannot_be_told_apart(tmp_path, number):
    other = {**PLAIN, "id": number, "file_name": "b.png"}
    data = {"images": [other, {**PLAIN, "id": number}], "annotations": [], "categories": []}
    left_out = Reasons()
    assert list(read_editor_file(write_json(tmp_path, data), left_out)) == []
    (group,) = left_out.list_common()
    assert (group.count, group.file_name) == (2, "a.png")
    assert "expected an id that no other image has" in group.sentence


def pack(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return base64.b64encode(zlib.compress(stream.getvalue())).decode()


def make_sample(*detections, **values):
    return {
        "filepath": "data/a.png",
        "metadata": {"width": WIDTH, "height": HEIGHT},
        "ground_truth": {"_cls": "Detections", "detections": list(detections)},
        **values,
    }


def make_detection(mask=None, box=(0.25, 0.25, 0.125, 0.125), **values):
    packed = None if mask is None else {"$binary": {"base64": pack(mask), "subType": "00"}}
    return {"label": "cat", "bounding_box": list(box), "mask": packed, **values}


def test_a_fiftyone_dataset(tmp_path):
    mask = np.zeros((30, 40), bool)
    mask[0, :] = mask[:, 0] = mask[29, 39] = True
    half = np.ones((15, 20), bool)
    samples = [
        make_sample(make_detection(mask, ovsam_key="k")),
        make_sample(make_detection(half)),
        make_sample(make_detection()),
        make_sample(make_detection(mask, box=(-0.0625, 0, 0.125, 0.125))),
        make_sample(),
    ]
    write_json(tmp_path, {"samples": samples}, "samples.json")
    images = read(tmp_path)
    drawn = draw_of(images[0])
    assert np.array_equal(drawn[60:90, 80:120], mask)
    assert drawn.sum() == mask.sum()
    assert images[0].objects[0].key == "k"
    assert draw_of(images[1]).sum() == draw_of(images[2]).sum() == 30 * 40
    assert np.array_equal(draw_of(images[3])[:30, :20], mask[:, 20:])
    assert images[4].objects == ()


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (make_sample(make_detection(np.zeros((4000, 4000)))), "larger than its image"),
        (make_sample({**make_detection(), "mask": "AAAA"}), "damaged"),
        (make_sample(make_detection(np.ones((2, 2, 3)))), "rows of pixels"),
        (make_sample(make_detection(np.array([[{}]], object))), "allow_pickle"),
        (make_sample(metadata=None), "compute_metadata"),
        (make_sample(make_detection(np.ones((2, 2)), box=(2, 2, 1, 1))), "no pixel|beyond"),
        (make_sample(predictions=make_sample()["ground_truth"]), "several fields"),
        (make_sample(make_detection(box=(0, 0, 1))), "unpack"),
    ],
)
def test_a_sample_that_cannot_be_read(tmp_path, sample, reason):
    _, left_out = read_some(write_json(tmp_path, {"samples": [sample]}))
    assert re.search(reason, left_out.sentence), left_out.sentence


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{}", "expected Label Studio's JSON"),
        (b'{"a": 1}', "expected Label Studio's JSON"),
        (b"[1]", 'expected the export "JSON" of Label Studio'),
        (b'[{"image": "a.jpg", "mask": []}]', "JSON-MIN"),
        (b'[{"data": 1}', "ends in the middle"),
        (b"\xff\xfe", "not UTF-8"),
        (b"", "ends in the middle"),
    ],
)
def test_what_is_nobodys_file(tmp_path, content, reason):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=reason):
        read(path)


def test_archives_and_folders_without_annotations(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DatasetError, match=r"no archive|zip file"):
        read(tmp_path / "x.zip")
    with pytest.raises(DatasetError, match="expected a file of cvat, got one of fiftyone"):
        read(write_json(tmp_path, {"samples": []}), "cvat")
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        archive.writestr("a.txt", "")
    with pytest.raises(ConfigError, match="one file of annotations"):
        read(tmp_path / "y.zip")
    with pytest.raises(DatasetError, match="cannot read"):
        read(tmp_path / "missing.json")
