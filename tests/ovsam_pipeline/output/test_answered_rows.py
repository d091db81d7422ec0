"""Answers on rows: the greatest overlap, one to one; what a person said is never lost."""

from reviewed_rows import (
    CATEGORIES,
    HEIGHT,
    IDS,
    WIDTH,
    answer,
    draw_mask,
    make_labelled,
    make_row,
    write_output,
)

from ovsam_pipeline.output.answered_rows import (
    apply_answers,
    read_corrections,
    replace_objects,
)
from ovsam_pipeline.output.folder import list_parts
from ovsam_pipeline.output.part_tables import iterate_tables
from ovsam_pipeline.output.reviews import CurrentAnswer, append_answers

BOX, NEAR_BOX, FAR_BOX = (0, 0, 20, 20), (2, 0, 20, 20), (30, 0, 20, 20)
MASK, NEAR, FAR = (draw_mask(*box) for box in (BOX, NEAR_BOX, FAR_BOX))


def answered(*objects, answers):
    """The objects of an image that has these answers."""
    row = make_row("a.jpg", *objects).to_row()
    return apply_answers(row, [CurrentAnswer(one, tuple(one.masks)) for one in answers], IDS)


def show(objects):
    return [(item["category"], item["segmentation"], item.get("reviewed_by")) for item in objects]


def test_each_kind_of_answer() -> None:
    item = make_labelled(BOX)
    assert show(answered(item, answers=[])) == [("cat", MASK, None)]
    accepted = answered(item, answers=[answer(reviewed=MASK)])
    assert show(accepted) == [("cat", MASK, "ann")]
    renamed = answered(item, answers=[answer(reviewed=MASK, category="cup")])
    assert show(renamed) == [("cup", MASK, "ann")]
    assert (renamed[0]["category_id"], renamed[0]["score"]) == (6, 0.5)
    assert renamed[0]["model_category"] == "cat"
    redrawn = answered(item, answers=[answer(reviewed=MASK, mask=NEAR)])
    assert show(redrawn) == [("cat", NEAR, "ann")]
    assert (redrawn[0]["bbox"], redrawn[0]["area"]) == ([2, 0, 20, 20], 400)
    assert answered(item, answers=[answer(reviewed=MASK, category=None)]) == []
    added = answered(item, answers=[answer(mask=FAR, category="dog")])
    assert show(added) == [("cat", MASK, None), ("dog", FAR, "ann")]
    assert (added[1]["score"], added[1]["detector_score"]) == (1.0, 1.0)


def test_the_object_of_greatest_overlap_is_meant_once() -> None:
    items = make_labelled(NEAR_BOX), make_labelled(BOX)
    assert show(answered(*items, answers=[answer(reviewed=MASK, category=None)])) == [
        ("cat", NEAR, None)
    ]
    both = [answer(reviewed=MASK, category="dog"), answer(reviewed=NEAR, category=None)]
    assert show(answered(*items, answers=both)) == [("dog", MASK, "ann")]


def test_what_is_not_found_any_more_is_still_exported() -> None:
    said = [
        answer(reviewed=MASK, category="dog", shown={"category": "cat", "score": 0.25}),
        answer(reviewed=NEAR, category=None),
    ]
    kept = answered(make_labelled(FAR_BOX), answers=said)
    assert show(kept) == [("cat", FAR, None), ("dog", MASK, "ann")]
    assert (kept[1]["score"], kept[1]["detector_score"]) == (0.25, 1.0)
    assert show(answered(answers=said)) == [("dog", MASK, "ann")]


def test_a_redrawn_object_is_found_by_its_new_shape_too() -> None:
    small = draw_mask(0, 0, 8, 8)
    said = [answer(reviewed=small, mask=MASK)]
    for box in (BOX, (0, 0, 8, 8)):
        assert show(answered(make_labelled(box), answers=said)) == [("cat", MASK, "ann")]


def test_of_two_objects_of_one_mask_the_one_that_was_shown_is_meant() -> None:
    items = make_labelled(BOX, "dog"), make_labelled(BOX, "cat")
    said = [answer(reviewed=MASK, category=None, shown={"category": "cat"})]
    assert show(answered(*items, answers=said)) == [("dog", MASK, None)]


def test_an_answer_on_an_image_of_another_size_is_not_applied() -> None:
    other = draw_mask(0, 0, 20, 20, size=(HEIGHT * 2, WIDTH * 2))
    said = [answer(reviewed=other, category=None), answer(mask=other)]
    assert show(answered(make_labelled(BOX), answers=said)) == [("cat", MASK, None)]


def test_an_answer_on_another_picture_of_the_same_name_is_not_applied() -> None:
    said = CurrentAnswer(answer(reviewed=MASK, category=None, phash=-1), (MASK,))
    row = make_row("a.jpg", make_labelled(BOX)).to_row()
    assert apply_answers({**row, "phash": -1 ^ 0xFF}, [said], IDS) == []
    assert len(apply_answers({**row, "phash": 0}, [said], IDS)) == 1
    assert apply_answers({**row, "phash": None}, [said], IDS) == []


def test_corrections_of_an_output(tmp_path) -> None:
    rows = [
        make_row("a.jpg", make_labelled(BOX), make_labelled(FAR_BOX), image_id=1),
        make_row("b.jpg", make_labelled(BOX), image_id=2),
        make_row("c.jpg", image_id=3),
        make_row("d.jpg", make_labelled(BOX), image_id=4),
    ]
    output = write_output(tmp_path, *rows)
    assert not read_corrections(output)
    assert read_corrections(output).categories == CATEGORIES
    said = [
        answer("a.jpg", "cup", reviewed=MASK),
        answer("d.jpg", None, reviewed=MASK),
        answer("c.jpg", "dog", mask=FAR),
        answer("gone.jpg", "dog", mask=FAR),
    ]
    append_answers(output, said)
    found = read_corrections(output)
    assert sorted(found.objects) == ["a.jpg", "c.jpg", "d.jpg"]
    assert found.categories == [*CATEGORIES, {"id": 6, "name": "cup"}]

    columns = ("file_name", "status", "objects.list.element.category")
    (table,) = iterate_tables(list_parts(output), columns)
    assert replace_objects(table, {}) is table
    replaced = replace_objects(table, found.objects)
    names = [[item["category"] for item in items] for items in replaced["objects"].to_pylist()]
    assert names == [["cup", "cat"], ["cat"], ["dog"], []]
    assert replaced["status"].to_pylist() == ["labelled", "labelled", "labelled", "empty"]
    people = [[item["reviewed_by"] for item in items] for items in replaced["objects"].to_pylist()]
    assert people == [["ann", None], [None], ["ann"], []]
    assert replaced["objects"].num_chunks == 1
    # Of a slice, whose lists do not begin at the first object.
    part = replace_objects(table.slice(1, 2), found.objects)
    assert [len(items) for items in part["objects"].to_pylist()] == [1, 1]
