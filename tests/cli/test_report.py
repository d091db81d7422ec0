"""`ovsam report` counts what plain python counts."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from row_objects import PROMPT, make_object
from scored_folder import make_scores

from ovsam_pipeline.commands.report_counts import collect_report, format_report
from ovsam_pipeline.output.parts import BOX_SCHEMA, SCHEMA, write_part
from ovsam_pipeline.records import BoxRecord, LabelRecord, ObjectRecord


def label(category: str, detected: str | None) -> ObjectRecord:
    return make_object(replace(PROMPT, detector_category=detected), category=category)


def make_box(detector_category: str | None) -> BoxRecord:
    return BoxRecord((0, 0, 1, 1), 0.5, detector_category)


def make_output(folder, objects, errors=(), schema=SCHEMA):
    (folder / "parts").mkdir()
    (folder / "run.json").write_text(json.dumps({"state": "finished"}))
    rows = [
        LabelRecord(
            index, f"{index}.jpg", 4, 4, "labelled" if items else "empty", None, items, f"{index}"
        )
        for index, items in enumerate(objects)
    ]
    rows += [
        LabelRecord(100 + index, f"f{index}.jpg", None, None, "failed", error, (), f"f{index}")
        for index, error in enumerate(errors)
    ]
    for start in range(0, len(rows), 3):
        write_part(folder / "parts", rows[start : start + 3], "f", schema)
    return folder


def test_labels_and_reasons_are_counted(tmp_path):
    objects = [
        (label("cat", "dog"), label("é", None)),
        (),
        (label("cat", None),),
    ]
    errors = ["file not found: a/b.jpg", "file not found: c/d.jpg", "torn at byte 7"]
    found = collect_report(make_output(tmp_path, objects, errors))
    assert found["classes"] == {"cat": 2, "é": 1}
    assert list(found["classes"]) == ["cat", "é"]
    assert found["reasons"] == {"file not found: a/b.jpg": 2, "torn at byte 7": 1}
    assert found["examples"] == {"file not found: a/b.jpg": "f0.jpg", "torn at byte 7": "f2.jpg"}
    assert "        2  file not found: a/b.jpg (e.g. f0.jpg)" in format_report(found)
    assert found["transient"] == 3
    counts = {name: found[name] for name in ("images", "labelled", "empty", "failed", "objects")}
    assert counts == {"images": 6, "labelled": 2, "empty": 1, "failed": 3, "objects": 3}
    assert found["state"] == "finished"


@pytest.mark.parametrize("classes", [("wolf", None, "wolf", ""), (None, None)])
def test_boxes_are_counted_by_the_detectors_class(tmp_path, classes):
    boxes = [(make_box(name),) for name in classes]
    found = collect_report(make_output(tmp_path, boxes, schema=BOX_SCHEMA))
    assert found["classes"] == Counter(name or "without a class" for name in classes)


def test_mean_scores_and_doubtful_objects(tmp_path):
    scored = [("cat", 0.75, 0.5), ("cat", 0.25, 0.125), ("dog", 0.5, None), ("dog", 1.0, 0.1875)]
    items = [make_object(category=name, score=score, margin=m) for name, score, m in scored]
    found = collect_report(make_output(tmp_path, [tuple(items[:3]), (), (items[3],)]))
    assert found["mean_scores"] == {"cat": 0.5, "dog": 0.75}
    assert (found["doubtful"], found["objects_per_image"]) == (2, 1.33)
    lines = format_report(found)
    assert "objects: 1.3 an image, 2 classes, 2 doubtful (50 %: margin below 0.2)" in lines
    assert "        2        0.50  cat" in lines


def test_without_margins_nothing_is_called_doubtful(tmp_path):
    found = collect_report(make_output(tmp_path, [(make_box("wolf"),)], schema=BOX_SCHEMA))
    assert found["doubtful"] is None
    assert "objects: 1.0 an image, 1 class" in format_report(found)
    assert found["mean_scores"] == {"wolf": 0.5}


def test_hashes_are_not_shown(tmp_path):
    out = make_output(tmp_path, [])
    run = {
        "depends_on": {"model": "nano", "model_hash": "c694", "labels_version": 2, "conf": 0.25},
        "model": {"name": "nano"},
        "vocabulary": {"name": "nano", "classes": 260},
        "run": {"seconds": 3.9551},
        "images_per_s": 6.07,
    }
    (out / "run.json").write_text(json.dumps({"state": "finished", **run}))
    lines = format_report(found := collect_report(out))
    assert lines[-2:] == [
        "made with: model nano, vocabulary nano (260 classes)",
        "settings: conf 0.25",
    ]
    assert ", 4.0 s of labelling (6.1 images/s)" in lines[1]
    assert found["depends_on"]["model_hash"] == "c694"


def test_output_without_parts_counts_nothing(tmp_path):
    found = collect_report(make_output(tmp_path, []))
    assert (found["images"], found["objects"], found["classes"], found["reasons"]) == (0, 0, {}, {})


def test_a_report_as_one_file_says_what_the_report_says(run_command, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    objects = [(label("cat", None), label("<b>", None)), ()]
    output = make_output(tmp_path / "out", objects, ["torn at byte 7"])
    run = {"state": "finished", "model": {"name": "nano", "licence": "Apache-2.0"}}
    (output / "run.json").write_text(json.dumps(run))
    file = tmp_path / "report.html"
    done = run_command("report", output, "--html", file)
    assert done.code == 0, done.err
    assert done.out.startswith(f"{file}: 3 images, ")
    page = file.read_text()
    for text in (
        "<p>images: 1 labelled, 1 empty, 1 failed</p>",
        '<td>&lt;b&gt;</td><td class="number">1</td>',
        '<td class="number">1</td><td>torn at byte 7</td><td>f0.jpg</td>',
        "nano, licence of the weights: Apache-2.0",
        "Nobody has measured it",
        "Nobody has reviewed these labels.",
    ):
        assert text in page
    sample = run_command("report", output, "--html", file, "--limit", 1)
    assert "1 of 3 images" in sample.out
    assert "Below are 1 image of 3, drawn by chance" in file.read_text()


def test_what_a_report_cannot_be_is_a_sentence(run_command, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    output = make_output(tmp_path / "out", [()])
    done = run_command("report", output, "--limit", 1)
    assert (done.code, "add --html FILE" in done.err) == (2, True)
    done = run_command("report", output, "--html", tmp_path / "new.html", "--json")
    assert (done.code, "give one of them" in done.err) == (2, True)
    assert not (tmp_path / "new.html").exists()
    done = run_command("report", output, "--html", output / "run.json")
    assert (done.code, "not replaced" in done.err) == (2, True)
    assert json.loads((output / "run.json").read_text()) == {"state": "finished"}


def test_an_evaluation_has_a_report_of_its_own(run_command, tmp_path) -> None:
    folder, file = make_scores(tmp_path / "scores"), tmp_path / "r.html"
    assert f"{file}: results of {folder}" in run_command("report", folder, "--html", file).out
    done = run_command("report", folder, "--html", file, "--limit", 1)
    assert (done.code, "holds an evaluation" in done.err) == (2, True)
    done = run_command("report", folder)
    assert (done.code, "ovsam report" in done.err) == (2, True)
