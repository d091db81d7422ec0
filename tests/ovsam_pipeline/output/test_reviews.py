"""reviews.jsonl: it only grows, each answer is there once, and the last one on a region counts."""

import json
import multiprocessing
import os
import signal
import threading
import time

import pytest
from reviewed_rows import answer, draw_mask

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.output import growing_file, reviews
from ovsam_pipeline.output.reviews import (
    REVIEWS_FILE,
    append_answers,
    carry_answers,
    read_answers,
    read_line,
    withdraw_answers,
)
from ovsam_pipeline.storage.conditional import UnsupportedError
from ovsam_pipeline.storage.remote_path import parse_path

LEFT, RIGHT = draw_mask(0, 0, 20, 20), draw_mask(30, 0, 20, 20)
NEAR_LEFT = draw_mask(1, 0, 20, 20)


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (answer(reviewed=LEFT), "accepted"),
        (answer(reviewed=LEFT, category="dog"), "renamed"),
        (answer(reviewed=LEFT, mask=NEAR_LEFT), "redrawn"),
        (answer(reviewed=LEFT, mask=NEAR_LEFT, category="dog"), "renamed"),
        (answer(reviewed=LEFT, category=None), "rejected"),
        (answer(mask=LEFT), "added"),
    ],
)
def test_answers_come_back_as_written(tmp_path, given, verdict) -> None:
    assert append_answers(tmp_path, [given]) == 1
    assert list(read_answers(tmp_path)) == [given]
    assert given.verdict == verdict


def test_an_answer_says_something() -> None:
    with pytest.raises(ValueError, match="a name and a mask, or neither"):
        answer(category="cat")
    with pytest.raises(ValueError, match="the mask that was reviewed"):
        answer(category=None)


def test_the_last_answer_on_a_region_counts(tmp_path) -> None:
    first, other = answer(reviewed=LEFT, category="dog"), answer(reviewed=RIGHT)
    # What was renamed is shown by its new name from then on.
    last = answer(reviewed=NEAR_LEFT, category=None, shown={"category": "dog"}, by="bob")
    append_answers(tmp_path, [first, other])
    append_answers(tmp_path, [last])
    answers = read_answers(tmp_path)
    assert [one.answer for one in answers.of("a.jpg")] == [other, last]
    assert answers.of("a.jpg")[1].masks == (NEAR_LEFT, LEFT)
    assert answers.lines == 3
    assert answers.of("b.jpg") == ()


def test_an_object_that_was_renamed_twice_is_known_by_its_first_name(tmp_path) -> None:
    names = [("cat", "dog"), ("dog", "cup"), ("cat", "cat")]
    for shown, category in names:
        given = answer(category=category, reviewed=LEFT, shown={"category": shown})
        append_answers(tmp_path, [given])
    (current,) = read_answers(tmp_path).of("a.jpg")
    assert current.answer.category == "cat"
    assert current.names == {"cat", "dog", "cup"}


def test_two_objects_of_one_mask_are_told_apart_by_name(tmp_path) -> None:
    person = answer(reviewed=LEFT, category="dog", shown={"category": "dog"})
    jacket = answer(reviewed=LEFT, category=None, shown={"category": "cat"})
    append_answers(tmp_path, [person, jacket])
    assert list(read_answers(tmp_path)) == [person, jacket]


def test_the_same_answer_is_added_once(tmp_path) -> None:
    given = [answer(reviewed=LEFT), answer(reviewed=RIGHT)]
    assert append_answers(tmp_path, given) == 2
    content = (tmp_path / REVIEWS_FILE).read_bytes()
    later = [answer(reviewed=LEFT, at="2027-01-01T00:00:00+00:00"), *given]
    assert append_answers(tmp_path, later) == 0
    assert (tmp_path / REVIEWS_FILE).read_bytes() == content
    assert append_answers(tmp_path, [answer(reviewed=LEFT, by="bob")]) == 1


