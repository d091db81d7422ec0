"""What people left → answers: every way in which an object can be changed, and hostile ones."""

from dataclasses import replace

import pytest
from reviewed_rows import answer, draw_mask, make_labelled, make_row, write_output

from ovsam_pipeline.export.review_tasks import CorrectedImage, LeftObject
from ovsam_pipeline.export.safe_names import SafeNames
from ovsam_pipeline.output.answered_rows import read_corrections
from ovsam_pipeline.output.reviews import append_answers, read_answers, withdraw_answers
from ovsam_pipeline.review.answers import AnswerMaker, ImportReport, ObjectAnswer
from ovsam_pipeline.review.ask import ask_queue, ask_sample
from ovsam_pipeline.review.batches import record_batch
from ovsam_pipeline.review.checked import read_sample
from ovsam_pipeline.review.judge import judge_sample
from ovsam_pipeline.review.tasks import make_tasks

BOXES = [(left, 0, 8, 8) for left in range(0, 50, 10)]
MASKS = [draw_mask(*box) for box in BOXES]
NEW = draw_mask(0, 20, 9, 9)


@pytest.fixture
def output(tmp_path):
    """Two images of a folder and one above it, with five, one and two objects."""
    rows = [
        make_row("b/1.jpg", *(make_labelled(box, risk=0.5) for box in BOXES), image_id=1),
        make_row("b/2.jpg", make_labelled(BOXES[0], risk=0.4), image_id=2),
        make_row("1.jpg", *(make_labelled(box, risk=0.1) for box in BOXES[:2]), image_id=3),
    ]
    return write_output(tmp_path, *rows)


def ask(output, most=5):
    batch = ask_queue(output, most, read_corrections(output), {})
    record_batch(output, batch)
    return batch


def leave(image, *changes, **values):
    """An image as a person left it: for each shown object a name, a mask, or None for removed."""
    left = []
    for item, change in zip(image.objects, changes, strict=True):
        if change is None:
            continue
        name = change if isinstance(change, str) else item["category"]
        mask = change if isinstance(change, dict) else item["segmentation"]
        left.append(LeftObject(name, mask, item["key"]))
    return CorrectedImage(image.file_name, tuple(left) + values.pop("added", ()), **values)


def read_back(output, *images, by=None, source="file"):
    report = ImportReport()
    return AnswerMaker(output, by, source).answer_images(images, report), report


def show(answers):
    return [(one.verdict, one.category, one.reviewed, one.segmentation) for one in answers]


def test_all_verdicts(output) -> None:
    batch = ask(output)
    (image,) = batch.images
    wider = draw_mask(30, 0, 9, 8)
    added = (LeftObject("cup", NEW),)
    corrected = leave(image, "cat", "dog", None, wider, "cat", added=added, batch=batch.id)
    answers, report = read_back(output, corrected, by="ann")
    assert show(answers) == [
        ("accepted", "cat", MASKS[0], MASKS[0]),
        ("renamed", "dog", MASKS[1], MASKS[1]),
        ("redrawn", "cat", MASKS[3], wider),
        ("accepted", "cat", MASKS[4], MASKS[4]),
        ("added", "cup", None, NEW),
        ("rejected", None, MASKS[2], None),
    ]
    assert answers[0].shown == {"category": "cat", "score": 0.5, "risk": 0.5, "reason": None}
    assert {one.by for one in answers} == {"ann"}
    assert {one.source for one in answers} == {"file"}
    assert report.images == 1
    assert report.verdicts == {
        "accepted": 2, "renamed": 1, "redrawn": 1, "added": 1, "rejected": 1
    }  # fmt: skip
    assert append_answers(output, answers) == 6
    assert append_answers(output, read_back(output, corrected, by="ann")[0]) == 0


def test_images_that_did_not_come_back_give_no_answer(output) -> None:
    batch = ask(output, 6)
    assert len(batch.images) == 2
    answers, _ = read_back(output, leave(batch.images[1], "cat"))
    assert [one.file_name for one in answers] == ["b/2.jpg"]


