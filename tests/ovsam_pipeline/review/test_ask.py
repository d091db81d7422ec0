"""What is asked: the riskiest first, whole images, near-duplicates once; a fair sample."""

import logging

import numpy as np
import pytest
from reviewed_rows import answer, draw_mask, make_labelled, make_row, write_output

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.output.answered_rows import read_corrections
from ovsam_pipeline.output.reviews import BATCHES_FILE, append_answers, carry_answers, read_answers
from ovsam_pipeline.review.ask import ask_queue, ask_sample
from ovsam_pipeline.review.batches import read_batches, record_batch
from ovsam_pipeline.review.judge import judge_reviewed, judge_sample

BOXES = [(left, 0, 8, 8) for left in range(0, 50, 10)]


def write_risks(folder, risks, **values):
    """An output with an image of this name for each list of risks."""
    rows = [
        make_row(
            name,
            *(
                make_labelled(box, risk=risk, **values)
                for box, risk in zip(BOXES, each, strict=False)
            ),
            image_id=number,
        )
        for number, (name, each) in enumerate(risks.items())
    ]
    return write_output(folder, *rows, fingerprint="f1")


def ask(output, most, groups=None, **values):
    return ask_queue(output, most, read_corrections(output), groups or {}, **values)


def list_risks(batch):
    risks = {image.file_name: [item["risk"] for item in image.objects] for image in batch.images}
    return {name: np.round(each, 3).tolist() for name, each in risks.items()}


def test_whole_images_by_their_mean_risk(tmp_path) -> None:
    risks = {"a.jpg": [0.2, 0.3], "b.jpg": [0.1, 0.9, 0.5], "c.jpg": [], "d.jpg": [0.8]}
    output = write_risks(tmp_path, risks)
    assert list_risks(ask(output, 1)) == {"d.jpg": [0.8]}
    assert list_risks(ask(output, 2)) == {"d.jpg": [0.8], "b.jpg": [0.9, 0.5, 0.1]}
    assert list(list_risks(ask(output, 100))) == ["d.jpg", "b.jpg", "a.jpg"]
    (image,) = ask(output, 1).images
    assert (image.width, image.height, image.image_id) == (60, 40, 3)
    assert (image.objects[0]["category"], image.objects[0]["bbox"]) == ("cat", [0, 0, 8, 8])


def test_single_objects_by_their_risk(tmp_path) -> None:
    risks = {"a.jpg": [0.2, 0.3], "b.jpg": [0.1, 0.9, 0.5], "c.jpg": [], "d.jpg": [0.8]}
    output = write_risks(tmp_path, risks)
    found = ask(output, 3, whole_images=False)
    assert list_risks(found) == {"b.jpg": [0.9, 0.5], "d.jpg": [0.8]}
    assert [item["bbox"][0] for item in found.images[0].objects] == [10, 20]
    append_answers(output, [answer("b.jpg", None, reviewed=draw_mask(*BOXES[1]))])
    found = ask(output, 3, whole_images=False)
    assert list_risks(found) == {"d.jpg": [0.8], "b.jpg": [0.5], "a.jpg": [0.3]}
    groups = {"b.jpg": 1, "d.jpg": 1}
    assert list_risks(ask(output, 9, groups, whole_images=False)) == {"a.jpg": [0.3, 0.2]}


def test_reviewed_objects_are_shown_beside_the_others_and_not_asked_again(tmp_path) -> None:
    output = write_risks(tmp_path, {"a.jpg": [0.2, 0.9], "b.jpg": [0.5], "c.jpg": [0.4]})
    append_answers(output, [answer(reviewed=draw_mask(*BOXES[1]), category="dog")])
    append_answers(output, [answer("c.jpg", None, reviewed=draw_mask(*BOXES[0]))])
    batch = ask(output, 9)
    assert list_risks(batch) == {"b.jpg": [0.5], "a.jpg": [0.2, 0.9]}
    assert [item["category"] for item in batch.images[1].objects] == ["cat", "dog"]


def test_one_image_of_a_group_of_near_duplicates_is_asked_about(tmp_path, caplog) -> None:
    caplog.set_level("INFO")
    risks = {"a.jpg": [0.9], "b.jpg": [0.8], "c.jpg": [0.7], "d.jpg": [0.6]}
    output = write_risks(tmp_path, risks)
    groups = {"a.jpg": 1, "c.jpg": 1, "b.jpg": 2, "d.jpg": 2}
    assert list(list_risks(ask(output, 9, groups))) == ["a.jpg", "b.jpg"]
    assert "2 images are left out, near duplicates of images" in caplog.text
    append_answers(output, [answer("c.jpg", reviewed=draw_mask(*BOXES[0]))])
    assert list(list_risks(ask(output, 9, groups))) == ["b.jpg"]


def test_an_output_without_risks_is_ranked_by_its_scores(tmp_path) -> None:
    risks = {"a.jpg": [None], "b.jpg": [None]}
    output = write_risks(tmp_path, risks, score=0.5)
    row = make_row("c.jpg", make_labelled(BOXES[0], score=0.25, risk=None), image_id=9)
    write_output(output, row)
    assert list(list_risks(ask(output, 1))) == ["c.jpg"]


