"""`ovsam filter` from one output folder to another."""

import json

import pytest
from reviewed_rows import answer, draw_mask, make_labelled, make_row, write_output

from ovsam.errors import ConfigError
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.labels import LabelChoice, iterate_labelled
from ovsam_pipeline.labelling.filter_rules import FilterConfig
from ovsam_pipeline.output.answered_rows import read_corrections
from ovsam_pipeline.output.folder import iterate_rows, list_parts, read_run_file
from ovsam_pipeline.output.parts import read_part_index, write_part
from ovsam_pipeline.output.reviews import (
    REVIEWS_FILE,
    append_answers,
    read_answers,
    withdraw_answers,
)
from ovsam_pipeline.records import LabelRecord
from ovsam_pipeline.runs.filtering import run_filter

CAT, DOG = (5, 5, 10, 10), (30, 10, 12, 8)


@pytest.fixture
def source(tmp_path):
    """Two images with a cat and a dog, one without anything, one that failed."""
    rows = [
        make_row("a.jpg", make_labelled(CAT, score=0.75), make_labelled(DOG, "dog", score=0.25)),
        make_row("b.jpg", make_labelled(DOG, "dog", score=0.25), image_id=2),
        make_row("empty.jpg", image_id=3),
        LabelRecord(4, "bad.jpg", None, None, "failed", "damaged", identity="bad.jpg|1"),
    ]
    settings = {"sources": ["in"]}
    return write_output(
        tmp_path / "out", *rows, fingerprint="fingerprint", settings=settings, host="x"
    )


def read(output):
    rows = sorted(iterate_rows(output), key=lambda row: row["file_name"])
    return {row["file_name"]: [item["category"] for item in row["objects"]] for row in rows}


def run(source, target, on_existing="resume", **settings):
    return run_filter(source, target, FilterConfig(**settings), on_existing)


