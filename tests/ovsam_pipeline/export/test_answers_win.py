"""What people said wins in every export, also where it is all that there is of an image."""

import json

from reviewed_rows import answer, draw_mask, make_labelled, make_row, write_output

from ovsam_pipeline.export.coco import export_coco
from ovsam_pipeline.export.labels import LabelChoice, iterate_labelled, read_categories
from ovsam_pipeline.output.reviews import append_answers

BOX, OTHER = (0, 0, 20, 20), (30, 0, 20, 20)
MASK, NEW_MASK = draw_mask(*BOX), draw_mask(30, 20, 10, 10)


def make_output(folder):
    rows = [
        make_row("a.jpg", make_labelled(BOX), make_labelled(OTHER, "dog"), image_id=1),
        make_row("b.jpg", image_id=2),
        make_row("c.jpg", make_labelled(BOX), image_id=3),
        make_row("d.jpg", make_labelled(OTHER), image_id=4),
    ]
    return write_output(folder, *rows)


def review(output):
    said = [
        answer("a.jpg", "cup", reviewed=MASK),
        answer("b.jpg", "dog", mask=NEW_MASK),
        answer("c.jpg", None, reviewed=MASK),
        answer("gone.jpg", "cat", mask=MASK),
    ]
    append_answers(output, said)


def export(output, target):
    counts = export_coco(output, target)
    return counts, json.loads(target.read_text())


def test_answers_win_in_annotations_json(tmp_path) -> None:
    output = make_output(tmp_path)
    plain = export(output, tmp_path / "plain.json")[1]["annotations"]
    review(output)
    counts, found = export(output, tmp_path / "reviewed.json")
    assert counts.to_dict() | {"transient": 0} == {
        "images": 4, "labelled": 3, "empty": 1, "failed": 0, "objects": 4, "transient": 0,
    }  # fmt: skip
    assert [image["id"] for image in found["images"]] == [1, 2, 3, 4]
    assert found["categories"][-1] == {"id": 6, "name": "cup"}
    cup, dog, added, untouched = found["annotations"]
    assert cup == plain[0] | {"category_id": 6, "reviewed_by": "ann"}
    assert dog == plain[1]
    assert (added["id"], added["image_id"], added["category_id"]) == (3, 2, 5)
    assert added["segmentation"] == NEW_MASK
    assert (added["bbox"], added["area"], added["score"]) == ([30, 20, 10, 10], 100, 1.0)
    assert added["reviewed_by"] == "ann"
    assert untouched == plain[3] | {"id": 4}


def test_answers_win_row_by_row(tmp_path) -> None:
    output = make_output(tmp_path)
    review(output)

    def collect(**choice):
        images = iterate_labelled(output, LabelChoice(**choice), ("segmentation",))
        return {image.file_name: [item["category"] for item in image.objects] for image in images}

    assert collect() == {"a.jpg": ["cup", "dog"], "b.jpg": ["dog"], "c.jpg": [], "d.jpg": ["cat"]}
    assert collect(min_score=0.75) == {"a.jpg": ["cup"], "b.jpg": ["dog"], "c.jpg": [], "d.jpg": []}
    seen = {"a.jpg": ["cup"], "b.jpg": ["dog"], "c.jpg": []}
    assert collect(reviewed_only=True) == seen
    names = [category["name"] for category in read_categories(output, LabelChoice())]
    assert names == ["cat", "dog", "cup"]
    assert read_categories(output, LabelChoice(classes=("cup",))) == [{"id": 6, "name": "cup"}]