def test_an_editor_without_keys_is_understood_by_the_masks(output) -> None:
    (image,) = ask(output).images
    left = [LeftObject("dog", draw_mask(left, 0, 9, 8)) for left in (0, 10)]
    answers, _ = read_back(output, CorrectedImage(image.file_name, (*left, LeftObject("cup", NEW))))
    assert [one.verdict for one in answers] == ["renamed", "renamed", "added", *["rejected"] * 3]
    assert answers[0].reviewed == MASKS[0]


def test_a_mask_that_lost_an_edge_is_the_old_one(output) -> None:
    whole = draw_mask(0, 0, 40, 40)
    write_output(output, make_row("big.jpg", make_labelled((0, 0, 40, 40), risk=0.9), image_id=9))
    (image,) = ask(output, 1).images
    nearly = draw_mask(0, 0, 40, 40)
    assert nearly == whole
    smaller = draw_mask(0, 0, 39, 40)  # .975
    assert [a.verdict for a in read_back(output, leave(image, smaller))[0]] == ["redrawn"]
    assert [a.verdict for a in read_back(output, leave(image, whole))[0]] == ["accepted"]


def test_a_copied_object_is_a_new_one(output) -> None:
    (image,) = ask(output).images
    key = image.objects[0]["key"]
    copies = (LeftObject("cat", NEW, key), LeftObject("cat", MASKS[0], key))
    answers, _ = read_back(output, CorrectedImage(image.file_name, copies))
    assert show(answers)[:2] == [
        ("added", "cat", None, NEW),
        ("accepted", "cat", MASKS[0], MASKS[0]),
    ]


def test_a_mask_of_another_size_is_no_answer_and_no_rejection(output) -> None:
    (image,) = ask(output).images
    other = draw_mask(0, 0, 8, 8, size=(80, 120))
    answers, report = read_back(output, leave(image, "cat", other, "cat", "cat", "cat"))
    assert [one.verdict for one in answers] == ["accepted"] * 4
    (group,) = report.left_out.list_common()
    assert group.sentence == "a mask of 120 x 80 pixels, and not 60 x 40"
    assert group.file_name == "b/1.jpg"


def test_a_mask_of_another_size_may_be_any_object_where_there_are_no_keys(output) -> None:
    (image,) = ask(output).images
    larger = LeftObject("cat", draw_mask(0, 0, 16, 16, size=(80, 120)))
    left = LeftObject("dog", MASKS[1])
    answers, report = read_back(output, CorrectedImage(image.file_name, (larger, left)))
    assert [one.verdict for one in answers] == ["renamed"]
    assert report.left_out


def test_an_image_that_a_file_has_twice_gives_no_answers(output) -> None:
    image, other = ask(output, 6).images
    halves = [CorrectedImage(image.file_name, (LeftObject("cat", mask),)) for mask in MASKS[:2]]
    answers, report = read_back(output, *halves, leave(other, "cat"))
    assert [one.file_name for one in answers] == ["b/2.jpg"]
    (group,) = report.left_out.list_common()
    assert (group.file_name, group.count) == ("b/1.jpg", 1)
    times = [f"2026-11-29T12:00:0{n}+00:00" for n in (0, 1)]
    people = [leave(image, *["cat"] * 5, at=at, by=at) for at in times]
    assert len(read_back(output, *people)[0]) == 10


def test_an_empty_mask_is_a_rejection(output) -> None:
    (image,) = ask(output).images
    empty = draw_mask(0, 0, 0, 0)
    answers, _ = read_back(output, leave(image, empty, "cat", "cat", "cat", "cat"))
    assert [one.verdict for one in answers] == ["accepted"] * 4 + ["rejected"]


def test_who_and_when_an_editor_says_so(output) -> None:
    (image,) = ask(output).images
    at = "2026-01-02T03:04:05+00:00"
    corrected = leave(image, *["cat"] * 5, by="eve@example.com", at=at)
    (answer_, *_), _ = read_back(output, corrected)
    assert (answer_.by, answer_.at) == ("eve@example.com", at)
    (answer_, *_), _ = read_back(output, corrected, by="bob")
    assert answer_.by == "bob"


