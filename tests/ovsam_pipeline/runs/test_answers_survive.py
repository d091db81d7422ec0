"""Answers survive every kind of run, byte for byte, and are in what each of them writes."""

import json

import pytest
from fake_labeller import make_labeller, write_images

import ovsam_pipeline
from ovsam_pipeline.commands.report_counts import collect_report
from ovsam_pipeline.evaluation.reading.predictions import read_predictions
from ovsam_pipeline.evaluation.reading.truth import read_ground_truth
from ovsam_pipeline.labelling import build
from ovsam_pipeline.output.folder import iterate_rows
from ovsam_pipeline.output.reviews import REVIEWS_FILE, Answer, append_answers


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "build_labeller", make_labeller)
    folder = tmp_path / "photos"
    write_images(folder, 6)
    return folder


def label(photos, output, **settings):
    return ovsam_pipeline.label(photos, output=output, model="fake", detector="fake", **settings)


def answer_all(output):
    """Accept, rename and reject in turn."""
    said = []
    rows = sorted(iterate_rows(output), key=lambda row: row["file_name"])
    for index, row in enumerate(rows):
        for number, item in enumerate(row["objects"]):
            mask = item["segmentation"]
            name = (item["category"], "unicorn", None)[(index + number) % 3]
            common = {
                "by": "ann",
                "at": "2026-01-01T00:00:00+00:00",
                "shown": {"category": item["category"]},
            }
            said.append(Answer(row["file_name"], name, mask if name else None, mask, **common))
    append_answers(output, said)
    return said


def read_names(output):
    found = json.loads((output / "annotations.json").read_text())
    names = {category["id"]: category["name"] for category in found["categories"]}
    return sorted(names[item["category_id"]] for item in found["annotations"])


def test_answers_survive_runs_and_win_in_what_they_write(photos, tmp_path) -> None:
    output = tmp_path / "labels"
    label(photos, output)
    said = answer_all(output)
    content = (output / REVIEWS_FILE).read_bytes()
    expected = sorted(one.category for one in said if one.category is not None)
    for settings in (
        {},
        {"on_existing": "overwrite"},
        {"prune": True},
        {"preview": 2},
        {"retry_failed": True},
        {"on_existing": "overwrite", "part_images": 2},
    ):
        label(photos, output, **settings)
        assert (output / REVIEWS_FILE).read_bytes() == content
        assert read_names(output) == expected
    report = collect_report(output)
    assert report["reviewed_images"] == 6
    assert report["classes"]["unicorn"] == 4
    (photos / "0000.png").unlink()
    label(photos, output, prune=True)
    assert (output / REVIEWS_FILE).read_bytes() == content
    assert len(read_names(output)) == len(expected) - len(
        [one for one in said if one.file_name == "0000.png" and one.category is not None]
    )


def test_an_answer_of_today_is_in_the_next_annotations_json(photos, tmp_path) -> None:
    output = tmp_path / "labels"
    label(photos, output)
    assert "unicorn" not in read_names(output)
    answer_all(output)
    label(photos, output)  # nothing to label
    assert "unicorn" in read_names(output)


def test_eval_measures_what_would_be_exported_unless_told_otherwise(photos, tmp_path) -> None:
    output = tmp_path / "labels"
    label(photos, output)
    truth_file = tmp_path / "truth.json"
    truth_file.write_bytes((output / "annotations.json").read_bytes())
    answer_all(output)
    truth = read_ground_truth(truth_file)
    counts = {}
    for ignore in (True, False):
        _, found = read_predictions(output, truth, ignore_reviews=ignore)
        counts[ignore] = int((found.category_index >= 0).sum())
        noted = [text for text in found.problems.counts if "people" in text]
        assert len(noted) == (not ignore)
    # Of 12 labels four were renamed to a class that the truth lacks, four rejected.
    assert counts == {True: 12, False: 4}
