"""A sample that people answered → certificate and calibration, in the files of its output."""

import json
from dataclasses import replace

import numpy as np
import pytest
from reviewed_rows import answer, draw_mask, make_labelled, make_row, write_output

from ovsam.errors import ConfigError
from ovsam_pipeline.errors import OutputError, OutputLockedError
from ovsam_pipeline.output.checked_labels import read_calibration, read_certificate
from ovsam_pipeline.output.folder import OutputFolder, read_run_file
from ovsam_pipeline.output.reviews import append_answers
from ovsam_pipeline.review.ask import ask_sample
from ovsam_pipeline.review.batches import record_batch
from ovsam_pipeline.review.certify import calibrate, certify
from ovsam_pipeline.review.checked import read_sample, read_today
from ovsam_pipeline.storage.remote_path import parse_path

BOX = (0, 0, 8, 8)
NUM = 400


def make_output(folder, num=NUM, category="cat", **run):
    """An image for each object; risk rises with its number, and score falls."""
    rows = [
        make_row(
            f"{number:04}.jpg",
            make_labelled(BOX, category, risk=number / num, score=1 - number / num),
            image_id=number,
        )
        for number in range(num)
    ]
    return write_output(folder, *rows, **{"fingerprint": "f"} | run)


def ask(output, size=200, seed=0):
    batch = ask_sample(output, size, seed)
    record_batch(output, batch)
    return batch


def respond(output, batch, is_right, most=10**6):
    """Answer the objects of a batch in order: accepted, or rejected where they are wrong."""
    answers = []
    for image in batch.images[:most]:
        name = "cat" if is_right(int(image.file_name[:4])) else None
        answers.append(answer(image.file_name, name, reviewed=draw_mask(*BOX)))
    append_answers(output, answers)


@pytest.fixture
def output(tmp_path):
    return make_output(tmp_path / "out")


def test_certificate_is_written_and_true(output):
    """The first 240 of 400 are right: .9 is true of 266 at most."""
    respond(output, ask(output), lambda number: number < 240)
    found = certify(output, 0.9, 0.95)
    assert read_certificate(read_run_file(output)) == found
    assert found.threshold is not None
    assert 220 <= found.accepted <= 266
    assert (found.objects, found.later, found.sampled, found.unanswered) == (400, 0, 200, 0)
    assert (found.people, found.fingerprint, found.looks) == (("ann",), "f", 1)
    assert found.accepted == sum(n / NUM <= found.threshold + 1e-7 for n in range(NUM))


def test_run_json_keeps_all_else(output):
    before = read_run_file(output)
    respond(output, ask(output), lambda _: True)
    certify(output, 0.9, 0.95)
    after = read_run_file(output)
    assert {**after, "certified": None} == {**before, "certified": None}


def test_unanswered_objects_count_as_wrong(output):
    batch = ask(output)
    respond(output, replace(batch, images=batch.images[100:]), lambda _: True)
    found = certify(output, 0.9, 0.95)
    assert found.unanswered == 100
    assert found.threshold is None
    assert found.accepted == 0
    respond(output, batch, lambda _: True)
    again = certify(output, 0.9, 0.95)
    assert (again.accepted, again.looks) == (400, 2)
    assert certify(output, 0.9, 0.95).looks == 2


def test_answers_of_a_queue_certify_nothing(output):
    append_answers(output, [answer("0001.jpg", reviewed=draw_mask(*BOX))])
    with pytest.raises(ConfigError, match=r"expected a uniform sample .* got none .*--sample 200"):
        certify(output, 0.9, 0.95)


def test_small_sample_is_refused_with_the_number_that_is_needed(output):
    respond(output, ask(output, 40), lambda _: True)
    with pytest.raises(ConfigError, match=r"at least 59 objects .* got 40, .*--sample 200"):
        certify(output, 0.95, 0.95)


@pytest.mark.parametrize(("target", "confidence"), [(0, 0.95), (1, 0.95), (0.9, 1.5), (95, 0.95)])
def test_shares_outside_their_range_are_refused(output, target, confidence):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        certify(output, target, confidence)


def test_boxes_of_detect_are_refused(tmp_path):
    output = make_output(tmp_path, 3, task="detect")
    with pytest.raises(OutputError, match="no labels"):
        certify(output, 0.9, 0.95)


def test_objects_that_came_later_are_told(output):
    respond(output, ask(output), lambda _: True)
    more = make_row("later.jpg", make_labelled(BOX, risk=0.1), image_id=999)
    write_output(output, more, fingerprint="f")
    found = certify(output, 0.9, 0.95)
    assert (found.objects, found.later) == (401, 1)


def test_certificate_of_today_tells_of_answers_taken_back_and_of_new_objects(output):
    batch = ask(output)
    respond(output, batch, lambda _: True)
    found = certify(output, 0.9, 0.95)
    assert read_today(output) == found
    new = make_row("new.jpg", make_labelled(BOX, risk=0.5), image_id=999)
    write_output(output, new, fingerprint="f", certified=found.to_dict())
    assert read_today(output) == replace(found, objects=401, later=1)
    name = batch.images[0].file_name
    append_answers(output, [answer(name, None, reviewed=draw_mask(*BOX), by="bob")])
    assert read_today(output).revised
    again = certify(output, 0.9, 0.95)
    assert (again.right, again.later) == (199, 1)
    assert not read_today(output).revised


