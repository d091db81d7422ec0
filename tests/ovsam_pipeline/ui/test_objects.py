"""Objects of rows as pages draw them."""

import json

from reviewed_rows import answer, draw_mask, make_labelled

from ovsam_pipeline.export.drawing.colours import choose_class_number, choose_colour, to_hex
from ovsam_pipeline.output.reviews import CurrentAnswer
from ovsam_pipeline.records import BoxRecord
from ovsam_pipeline.ui.objects import draw_objects


def test_object_has_its_opinions_and_place():
    item = make_labelled((5, 6, 10, 20), score=0.30000001192, risk=float("nan")).to_row()
    [drawn] = draw_objects("a.jpg", [item], 1.0)
    assert (drawn["number"], drawn["category"], drawn["category_id"]) == (0, "cat", 1)
    assert drawn["bbox"] == [5, 6, 10, 20]
    assert (drawn["score"], drawn["risk"]) == (0.3, None)
    assert drawn["opinions"]["mask_score"] == 0.75
    assert drawn["path"].startswith("M")
    assert len(drawn["key"]) == 16
    assert (drawn["reviewed_by"], drawn["verdict"]) == (None, None)
    json.dumps(drawn, allow_nan=False)


def test_equal_masks_have_different_keys():
    one = make_labelled((5, 6, 10, 20)).to_row()
    first, second = draw_objects("a.jpg", [one, one], 1.0)
    assert first["key"] != second["key"]


def test_verdict_is_that_of_the_answer():
    mask = draw_mask(5, 6, 10, 20)
    said = answer(category="dog", reviewed=mask)
    item = make_labelled((5, 6, 10, 20), "dog").to_row() | {"reviewed_by": "ann"}
    [drawn] = draw_objects("a.jpg", [item], 1.0, [CurrentAnswer(said, (mask,))])
    assert (drawn["verdict"], drawn["reviewed_by"]) == ("renamed", "ann")


def test_boxes_have_no_path():
    box = BoxRecord((1.0, 2.0, 11.0, 22.0), 0.625, "cat", 7).to_row()
    nameless = BoxRecord((1.0, 2.0, 11.0, 22.0), 0.5).to_row()
    first, second = draw_objects("a.jpg", [box, nameless], 1.0)
    assert (first["path"], first["key"], first["category"]) == ("", "", "cat")
    assert (first["category_id"], first["score"]) == (7, 0.625)
    assert second["category"] == ""


def test_classes_without_ids_have_the_colours_of_previews():
    boxes = [BoxRecord((1.0, 2.0, 11.0, 22.0), 0.5, name).to_row() for name in ("cat", "dog", None)]
    colours = [drawn["colour"] for drawn in draw_objects("a.jpg", boxes, 1.0)]
    numbers = [choose_class_number(name, None) for name in ("cat", "dog", None)]
    assert colours == [to_hex(choose_colour(number)) for number in numbers]
    assert len(set(colours)) == 3


def test_damaged_mask_leaves_its_object():
    whole = make_labelled((5, 6, 10, 20)).to_row()
    damaged = whole | {"segmentation": {"size": [40, 60], "counts": "zz"}}
    first, second = draw_objects("a.jpg", [damaged, whole], 1.0)
    assert first["path"] == ""
    assert second["path"]