def test_of_images_that_nobody_was_asked_about_changes_are_answers(output) -> None:
    shown = read_back(
        output,
        CorrectedImage("1.jpg", (LeftObject("cat", MASKS[0]), LeftObject("dog", MASKS[1]))),
    )[0]
    assert show(shown) == [("renamed", "dog", MASKS[1], MASKS[1])]
    submitted = CorrectedImage("1.jpg", (LeftObject("cat", MASKS[0]),), by="eve")
    assert [a.verdict for a in read_back(output, submitted)[0]] == ["accepted", "rejected"]


def test_names_of_images(output) -> None:
    ask(output)
    added = (LeftObject("cup", NEW),)
    images = [CorrectedImage(name, added) for name in ("1.jpg", "/data/b/2.jpg", "x/9.jpg", "..")]
    answers, report = read_back(output, *images)
    # 1.jpg is an image of its own, though b/1.jpg is what was asked about.
    assert {one.file_name for one in answers} == {"1.jpg", "b/2.jpg"}
    (group,) = report.left_out.list_common()
    assert (group.sentence, group.count) == (
        "the image is not in this output, or may be one of several",
        2,
    )


def test_an_editor_that_has_the_safe_name_of_a_picture(tmp_path) -> None:
    name = '../<img src="x">.jpg'
    output = write_output(tmp_path, make_row(name, make_labelled(BOXES[0], risk=0.5), image_id=1))
    (image,) = ask(output).images
    corrected = replace(leave(image, "dog"), file_name="_img src=_x__.jpg")
    answers, report = read_back(output, corrected)
    assert [one.file_name for one in answers] == [name]
    assert not report.left_out


def test_a_deletion_in_a_sample_does_not_reject_what_only_the_queue_showed(output) -> None:
    sample = ask_sample(output, 8, 0)
    whole = next(image for image in sample.images if image.file_name == "b/1.jpg")
    only = replace(whole, objects=whole.objects[:1])
    small = replace(sample, id="sample-1", images=(only,))
    record_batch(output, small)
    queue = ask(output)
    # Nothing is left, and the editor does not say which batch it was.
    answers, _ = read_back(output, CorrectedImage("b/1.jpg", ()))
    assert show(answers) == [("rejected", None, only.objects[0]["segmentation"], None)]
    assert answers[0].sample == "sample-1"
    answers, _ = read_back(output, CorrectedImage("b/1.jpg", (), batch=queue.id))
    assert len(answers) == 5
    answers, _ = read_back(output, CorrectedImage("b/1.jpg", (), batch=small.id))
    assert len(answers) == 1


def test_a_second_look_replaces_the_first(output) -> None:
    (image,) = ask(output).images
    append_answers(output, read_back(output, leave(image, *["dog"] * 5), source="1")[0])
    append_answers(output, [answer("b/2.jpg", reviewed=MASKS[0])])
    batch = ask_queue(output, 9, read_corrections(output), {})
    assert [image.file_name for image in batch.images] == ["1.jpg"]
    # The old batch again, corrected once more.
    append_answers(output, read_back(output, leave(image, *["cup"] * 5), source="2")[0])
    answers = read_answers(output)
    assert [one.answer.category for one in answers.of("b/1.jpg")] == ["cup"] * 5
    objects = read_corrections(output).objects["b/1.jpg"]
    assert [item["category"] for item in objects] == ["cup"] * 5


def test_answers_by_key(output) -> None:
    batch = ask(output)
    (image,) = batch.images
    keys = [item["key"] for item in image.objects]
    said = [
        ObjectAnswer("b/1.jpg", keys[0], "", "cat"),
        ObjectAnswer("b/1.jpg", keys[1], "dog", "cat"),
        ObjectAnswer("b/1.jpg", keys[2], None, "cat"),
        ObjectAnswer("b/1.jpg", "0" * 16, "", "cat"),
        ObjectAnswer("1.jpg", keys[0], "", "cat"),
    ]
    report = ImportReport()
    answers = AnswerMaker(output, "ann", "file").answer_objects(said, report)
    assert [one.verdict for one in answers] == ["accepted", "renamed", "rejected"]
    assert [group.count for group in report.left_out.list_common()] == [2]