def test_output_of_a_version_without_risk_is_refused(tmp_path):
    rows = [make_row(f"{n:04}.jpg", make_labelled(BOX, risk=None), image_id=n) for n in range(60)]
    output = write_output(tmp_path, *rows, fingerprint="f")
    respond(output, ask(output, 60), lambda _: True)
    with pytest.raises(ConfigError, match=r"60 of 60 have none.*label the images again"):
        certify(output, 0.5, 0.95)


def test_classes_with_checks_enough_are_certified_together(tmp_path):
    output = make_output(tmp_path, 200)
    dogs = [
        make_row(f"{n}.jpg", make_labelled(BOX, "dog", risk=0.5), image_id=n)
        for n in range(1000, 1030)
    ]
    write_output(output, *dogs, fingerprint="f")
    respond(output, ask(output, 230), lambda _: True)
    found = certify(output, 0.9, 0.95)
    assert [one.category for one in found.classes] == ["cat"]
    assert (found.classes[0].accepted, found.classes[0].checks) == (200, 200)


def test_two_samples_of_one_population_are_one(output):
    for seed in (1, 2):
        respond(output, ask(output, 100, seed), lambda _: True)
    sample = read_sample(output)
    assert sample is not None
    assert 100 < len(sample) < 200
    assert sample.is_right.all()


def test_sample_of_other_labels_is_left_out(output):
    respond(output, ask(output, 100, 1), lambda _: True)
    write_output(output, fingerprint="g")
    respond(output, ask(output, 60, 2), lambda _: True)
    sample = read_sample(output)
    assert sample is not None
    assert (len(sample), sample.fingerprint) == (60, "g")


def test_sample_of_other_objects_certifies_nothing(output):
    respond(output, ask(output), lambda _: True)
    write_output(output, fingerprint="relabelled")
    assert certify(output, 0.9, 0.95).accepted == NUM  # the same objects under other names
    more = make_row("new.jpg", make_labelled(BOX, risk=0.1), image_id=999)
    write_output(output, more, fingerprint="another detector")
    for ask_for in (lambda: certify(output, 0.9, 0.95), lambda: calibrate(output)):
        with pytest.raises(
            ConfigError, match=r"drawn from the objects of other settings.*--sample"
        ):
            ask_for()


def test_calibration_is_written_and_says_by_whom(output):
    rng = np.random.default_rng(0)
    drawn = rng.random(NUM)
    respond(output, ask(output), lambda number: drawn[number] < (1 - number / NUM) ** 0.5)
    found = calibrate(output)
    assert read_calibration(output) == found
    assert (found.label.answers, found.sampled, found.people) == (200, 200, ("ann",))
    assert found.label.error_after < found.label.error_before
    assert found.name is not None
    assert found.name.answers == found.name.right  # whoever is no object has no name to be wrong


def test_calibration_needs_fifty_answers(output):
    batch = ask(output)
    respond(output, batch, lambda _: True, most=38)
    with pytest.raises(ConfigError, match=r"at least 50 .*got 38: 12 answers missing; answer more"):
        calibrate(output)
    small = ask(make_output(output.parent / "other"), 30)
    respond(output.parent / "other", small, lambda _: True)
    with pytest.raises(ConfigError, match=r"20 answers missing; draw more: .* --sample"):
        calibrate(output.parent / "other")


def test_certificate_of_an_output_in_use_is_refused(output):
    respond(output, ask(output), lambda _: True)
    with OutputFolder(output), pytest.raises(OutputLockedError):
        certify(output, 0.9, 0.95)


def test_stale_certificate_is_no_earlier_look(output):
    respond(output, ask(output), lambda _: True)
    found = certify(output, 0.9, 0.95)
    run = read_run_file(output)
    old = replace(found, sampled=10, stale=True)
    (output / "run.json").write_text(json.dumps({**run, "certified": old.to_dict()}))
    assert certify(output, 0.9, 0.95).looks == 1


def test_failed_test_leaves_the_certificate_of_another_target(output):
    respond(output, ask(output), lambda number: number % 20 != 0)
    kept = certify(output, 0.8, 0.95)
    assert kept.threshold is not None
    assert certify(output, 0.97, 0.95).threshold is None
    assert read_certificate(read_run_file(output)) == kept
    assert certify(output, 0.7, 0.95).threshold is not None
    assert read_certificate(read_run_file(output)).target == 0.7


def test_output_on_a_store_is_certified_there(output, s3):
    respond(output, ask(output), lambda _: True)
    for path in output.rglob("*"):
        if path.is_file():
            s3.put(f"out/{path.relative_to(output)}", path.read_bytes())
    remote = parse_path(f"{s3.uri}/out")
    found = certify(remote, 0.9, 0.95)
    assert found.accepted == NUM
    assert read_certificate(read_run_file(remote)) == found
    assert calibrate(remote) == read_calibration(remote)