def test_a_filtered_output_is_one_of_the_ordinary_kind(source, tmp_path):
    result = run(source, tmp_path / "new", min_score=0.5)
    assert read(tmp_path / "new") == {"a.jpg": ["cat"], "b.jpg": [], "bad.jpg": [], "empty.jpg": []}
    totals = result.totals
    assert (totals.labelled, totals.empty, totals.failed, totals.objects) == (1, 2, 1, 1)
    assert (result.dropped, result.emptied) == ({"label score below --min-score": 2}, 1)
    coco = json.loads((tmp_path / "new" / "annotations.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == ["a.jpg", "b.jpg", "empty.jpg"]
    assert (tmp_path / "new" / "failures.jsonl").read_text().count("bad.jpg") == 1


def test_run_json_tells_what_was_filtered_and_keeps_how_that_was_made(source, tmp_path):
    run(source, tmp_path / "new", min_score=0.5)
    found = read_run_file(tmp_path / "new")
    assert (found["task"], found["state"]) == ("filter", "finished")
    assert found["filtered"]["output"] == str(source)
    assert found["filtered"]["fingerprint"] == "fingerprint"
    assert (found["model"], found["settings"]) == ({"name": "nano"}, {"sources": ["in"]})
    index = read_part_index(list_parts(tmp_path / "new")[0])
    assert index.fingerprint == found["fingerprint"] != "fingerprint"


def test_the_same_filter_again_writes_only_what_is_new(source, tmp_path):
    run(source, tmp_path / "new", min_score=0.5)
    (before,) = list_parts(tmp_path / "new")
    assert run(source, tmp_path / "new", min_score=0.5).unchanged == 4
    assert list_parts(tmp_path / "new") == [before]
    assert read_run_file(tmp_path / "new")["dropped_boxes"]
    write_part(source / "parts", [make_row("c.jpg", image_id=5)], "fingerprint")
    run(source, tmp_path / "new", min_score=0.5)
    assert list(read(tmp_path / "new")) == ["a.jpg", "b.jpg", "bad.jpg", "c.jpg", "empty.jpg"]


def test_rows_that_are_gone_from_the_old_output_go(source, tmp_path):
    run(source, tmp_path / "new", min_score=0.5)
    for part in list_parts(source):
        part.unlink()
    write_part(source / "parts", [make_row("c.jpg", image_id=5)], "fingerprint")
    run(source, tmp_path / "new", min_score=0.5)
    assert list(read(tmp_path / "new")) == ["c.jpg"]


def test_a_row_that_stands_twice_comes_out_once(source, tmp_path):
    write_part(source / "parts", [make_row("a.jpg"), make_row("z.jpg", image_id=9)], "fingerprint")
    run(source, tmp_path / "new", min_score=0.5)
    assert list(read(tmp_path / "new")) == ["a.jpg", "b.jpg", "bad.jpg", "empty.jpg", "z.jpg"]


@pytest.mark.parametrize(
    ("on_existing", "sentence"),
    [
        ("resume", r"was filtered with other settings: min_score \(0.5 before, 0.1 now\)"),
        ("error", "already holds results"),
    ],
)
def test_another_filter_into_the_same_output_is_refused(source, tmp_path, on_existing, sentence):
    run(source, tmp_path / "new", min_score=0.5)
    with pytest.raises(ConfigError, match=sentence):
        run(source, tmp_path / "new", on_existing, min_score=0.1)
    assert read(tmp_path / "new")["a.jpg"] == ["cat"]


def test_another_filter_may_overwrite(source, tmp_path):
    run(source, tmp_path / "new", min_score=0.5)
    run(source, tmp_path / "new", "overwrite", min_score=0.1)
    assert read(tmp_path / "new")["a.jpg"] == ["cat", "dog"]


def test_labels_are_never_overwritten_by_a_filter(source, tmp_path):
    labels = write_output(tmp_path / "labels", make_row("x.jpg"), fingerprint="other")
    with pytest.raises(ConfigError, match="holds results that ovsam filter did not make"):
        run(source, labels, "overwrite", min_score=0.5)
    assert list(read(labels)) == ["x.jpg"]


@pytest.mark.parametrize("place", ["out", "out/new", "."])
def test_an_output_that_is_not_apart_is_refused(source, tmp_path, place):
    with pytest.raises(ConfigError, match="is not apart from"):
        run(source, tmp_path / place, min_score=0.5)


def test_boxes_have_nothing_to_filter(tmp_path):
    boxes = write_output(tmp_path / "boxes", fingerprint="x", task="detect")
    with pytest.raises(ConfigError, match="holds boxes of ovsam detect and no labels"):
        run(boxes, tmp_path / "new", min_score=0.5)


def test_a_damaged_part_of_the_old_output_is_named_and_left_alone(source, tmp_path):
    (part,) = list_parts(source)
    part.write_bytes(part.read_bytes()[:-40])
    with pytest.raises(OutputError, match=rf"cannot filter .*: its part {part.name} is damaged"):
        run(source, tmp_path / "new", min_score=0.5)
    assert list_parts(source) == [part]
    assert read_run_file(tmp_path / "new")["state"] == "failed"


def test_a_filtered_output_can_be_filtered(source, tmp_path):
    run(source, tmp_path / "new", renames=("dog=wolf",))
    run(tmp_path / "new", tmp_path / "newer", classes=("wolf",))
    assert read(tmp_path / "newer")["a.jpg"] == ["wolf"]
    found = read_run_file(tmp_path / "newer")
    assert found["categories"] == [{"id": 5, "name": "wolf"}]
    assert found["filtered"]["filtered"]["output"] == str(source)


def test_answers_come_along_byte_for_byte_and_win(source, tmp_path):
    append_answers(source, [answer("b.jpg", "dog", reviewed=draw_mask(*DOG))])
    result = run(source, tmp_path / "new", min_score=0.5)
    assert result.answers == 1
    old, new = (place / REVIEWS_FILE for place in (source, tmp_path / "new"))
    assert new.read_bytes() == old.read_bytes()
    # The object scored too low for the filter; a person saw it all the same.
    (item,) = read_corrections(tmp_path / "new").objects["b.jpg"]
    assert item["category"] == "dog"
    assert run(source, tmp_path / "new", min_score=0.5).answers == 1


def test_renamed_classes_are_renamed_in_answers_too(source, tmp_path):
    shown = {"category": "dog", "score": 0.25}
    append_answers(source, [answer("b.jpg", "dog", reviewed=draw_mask(*DOG), shown=shown)])
    run(source, tmp_path / "new", renames=("dog=wolf",))
    (found,) = read_answers(tmp_path / "new")
    assert (found.category, found.verdict) == ("wolf", "accepted")
    assert read_answers(tmp_path / "new").extend_categories([{"id": 5, "name": "wolf"}]) == [
        {"id": 5, "name": "wolf"}
    ]


def test_what_was_taken_back_stays_so_under_new_names(source, tmp_path):
    given = answer("b.jpg", "dog", reviewed=draw_mask(*DOG), shown={"category": "dog"})
    other = answer("a.jpg", "cat", reviewed=draw_mask(*CAT))
    append_answers(source, [given, other])
    withdraw_answers(source, [given], "ann")
    result = run(source, tmp_path / "new", renames=("dog=wolf",))
    assert list(read_answers(tmp_path / "new")) == [other]
    assert result.answers == 1


def test_what_a_person_named_as_a_class_that_is_not_kept_does_not_come_out(source, tmp_path):
    dog = {"category": "dog"}
    said = [
        answer("a.jpg", "dog", reviewed=draw_mask(*CAT)),  # what is called a cat is a dog
        answer("b.jpg", "cat", reviewed=draw_mask(*DOG), shown=dog),  # and the other way round
        answer("a.jpg", "dog", reviewed=draw_mask(*DOG), shown=dog),
        answer("empty.jpg", "dog", draw_mask(*DOG)),
    ]
    append_answers(source, said)
    run(source, tmp_path / "new", classes=("cat",))
    found = {(one.file_name, one.category, one.verdict) for one in read_answers(tmp_path / "new")}
    assert found == {("a.jpg", None, "rejected"), ("b.jpg", "cat", "renamed")}
    # The row stays, so that it counts as a wrong one; no export shows it.
    assert read(tmp_path / "new")["a.jpg"] == ["cat"]
    corrected = read_corrections(tmp_path / "new").objects
    names = {file: [item["category"] for item in items] for file, items in corrected.items()}
    assert names == {"a.jpg": [], "b.jpg": ["cat"]}


def test_damaged_lines_of_answers_are_taken_along(source, tmp_path):
    (source / REVIEWS_FILE).write_bytes(b"{broken\n")
    run(source, tmp_path / "new", renames=("dog=wolf",))
    assert (tmp_path / "new" / REVIEWS_FILE).read_bytes() == b"{broken\n"


def test_parts_of_before_and_after_a_column_was_added_go_together(source, tmp_path):
    import pyarrow.parquet as pq

    write_part(source / "parts", [make_row("c.jpg", make_labelled(CAT), image_id=5)], "fingerprint")
    part = list_parts(source)[0]
    table = pq.read_table(part)
    pq.write_table(table.drop_columns(["phash", "warning"]), part)
    run(source, tmp_path / "new", min_score=0.5)
    assert read(tmp_path / "new")["c.jpg"] == ["cat"]
    images = iterate_labelled(tmp_path / "new", LabelChoice())
    assert sum(len(image.objects) for image in images) == 2


def test_a_filter_writes_to_a_store(source, s3):
    from ovsam_pipeline.storage.remote_path import parse_path

    target = parse_path(f"{s3.uri}/new")
    run(source, target, min_score=0.5)
    assert read(target)["a.jpg"] == ["cat"]
    assert run(source, target, min_score=0.5).unchanged == 4
    run(target, parse_path(f"{s3.uri}/newer"), classes=("cat",))
    assert read(parse_path(f"{s3.uri}/newer"))["a.jpg"] == ["cat"]
