"""The server of `ovsam view`: columns, rows, pictures, answers, comparisons."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from reviewed_rows import HEIGHT, WIDTH, answer, draw_mask, make_labelled, make_row, write_output
from starlette.testclient import TestClient

from ovsam_pipeline.output.parts import BOX_SCHEMA, write_part
from ovsam_pipeline.output.reviews import append_answers, read_answers
from ovsam_pipeline.records import BoxRecord, ImageRecord, LabelRecord
from ovsam_pipeline.storage.remote_path import parse_path
from ovsam_pipeline.ui.gallery.answers import Reviewer
from ovsam_pipeline.ui.gallery.compare import Comparison
from ovsam_pipeline.ui.gallery.opened import OpenedOutput
from ovsam_pipeline.ui.gallery.routes import build_gallery_routes
from ovsam_pipeline.ui.security import Security
from ovsam_pipeline.ui.server import build_app

HOSTILE = "<img src=x onerror=alert(1)>\n\u202e</script>.jpg"
TYPES = {"u8": np.uint8, "u32": np.uint32, "i32": np.int32, "f32": np.float32}


class Page:
    """What the page of a gallery asks for."""

    def __init__(self, opened, reviewer=None, comparison=None):
        start, routes = build_gallery_routes(opened, reviewer, comparison)
        self.start = start
        security = Security.create()
        self.client = TestClient(
            build_app(start, routes, security), base_url=f"http://127.0.0.1/{security.token}/"
        )

    def get(self, path, status=200):
        found = self.client.get(path)
        assert found.status_code == status, found.text
        return found

    def images(self, *rows):
        return self.get(f"api/images?rows={','.join(map(str, rows))}").json()

    def index(self):
        data = self.get("api/index").content
        length = int.from_bytes(data[:4], "little")
        header = json.loads(data[4 : 4 + length])
        start = (4 + length + 7) // 8 * 8
        columns = {}
        for name, place in header["columns"].items():
            assert place["offset"] % 8 == 0
            columns[name] = np.frombuffer(
                data, TYPES[place["type"]], place["length"], start + place["offset"]
            )
        return columns, header["errors"]

    def answer(self, status=200, **said):
        found = self.client.post("api/answers", json=said)
        assert found.status_code == status, found.text
        return found.json()


def open_page(output, by="ann", **values):
    opened = OpenedOutput(output, **values)
    return Page(opened, Reviewer(opened, by))


def write_rows(folder, name, *rows):
    """A further part of an output."""
    return write_part(folder / "parts", rows, name)


CAT = make_labelled((5, 6, 10, 20), risk=0.25, detector_margin=0.5)
DOG = make_labelled((30, 6, 10, 20), "dog", risk=0.75, detector_margin=0.0)


@pytest.fixture
def output(tmp_path):
    failed = LabelRecord(3, "c.jpg", None, None, "failed", "file is empty (0 bytes)", identity="c")
    return write_output(
        tmp_path / "out", make_row("a.jpg", CAT, DOG), make_row("b.jpg", image_id=2), failed
    )


def test_index_has_every_image_and_object(output):
    page = open_page(output)
    columns, errors = page.index()
    assert columns["status"].tolist() == [0, 1, 2]
    assert errors == ["file is empty (0 bytes)"]
    assert columns["error"].tolist() == [2**32 - 1, 2**32 - 1, 0]
    assert columns["first_object"].tolist() == [0, 2, 2, 2]
    assert columns["width"].tolist() == [WIDTH, WIDTH, 0]
    names = [one["name"] for one in page.start()["categories"]]
    assert [names[number] for number in columns["category"]] == ["cat", "dog"]
    assert columns["risk"].tolist() == [0.25, 0.75]
    assert columns["flags"].tolist() == [2, 0]
    assert columns["verdict"].tolist() == [0, 0]
    assert page.get("api/names").json() == ["a.jpg", "b.jpg", "c.jpg"]


def test_start_counts(output):
    start = open_page(output).start()
    assert (start["kind"], start["images"], start["objects"]) == ("gallery", 3, 2)
    assert (start["can_answer"], start["is_boxes"], start["compare"]) == (True, False, None)


def test_images_come_as_asked(output):
    last, first = open_page(output).images(2, 0)
    assert (last["row"], last["status"], last["objects"]) == (2, "failed", [])
    assert last["error"] == "file is empty (0 bytes)"
    assert [item["category"] for item in first["objects"]] == ["cat", "dog"]


@pytest.mark.parametrize(
    "path", ["api/images?rows=3", "thumbnail/3", "picture/99999999999999999999"]
)
def test_row_that_is_none_is_told(output, path):
    assert "no row" in open_page(output).get(path, 404).json()["error"]


@pytest.mark.parametrize(
    "query", ["rows=-1", "rows=a", f"rows={','.join('0' * 51)}", "rows=0&side=0", "rows=0&side=x"]
)
def test_queries_are_checked(output, query):
    assert "expected" in open_page(output).get(f"api/images?{query}", 400).json()["error"]


def test_accept_reject_and_rename_reach_the_file_and_the_columns(output):
    page = open_page(output)
    cat, dog = page.images(0)[0]["objects"]
    found = page.answer(row=0, number=0, key=cat["key"], verdict="accepted")
    assert found["objects"][0]["verdict"] == "accepted"
    assert found["objects"][0]["reviewed_by"] == "ann"
    found = page.answer(row=0, number=1, key=dog["key"], verdict="renamed", category=" new name ")
    assert [item["category"] for item in found["objects"]] == ["cat", "new name"]
    assert found["counts"] == {"images": 3, "objects": 2, "seen": 2}
    columns, _ = page.index()
    assert columns["verdict"].tolist() == [1, 2]
    assert columns["flags"].tolist() == [3, 1]
    names = [one["name"] for one in page.start()["categories"]]
    assert names[columns["category"][1]] == "new name"
    found = page.answer(row=0, number=0, key=cat["key"], verdict="rejected")
    assert [item["category"] for item in found["objects"]] == ["new name"]
    assert page.index()[0]["first_object"].tolist() == [0, 1, 1, 1]
    answers = list(read_answers(output))
    assert [(one.verdict, one.by) for one in answers] == [("renamed", "ann"), ("rejected", "ann")]
    assert answers[0].shown["category"] == "dog"


def test_last_object_rejected_leaves_an_empty_image(tmp_path):
    page = open_page(write_output(tmp_path / "out", make_row("a.jpg", CAT)))
    key = page.images(0)[0]["objects"][0]["key"]
    found = page.answer(row=0, number=0, key=key, verdict="rejected")
    assert (found["status"], found["objects"]) == ("empty", [])
    assert page.index()[0]["status"].tolist() == [1]


def test_end_says_how_many_answers_there_are_and_what_comes_next(output):
    opened = OpenedOutput(output)
    reviewer = Reviewer(opened, "ann")
    page = Page(opened, reviewer)
    assert reviewer.describe() == [f"no answers were given; {output} is as it was"]
    key = page.images(0)[0]["objects"][0]["key"]
    page.answer(row=0, number=0, key=key, verdict="accepted")
    told = reviewer.describe()
    assert told[0] == f"1 answer is new in {output}/reviews.jsonl"
    assert told[1].startswith(f"next: ovsam export {output} --format yolo")


def test_answer_on_what_somebody_changed_is_a_conflict(output):
    page = open_page(output)
    key = page.images(0)[0]["objects"][0]["key"]
    gone = answer(category=None, reviewed=draw_mask(5, 6, 10, 20), by="bob")
    append_answers(output, [gone])
    said = page.answer(409, row=0, number=0, key=key, verdict="accepted")
    assert "not as it was shown" in said["error"]
    assert len(list(read_answers(output))) == 1


@pytest.mark.parametrize(
    "said",
    [
        [],
        {"row": "0", "key": "k", "verdict": "accepted"},
        {"row": True, "key": "k", "verdict": "accepted"},
        {"row": 9, "key": "k", "verdict": "accepted"},
        {"row": 0, "key": "", "verdict": "accepted"},
        {"row": 0, "key": "k", "verdict": "redrawn"},
        {"row": 0, "key": "k", "verdict": "renamed"},
        {"row": 0, "key": "k", "verdict": "renamed", "category": " \n "},
        {"row": 0, "key": "k", "verdict": "renamed", "category": "a\nb"},
        {"row": 0, "key": "k", "verdict": "renamed", "category": "a\u202eb"},
        {"row": 0, "key": "k", "verdict": "renamed", "category": "\0"},
    ],
)
def test_answers_are_checked(output, said):
    page = open_page(output)
    found = page.client.post("api/answers", json=said)
    assert (found.status_code, "expected" in found.json()["error"]) == (400, True)
    assert not (output / "reviews.jsonl").exists()


def withdraw(page, status=200, **said):
    found = page.client.post("api/withdraw", json=said)
    assert found.status_code == status, found.text
    return found.json()


def test_answers_are_taken_back_one_after_the_other(output):
    page = open_page(output)
    key = page.images(0)[0]["objects"][1]["key"]
    renamed = page.answer(row=0, number=1, key=key, verdict="renamed", category="hippo")
    rejected = page.answer(row=0, number=1, key=key, verdict="rejected")
    [gone] = rejected["rejected"]
    assert (gone["category"], gone["key"], gone["risk"]) == ("hippo", rejected["answer"], 0.75)
    assert "not the last one" in withdraw(page, 409, row=0, answer=renamed["answer"])["error"]
    found = withdraw(page, row=0, answer=rejected["answer"])
    assert [item["category"] for item in found["objects"]] == ["cat", "hippo"]
    assert found["rejected"] == []
    found = withdraw(page, row=0, answer=renamed["answer"])
    assert [item["category"] for item in found["objects"]] == ["cat", "dog"]
    assert (found["objects"][1]["verdict"], found["counts"]["seen"]) == (None, 0)
    assert page.index()[0]["verdict"].tolist() == [0, 0]
    assert "took it back" in withdraw(page, 409, row=0, answer=renamed["answer"])["error"]
    # The class that nobody gives any more is not in what is read anew.
    assert len(open_page(output).start()["categories"]) == 2


def test_what_was_rejected_in_earlier_sessions_is_restored(output):
    for by in ("ann", "bob"):
        gone = answer(category=None, reviewed=draw_mask(5, 6, 10, 20), by=by)
        append_answers(output, [gone])
    page = open_page(output)
    [image] = page.images(0)
    [gone] = image["rejected"]
    assert (gone["category"], gone["verdict"], gone["bbox"]) == ("cat", "rejected", [5, 6, 10, 20])
    assert gone["path"]
    found = withdraw(page, row=0, answer=gone["key"])
    assert [item["category"] for item in found["objects"]] == ["cat", "dog"]
    assert found["rejected"] == []


def test_an_added_object_that_was_rejected_is_restored(output):
    mask = draw_mask(0, 30, 8, 8)
    append_answers(output, [answer(category="cup", mask=mask)])
    gone = answer(category=None, reviewed=mask, shown={"category": "cup"})
    # Nothing is there that this could be restored to.
    other = answer(category=None, reviewed=draw_mask(50, 30, 8, 8), shown={"category": "cup"})
    append_answers(output, [gone, other])
    page = open_page(output)
    [rejected] = page.images(0)[0]["rejected"]
    found = withdraw(page, row=0, answer=rejected["key"])
    assert [item["category"] for item in found["objects"]] == ["cat", "dog", "cup"]


def test_an_answer_that_was_there_already_has_no_id(output):
    page = open_page(output)
    given = {"row": 0, "number": 0, "key": page.images(0)[0]["objects"][0]["key"]}
    assert page.answer(**given, verdict="accepted")["answer"]
    assert page.answer(**given, verdict="accepted")["answer"] is None


@pytest.mark.parametrize(
    "said", [[], {"row": 0}, {"row": "0", "answer": "x"}, {"row": 9, "answer": "x"}]
)
def test_withdrawals_are_checked(output, said):
    page = open_page(output)
    found = page.client.post("api/withdraw", json=said)
    assert (found.status_code, "expected" in found.json()["error"]) == (400, True)


def test_nobody_answers_where_nothing_may_be_written(output):
    page = Page(OpenedOutput(output))
    assert page.start()["can_answer"] is False
    assert page.client.post("api/answers", json={}).status_code == 404
    assert page.client.post("api/withdraw", json={}).status_code == 404


def test_rows_and_answers_that_come_later_are_found(output):
    page = open_page(output)
    assert page.get("api/refresh").json()["changed"] is False
    write_rows(output, "later", make_row("d.jpg", CAT, image_id=4))
    append_answers(output, [answer(reviewed=draw_mask(5, 6, 10, 20), by="bob")])
    assert page.get("api/refresh").json() == {
        "changed": True, "images": 4, "objects": 3, "seen": 1,
    }  # fmt: skip
    assert [image["file_name"] for image in page.images(0, 3)] == ["a.jpg", "d.jpg"]


def test_damaged_part_is_named_and_left_out(output):
    part = write_rows(output, "other", make_row("d.jpg", CAT, image_id=4))
    part.write_bytes(part.read_bytes()[:-40])
    page = open_page(output)
    start = page.start()
    assert (start["images"], list(start["damaged"])) == (3, [part.name])
    assert "is damaged" in start["damaged"][part.name]


def test_part_that_breaks_meanwhile_leaves_the_other_images(output):
    part = write_rows(output, "other", make_row("d.jpg", CAT, image_id=4))
    page = open_page(output)
    row = page.get("api/names").json().index("d.jpg")
    part.write_bytes(b"x")
    images = page.images(0, 1, 2, 3)
    [broken] = [image for image in images if image["row"] == row]
    assert (broken["file_name"], broken["status"], broken["objects"]) == ("d.jpg", "failed", [])
    assert "is damaged" in broken["error"]
    assert sum(len(image["objects"]) for image in images) == 2


def test_parts_of_earlier_versions_lack_columns(output):
    [part] = (output / "parts").iterdir()
    table = pq.read_table(part)
    items = table["objects"].combine_chunks()
    names = [n for n in items.type.value_type.names if n not in ("risk", "reason", "clip_score")]
    rows = [
        [{name: item[name] for name in names} for item in objects or ()]
        for objects in items.to_pylist()
    ]
    place = table.column_names.index("objects")
    kind = items.type.value_type
    narrow = pa.list_(pa.struct([kind.field(name) for name in names]))
    old = table.set_column(place, "objects", pa.array(rows, narrow)).drop_columns(["warning"])
    pq.write_table(old, part)
    page = open_page(output)
    assert (page.index()[0]["risk"] > 0).all()
    assert page.images(0)[0]["objects"][0]["opinions"]["clip_score"] is None


def test_boxes_have_classes_but_no_risk(tmp_path):
    output = write_output(tmp_path / "out", task="detect", categories=[])
    box = BoxRecord((1.0, 2.0, 11.0, 22.0), 0.625, "cat", 7)
    image = ImageRecord(1, "a.jpg", Path("a.jpg"))
    row = LabelRecord.labelled(image, WIDTH, HEIGHT, (box,))
    write_part(output / "parts", [row], "fingerprint", BOX_SCHEMA)
    page = Page(OpenedOutput(output))
    start, (columns, _) = page.start(), page.index()
    assert (start["is_boxes"], start["categories"][0]["id"]) == (True, 7)
    assert (columns["score"].tolist(), np.isnan(columns["risk"]).all()) == ([0.625], True)
    [drawn] = page.images(0)[0]["objects"]
    assert (drawn["category"], drawn["path"], drawn["bbox"]) == ("cat", "", [1, 2, 10, 20])


@pytest.mark.parametrize("rows", [(), (make_row("a.jpg"),)])
def test_output_without_objects(tmp_path, rows):
    output = write_output(tmp_path / "out", *rows)
    (output / "parts").mkdir(exist_ok=True)
    page = open_page(output)
    assert (page.start()["images"], page.start()["objects"]) == (len(rows), 0)
    assert len(page.index()[0]["status"]) == len(rows)


def test_pictures_come_from_where_the_rows_were_made(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (WIDTH, HEIGHT), "red").save(folder / "a.jpg")
    image = ImageRecord(1, "a.jpg", folder / "a.jpg", source=str(folder))
    gone = ImageRecord(2, "gone.jpg", folder / "gone.jpg", source=str(folder))
    rows = [LabelRecord.labelled(one, WIDTH, HEIGHT, (CAT,)) for one in (image, gone)]
    settings = {"sources": [str(folder)]}
    output = write_output(tmp_path / "out", *rows, settings=settings)
    page = open_page(output)
    found = page.get("thumbnail/0?side=30")
    assert found.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(found.content)).size == (30, 20)
    assert "gone" in page.get("thumbnail/1", 404).json()["error"]
    folder.rename(tmp_path / "moved")
    assert "--source NEW_PLACE" in open_page(output).get("picture/0", 404).json()["error"]
    assert open_page(output, sources=(str(tmp_path / "moved"),)).get("picture/0").content


def test_names_of_files_are_only_text(tmp_path):
    page = open_page(write_output(tmp_path / "out", make_row(HOSTILE, CAT)))
    assert page.get("api/names").json() == [HOSTILE]
    assert page.images(0)[0]["file_name"] == HOSTILE
    assert "<img" not in page.get("").text


def test_comparison_counts_what_differs(tmp_path, output):
    other = write_output(
        tmp_path / "other",
        make_row("a.jpg", make_labelled((6, 6, 10, 20), "dog"), make_labelled((5, 30, 5, 5))),
    )
    opened = OpenedOutput(output)
    page = Page(opened, None, Comparison(opened, OpenedOutput(other)))
    assert page.start()["compare"]["output"] == str(other)
    difference = page.index()[0]["difference"]
    # The cat is a dog there, the dog is gone, and another cat has come.
    assert difference[0] == 3
    assert np.isnan(difference[1:]).all()
    first, second = page.images(0, 1)
    assert [item["differs"] for item in first["objects"]] == [True, True]
    assert [item["differs"] for item in first["other_objects"]] == [True, True]
    assert second["other_objects"] is None


def test_equal_outputs_do_not_differ(output):
    opened = OpenedOutput(output)
    page = Page(opened, None, Comparison(opened, OpenedOutput(output)))
    assert page.index()[0]["difference"].tolist() == [0, 0, 0]
    assert [item["differs"] for item in page.images(0)[0]["objects"]] == [False, False]


def test_output_on_a_store(s3, output):
    for path in output.rglob("*.*"):
        s3.put(f"out/{path.relative_to(output)}", path.read_bytes())
    remote = parse_path(f"{s3.uri}/out")
    page = open_page(remote)
    assert page.index()[0]["first_object"].tolist() == [0, 2, 2, 2]
    key = page.images(0)[0]["objects"][0]["key"]
    page.answer(row=0, number=0, key=key, verdict="accepted")
    assert [(one.verdict, one.by) for one in read_answers(remote)] == [("accepted", "ann")]


def test_comparison_follows_answers_and_new_rows(output, monkeypatch):
    write_rows(output, "more", make_row("d.jpg", CAT, image_id=4))
    opened = OpenedOutput(output)
    comparison = Comparison(opened, OpenedOutput(output))
    page = Page(opened, Reviewer(opened, "ann"), comparison)
    assert page.index()[0]["difference"].tolist() == [0, 0, 0, 0]
    compared = []
    compare = comparison._compare
    monkeypatch.setattr(
        comparison, "_compare", lambda pairs: compared.extend(pairs) or compare(pairs)
    )
    row = page.get("api/names").json().index("a.jpg")
    key = page.images(row)[0]["objects"][0]["key"]
    page.answer(row=row, number=0, key=key, verdict="renamed", category="dog")
    compared.clear()
    assert page.index()[0]["difference"][row] == 1
    # The part of the other image is as it was.
    assert sorted(one.file_name for one, _ in compared) == ["a.jpg", "b.jpg", "c.jpg"]


def change_part(output, change):
    """Rewrite the rows of the only part of an output, given as dicts; its footer stays."""
    [part] = (output / "parts").iterdir()
    table = pq.read_table(part)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), part)


@pytest.mark.parametrize(
    "values",
    [
        {"bbox": None},
        {"segmentation": None},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": None}},
        {"segmentation": {"size": None, "counts": "abc"}},
    ],
)
def test_damaged_row_is_told_and_spares_the_others(output, values):
    change_part(output, lambda rows: rows[0]["objects"][0].update(values))
    first, second = open_page(output).images(0, 1)
    assert (first["status"], first["objects"]) == ("failed", [])
    assert "its row is damaged" in first["error"]
    assert second["status"] == "empty"


@pytest.mark.parametrize(
    "mask",
    [
        {"size": [HEIGHT, WIDTH], "counts": "zz"},
        {"size": [2_000_000_000, 2_000_000_000], "counts": "0PPPPPPP1"},
        {"size": [-1, -1], "counts": "1"},
    ],
)
def test_damaged_mask_is_a_box_also_where_it_was_answered(output, mask):
    append_answers(output, [answer(reviewed=draw_mask(5, 6, 10, 20))])
    change_part(output, lambda rows: rows[0]["objects"][0].update(segmentation=mask))
    page = open_page(output)
    broken, dog, added = page.images(0)[0]["objects"]
    assert (broken["path"], broken["bbox"]) == ("", [5, 6, 10, 20])
    assert dog["path"]
    # The answer's object is not there any more: it is one of its own.
    assert added["verdict"] == "accepted"


def test_rows_of_unknown_kinds_count_as_failed(output):
    change_part(output, lambda rows: rows[1].update(status="new kind"))
    assert open_page(output).index()[0]["status"].tolist() == [0, 2, 2]


def test_part_with_a_nameless_image_is_left_out(output):
    change_part(output, lambda rows: rows[1].update(file_name=None))
    start = open_page(output).start()
    assert (start["images"], len(start["damaged"])) == (0, 1)


def test_first_pictures_are_those_of_the_riskiest_images(tmp_path, monkeypatch):
    objects = [make_labelled((5, 6, 10, 20), risk=n / 100) for n in range(60)]
    rows = [make_row(f"{n:02}.jpg", one, image_id=n) for n, one in enumerate(objects)]
    opened = OpenedOutput(write_output(tmp_path / "out", *rows))
    asked = []
    monkeypatch.setattr(opened, "get_picture", lambda row, side: asked.append(row))
    opened.warm_up()
    names = opened.snapshot.list_names()
    assert [names[row] for row in asked] == [f"{n:02}.jpg" for n in range(59, 19, -1)]