def test_an_old_file_that_is_imported_again_does_not_undo_a_later_one(tmp_path) -> None:
    old = answer(reviewed=LEFT, source="file 1")
    new = answer(reviewed=LEFT, category=None, source="file 2")
    append_answers(tmp_path, [old])
    append_answers(tmp_path, [new])
    assert append_answers(tmp_path, [old]) == 0
    assert list(read_answers(tmp_path)) == [new]
    # A person who changes their mind again says so in another file.
    assert append_answers(tmp_path, [answer(reviewed=LEFT, source="file 3")]) == 1


DAMAGED = {
    b"{torn": "Expecting property name",
    b"[1, 2]": "expected an object",
    b'{"file_name": "a.jpg"}': "expected by as text, got None",
    b'{"file_name": 3, "by": "x", "at": "y"}': "expected file_name as text",
    json.dumps(vars(answer(reviewed=LEFT)) | {"category": ""}).encode(): "empty text",
    json.dumps(
        vars(answer(reviewed=LEFT)) | {"reviewed": {"size": [4, 4], "counts": "zzzz"}}
    ).encode(): "its mask is damaged",
    json.dumps(
        vars(answer(reviewed=LEFT)) | {"reviewed": {"size": [10**30, 4], "counts": "0"}}
    ).encode(): "expected a mask with its size",
    b"[" * 200_000: "nested more than",
    b'{"file_name": "\xff"}': "codec can't decode",
}


@pytest.mark.parametrize(("line", "sentence"), DAMAGED.items())
def test_a_damaged_line_is_named_and_stays(tmp_path, caplog, line, sentence) -> None:
    path = tmp_path / REVIEWS_FILE
    append_answers(tmp_path, [answer(reviewed=LEFT)])
    path.write_bytes(path.read_bytes() + line)  # and no end of the line
    append_answers(tmp_path, [answer(reviewed=RIGHT)])
    answers = read_answers(tmp_path)
    assert list(answers) == [answer(reviewed=LEFT), answer(reviewed=RIGHT)]
    assert answers.damaged == 1
    read_answers(tmp_path)  # a command reads them several times
    assert caplog.text.count(f"line 2 of {path} is left out") == 1
    assert sentence in caplog.text
    assert line in path.read_bytes().split(b"\n")


def test_new_names_get_ids_after_all_others_that_stay(tmp_path) -> None:
    append_answers(tmp_path, [answer(mask=LEFT, category="zebra"), answer(mask=RIGHT)])
    categories = [{"id": 7, "name": "cat"}, {"id": 90, "name": "dog"}]
    more = [*categories, {"id": 91, "name": "zebra"}]
    assert read_answers(tmp_path).extend_categories(categories) == more
    append_answers(tmp_path, [answer("b.jpg", mask=LEFT, category="ant")])
    more.append({"id": 92, "name": "ant"})
    assert read_answers(tmp_path).extend_categories(categories) == more


