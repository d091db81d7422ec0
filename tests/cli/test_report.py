"""`ovsam report` counts what plain python counts."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from row_objects import PROMPT, make_object

from ovsam_pipeline.commands.report import collect_report, format_report
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


def test_output_without_parts_counts_nothing(tmp_path):
    found = collect_report(make_output(tmp_path, []))
    assert (found["images"], found["objects"], found["classes"], found["reasons"]) == (0, 0, {}, {})