def test_boxes_of_detect_are_refused(tmp_path) -> None:
    output = write_output(tmp_path, task="detect")
    with pytest.raises(OutputError, match="holds boxes of ovsam detect and no labels to review"):
        ask(output, 1)
    with pytest.raises(OutputError, match="holds boxes of ovsam detect"):
        ask_sample(output, 1, 0)


def list_keys(batch):
    return {item["key"] for image in batch.images for item in image.objects}


def test_a_sample_is_drawn_again_and_grows(tmp_path) -> None:
    risks = {f"{number}.jpg": [0.5] * (number % 5) for number in range(40)}
    output = write_risks(tmp_path, risks)
    first, again, more = (ask_sample(output, size, 3) for size in (20, 20, 50))
    assert (first.population, first.seed, first.num_objects) == (80, 3, 20)
    assert (first.id, first.images) == (again.id, again.images)
    assert list_keys(first) < list_keys(more)
    assert list_keys(ask_sample(output, 20, 4)) != list_keys(first)
    assert ask_sample(output, 1000, 3).num_objects == 80


def test_a_sample_draws_every_object_equally_often(tmp_path) -> None:
    output = write_risks(tmp_path, {"a.jpg": [0.9], "b.jpg": [0.1] * 5, "c.jpg": [0.5] * 4})
    counts = {}
    for seed in range(100):
        for key in list_keys(ask_sample(output, 3, seed)):
            counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 10
    # 30 expected, with a standard deviation of 4.6.
    assert min(counts.values()) > 12
    assert max(counts.values()) < 48


def test_a_batch_is_recorded_once_and_travels(tmp_path, caplog) -> None:
    output = write_risks(tmp_path / "old", {"a.jpg": [0.9, 0.1], "b.jpg": [0.5]})
    queue, sample = ask(output, 1), ask_sample(output, 1, 0)
    for batch in (queue, sample, ask(output, 1)):
        record_batch(output, batch)
    found = read_batches(output)
    assert [batch.id for batch in found] == [queue.id, sample.id]
    assert found[1].population == 3
    assert list_keys(found[0]) == list_keys(queue)
    assert found[0].images[0].objects[0]["segmentation"] == draw_mask(*BOXES[0])
    path = output / BATCHES_FILE
    path.write_bytes(path.read_bytes() + b'{"kind": "other"}\n{"id": 3, "kind": "queue"}\n')
    with caplog.at_level(logging.WARNING):
        assert len(read_batches(output)) == 2
    assert "line 3 of" in caplog.text
    assert "expected kind as one of queue, sample, got 'other'" in caplog.text
    assert "line 4 of" in caplog.text
    assert "expected id, got 3" in caplog.text
    (tmp_path / "new").mkdir()
    carry_answers(output, tmp_path / "new")
    assert (tmp_path / "new" / BATCHES_FILE).read_bytes() == path.read_bytes()


def test_labels_are_judged_by_name_and_overlap(tmp_path) -> None:
    output = write_risks(tmp_path, {"a.jpg": [0.9, 0.8, 0.7, 0.6, 0.5], "b.jpg": [0.4, 0.3]})
    sample = ask_sample(output, 100, 0)
    masks = [draw_mask(*box) for box in BOXES]
    said = [
        answer(reviewed=masks[0]),
        answer(reviewed=masks[1], category="dog"),
        answer(reviewed=masks[2], category=None),
        answer(reviewed=masks[3], mask=draw_mask(30, 0, 9, 8)),
        answer(reviewed=masks[4], mask=draw_mask(40, 0, 8, 30)),
        answer("b.jpg", "dog", mask=draw_mask(30, 20, 9, 9)),
    ]
    append_answers(output, said)
    answers = read_answers(output)
    reviewed = sorted(judge_reviewed(output, answers), key=lambda one: one.item["bbox"])
    assert [one.is_right for one in reviewed] == [True, False, False, True, False]
    judged = judge_sample(output, sample, answers)
    assert judged.gone == 0
    found = {(one.file_name, one.item["bbox"][0]): one.is_right for one in judged.objects}
    assert found[("a.jpg", 0)] is True
    assert found[("a.jpg", 40)] is False
    assert found[("b.jpg", 0)] is None
    assert len(found) == 7


def test_a_sample_is_judged_by_the_rows_of_now(tmp_path) -> None:
    output = write_risks(tmp_path / "old", {"a.jpg": [0.9, 0.8], "b.jpg": [0.5]})
    sample = ask_sample(output, 3, 0)
    append_answers(output, [answer(reviewed=draw_mask(*BOXES[0]), category="dog")])
    new = write_output(
        tmp_path / "new", make_row("a.jpg", make_labelled((0, 0, 9, 8), "dog", risk=0.1))
    )
    judged = judge_sample(new, sample, read_answers(output))
    assert [one.is_right for one in judged.objects] == [True]
    assert judged.gone == 2