def test_answers_travel_byte_for_byte(tmp_path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    carry_answers(old, new)
    assert not (new / REVIEWS_FILE).exists()
    append_answers(old, [answer(reviewed=LEFT), answer(reviewed=RIGHT)])
    carry_answers(old, new)
    assert (new / REVIEWS_FILE).read_bytes() == (old / REVIEWS_FILE).read_bytes()
    carry_answers(old, new)
    assert (new / REVIEWS_FILE).read_bytes() == (old / REVIEWS_FILE).read_bytes()
    append_answers(old, [answer("b.jpg", reviewed=LEFT)])
    carry_answers(old, new)
    assert (new / REVIEWS_FILE).read_bytes() == (old / REVIEWS_FILE).read_bytes()


def test_a_folder_in_its_place_is_a_sentence(tmp_path) -> None:
    (tmp_path / REVIEWS_FILE).mkdir()
    with pytest.raises(OutputError, match=r"cannot read .*: Is a directory"):
        read_answers(tmp_path)


def _add_many(folder, person: str, count: int) -> None:
    for number in range(count):
        append_answers(folder, [answer(f"{number}.jpg", reviewed=LEFT, by=person)])


def test_imports_at_once_lose_nothing(tmp_path) -> None:
    context = multiprocessing.get_context("fork")
    people = ("ann", "bob", "eve")
    workers = [context.Process(target=_add_many, args=(tmp_path, who, 10)) for who in people]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lines = (tmp_path / REVIEWS_FILE).read_bytes().splitlines()
    said = sorted((found.file_name, found.by) for found in map(read_line, lines))
    assert said == sorted((f"{number}.jpg", who) for who in people for number in range(10))


def test_a_killed_import_leaves_whole_lines(tmp_path) -> None:
    append_answers(tmp_path, [answer(reviewed=LEFT)])
    context = multiprocessing.get_context("fork")
    for delay_ms in (5, 15, 30):
        worker = context.Process(target=_add_many, args=(tmp_path, f"{delay_ms}", 10_000))
        worker.start()
        time.sleep(delay_ms / 1000)
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        answers = read_answers(tmp_path)
        assert answers.damaged == 0
        assert answers.lines >= 1
    assert append_answers(tmp_path, [answer(reviewed=RIGHT)]) == 1


def test_answers_on_a_store(tmp_path) -> None:
    output = parse_path("memory://bucket/labels")
    given = [answer(reviewed=LEFT), answer(reviewed=RIGHT)]
    assert append_answers(output, given) == 2
    assert append_answers(output, given) == 0
    assert append_answers(output, [answer("b.jpg", reviewed=LEFT)]) == 1
    assert list(read_answers(output)) == [*given, answer("b.jpg", reviewed=LEFT)]
    (output / REVIEWS_FILE).unlink()


@pytest.mark.parametrize("knows_conditions", [True, False])
def test_imports_at_once_on_s3(s3, monkeypatch, knows_conditions) -> None:
    if not knows_conditions:
        monkeypatch.setattr(growing_file, "ConditionalObject", _refuse_conditions)
    output = parse_path(f"{s3.uri}/{knows_conditions}")
    people = ("ann", "bob") if knows_conditions else ("ann",)
    workers = [threading.Thread(target=_add_many, args=(output, who, 3)) for who in people]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    said = sorted((found.file_name, found.by) for found in read_answers(output))
    # Of two who say the same of an object the last one counts; both are in the file.
    assert [name for name, _ in said] == ["0.jpg", "1.jpg", "2.jpg"]
    assert read_answers(output).lines == 3 * len(people)


def _refuse_conditions(path):
    raise UnsupportedError(f"no conditions for {path}")


def test_file_that_grows_is_understood_as_one_that_is_read_at_once(tmp_path, monkeypatch):
    said = [
        answer("a.jpg", reviewed=draw_mask(5, 6, 10, 20)),
        answer("b.jpg", "dog", reviewed=draw_mask(5, 6, 10, 20)),
        answer("a.jpg", None, reviewed=draw_mask(5, 6, 10, 20), by="bob"),
        answer("a.jpg", "cup", draw_mask(30, 6, 10, 20)),
    ]
    for one in said:
        append_answers(tmp_path, [one])
        read_answers(tmp_path)
    with (tmp_path / "reviews.jsonl").open("ab") as stream:
        stream.write(b"broken\n")
    grown = read_answers(tmp_path)
    monkeypatch.setattr(reviews, "_reader", reviews._Reader())
    assert grown == read_answers(tmp_path)
    assert (grown.lines, grown.damaged, grown.names) == (4, 1, ("cat", "dog", "cup"))
    assert [one.verdict for one in grown] == ["rejected", "added", "renamed"]


def test_file_that_was_cut_is_read_anew(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        append_answers(tmp_path, [answer(name, reviewed=draw_mask(5, 6, 10, 20))])
    assert len(read_answers(tmp_path).by_image) == 2
    path = tmp_path / "reviews.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[1])
    assert list(read_answers(tmp_path).by_image) == ["b.jpg"]


def test_an_answer_that_is_taken_back_was_never_given(tmp_path) -> None:
    first, other = answer(reviewed=LEFT, category="dog"), answer("b.jpg", reviewed=RIGHT)
    last = answer(category=None, reviewed=LEFT, shown={"category": "dog"}, by="bob")
    append_answers(tmp_path, [first, other, last])
    content = (tmp_path / REVIEWS_FILE).read_bytes()
    assert read_answers(tmp_path).of("a.jpg")[0].history == (first, last)
    assert withdraw_answers(tmp_path, [last], "eve") == 1
    (current,) = read_answers(tmp_path).of("a.jpg")
    assert (current.answer, current.history) == (first, (first,))
    assert withdraw_answers(tmp_path, [last], "eve") == 0
    assert withdraw_answers(tmp_path, [first], "eve") == 1
    answers = read_answers(tmp_path)
    assert list(answers.by_image) == ["b.jpg"]
    assert (answers.lines, answers.withdrawn, answers.damaged) == (3, 2, 0)
    assert (tmp_path / REVIEWS_FILE).read_bytes().startswith(content)
    line = (tmp_path / REVIEWS_FILE).read_bytes().splitlines()[3]
    assert json.loads(line)["withdrawn"]["by"] == "eve"


def test_an_answer_in_the_middle_can_be_taken_back(tmp_path) -> None:
    names = [("cat", "dog"), ("dog", "cup"), ("cup", "cow")]
    given = [
        answer(category=name, reviewed=LEFT, shown={"category": shown}) for shown, name in names
    ]
    append_answers(tmp_path, given)
    withdraw_answers(tmp_path, given[1:2], "ann")
    assert given[2] in list(read_answers(tmp_path))


def test_who_says_the_same_again_means_it(tmp_path) -> None:
    given = answer(reviewed=LEFT)
    for _ in range(2):
        assert append_answers(tmp_path, [given]) == 1
        assert list(read_answers(tmp_path)) == [given]
        assert withdraw_answers(tmp_path, [given], "ann") == 1
        assert not read_answers(tmp_path)
    assert append_answers(tmp_path, [given]) == 1
    assert read_answers(tmp_path).withdrawn == 2


def test_what_was_taken_back_does_not_come_again_with_its_file(tmp_path) -> None:
    imported = answer(reviewed=LEFT, source="file 1")
    append_answers(tmp_path, [imported])
    withdraw_answers(tmp_path, [imported], "ann")
    assert append_answers(tmp_path, [imported]) == 0
    assert not read_answers(tmp_path)


def test_ids_of_names_stay_when_an_answer_is_taken_back(tmp_path) -> None:
    wrong = answer(mask=LEFT, category="zerba")
    append_answers(tmp_path, [wrong, answer(mask=RIGHT, category="ant")])
    categories = [{"id": 7, "name": "cat"}]
    withdraw_answers(tmp_path, [wrong], "ann")
    found = read_answers(tmp_path).extend_categories(categories)
    assert found == [*categories, {"id": 9, "name": "ant"}]


def test_withdrawals_are_understood_line_by_line(tmp_path, monkeypatch) -> None:
    given = [
        answer(reviewed=LEFT),
        answer(reviewed=LEFT, category="dog"),
        answer("b.jpg", mask=LEFT),
    ]
    append_answers(tmp_path, given)
    for one in (given[1], given[2], given[0]):
        read_answers(tmp_path)
        withdraw_answers(tmp_path, [one], "ann")
    grown = read_answers(tmp_path)
    monkeypatch.setattr(reviews, "_reader", reviews._Reader())
    assert grown == read_answers(tmp_path)
    assert (grown.by_image, grown.withdrawn) == ({}, 3)


@pytest.mark.parametrize("withdrawn", [True, [], {}, {"by": "ann"}, {"by": 3, "at": "now"}])
def test_a_damaged_withdrawal_takes_nothing_back(tmp_path, withdrawn) -> None:
    given = answer(reviewed=LEFT)
    append_answers(tmp_path, [given])
    with (tmp_path / REVIEWS_FILE).open("ab") as stream:
        stream.write(json.dumps(vars(given) | {"withdrawn": withdrawn}).encode() + b"\n")
    answers = read_answers(tmp_path)
    assert (list(answers), answers.damaged) == ([given], 1)


def test_withdrawals_travel(tmp_path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    given = answer(reviewed=LEFT)
    append_answers(old, [given])
    carry_answers(old, new)
    withdraw_answers(old, [given], "ann")
    carry_answers(old, new)
    assert not read_answers(new)