def test_an_answer_by_key_is_on_the_label_that_was_shown(output) -> None:
    (image,) = ask(output).images
    key = image.objects[0]["key"]
    again = [make_labelled(box, "dog", risk=0.5) for box in BOXES]
    for part in (output / "parts").iterdir():
        part.unlink()
    write_output(output, make_row("b/1.jpg", *again, image_id=1))
    assert ask(output).images[0].objects[0]["key"] == key
    said = [ObjectAnswer("b/1.jpg", key, "", name) for name in ("cat", "dog", "cup")]
    report = ImportReport()
    answers = AnswerMaker(output, "ann", "file").answer_objects(said, report)
    assert [(one.verdict, one.category) for one in answers] == [
        ("accepted", "cat"),
        ("accepted", "dog"),
    ]
    assert report.left_out


def test_tasks_of_a_sample_leave_out_what_is_answered(output) -> None:
    known = [answer("b/1.jpg", reviewed=MASKS[1]), answer("b/2.jpg", None, reviewed=MASKS[0])]
    append_answers(output, known)
    sample = ask_sample(output, 8, 0)
    record_batch(output, sample)
    tasks = {task.file_name: task for task in make_tasks(output, sample, read_answers(output))}
    assert {name: len(task.objects) for name, task in tasks.items()} == {"b/1.jpg": 4, "1.jpg": 2}
    task = tasks["1.jpg"]
    assert (task.batch, task.sample, task.model) == (sample.id, sample.id, "nano")
    assert task.names == ("cat", "dog")
    corrected = leave(task, "cat", None, batch=sample.id)
    append_answers(output, read_back(output, corrected)[0])
    judged = judge_sample(output, sample, read_answers(output))
    rights = [one.is_right for one in judged.objects]
    assert (rights.count(True), rights.count(False), rights.count(None)) == (2, 2, 4)


def test_an_answer_on_a_sample_that_is_taken_back_is_open_again(output) -> None:
    sample = ask_sample(output, 8, 0)
    record_batch(output, sample)
    given = answer("b/1.jpg", reviewed=MASKS[1])
    append_answers(output, [given])
    before = read_sample(output)
    assert before is not None
    assert (before.is_answered.sum(), before.is_right.sum(), before.people) == (1, 1, ("ann",))
    withdraw_answers(output, [given], "ann")
    after = read_sample(output)
    assert after is not None
    assert (len(after), after.is_answered.sum(), after.people) == (8, 0, ())
    tasks = make_tasks(output, sample, read_answers(output))
    assert sum(len(task.objects) for task in tasks) == 8
    assert not read_corrections(output)


def test_images_whose_names_are_alike_in_an_editor_are_told_apart_by_keys(tmp_path) -> None:
    names = ["*.jpg", "_.jpg", "?.jpg"]
    rows = [make_row(name, make_labelled(BOXES[0], risk=0.5), image_id=n)
            for n, name in enumerate(names)]  # fmt: skip
    output = write_output(tmp_path, *rows)
    images = ask(output, 3).images
    safe = SafeNames()
    given = [(image.file_name, "".join(safe.make(image.file_name))) for image in images]
    assert "_.jpg" in {shown for name, shown in given if name != "_.jpg"}
    left = [
        replace(leave(image, "cat"), file_name=shown)
        for image, (_, shown) in zip(images, given, strict=True)
    ]
    answers, report = read_back(output, *left)
    assert [one.file_name for one in answers] == [name for name, _ in given]
    assert not report.left_out
    # Without keys it is not guessed which of them "_.jpg" is.
    answers, report = read_back(output, CorrectedImage("_.jpg", ()))
    assert answers == []
    assert report.left_out
    # An object that was pasted brings its key along, and not its image.
    key = images[0].objects[0]["key"]
    pasted = CorrectedImage("other.jpg", (LeftObject("cat", MASKS[0], key),))
    assert read_back(output, pasted)[0] == []
