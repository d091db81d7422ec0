from dataclasses import replace
from pathlib import Path

import pytest

from ovsam_pipeline.records import (
    BoxRecord,
    ImageRecord,
    LabelRecord,
    ObjectRecord,
    compute_image_id,
)

IMAGE = ImageRecord(7, "a/b.jpg", Path("/x/a/b.jpg"), 100, 200)
OBJECT = ObjectRecord(
    (1.0, 2.0, 3.0, 4.0), 18, "dog", 0.9, 0.8, "cat", 0.5, 0.97, 11, (480, 640), "abc"
)
PROMPTED = replace(
    OBJECT, prompt_id=4, detector_margin=0.25, model_category="dog", model_score=0.9,
    detector_box_xyxy=(1.0, 2.0, 4.5, 6.5), detector_point_xy=(3.0, 4.0),
)  # fmt: skip


def test_object_row_has_the_fields_of_the_contract():
    assert OBJECT.to_row() == {
        "bbox": [1.0, 2.0, 3.0, 4.0],
        "category_id": 18,
        "category": "dog",
        "score": 0.9,
        "detector_score": 0.8,
        "detector_category": "cat",
        "margin": 0.5,
        "mask_score": 0.97,
        "area": 11,
        "segmentation": {"size": [480, 640], "counts": "abc"},
        "prompt_id": None,
        "detector_margin": None,
        "model_category": None,
        "model_score": None,
        "detector_box_xyxy": None,
        "detector_point_xy": None,
    }


def test_object_of_an_older_part_has_none_of_the_newer_fields():
    newer = ("prompt_id", "detector_margin", "model_category", "model_score")
    newer += ("detector_box_xyxy", "detector_point_xy")
    row = {name: value for name, value in PROMPTED.to_row().items() if name not in newer}
    assert ObjectRecord.from_row(row) == OBJECT


def test_box_row_has_the_fields_of_the_contract():
    assert BoxRecord((1.0, 2.0, 4.5, 6.5), 0.75, "cat", 3, (2.0, 3.0), 8).to_row() == {
        "bbox": [1.0, 2.0, 3.5, 4.5],
        "detector_score": 0.75,
        "detector_category": "cat",
        "detector_category_id": 3,
        "detector_box_xyxy": [1.0, 2.0, 4.5, 6.5],
        "detector_point_xy": [2.0, 3.0],
        "prompt_id": 8,
    }


def test_label_row_has_the_fields_of_the_contract_in_order():
    row = LabelRecord.labelled(IMAGE, 640, 480, (OBJECT,)).to_row()
    names = ["image_id", "file_name", "width", "height", "status", "error", "objects"]
    assert list(row) == names
    assert [row[name] for name in names[:6]] == [7, "a/b.jpg", 640, 480, "labelled", None]
    assert row["objects"] == [OBJECT.to_row()]


@pytest.mark.parametrize(
    "record",
    [
        LabelRecord.labelled(IMAGE, 640, 480, (OBJECT, PROMPTED)),
        LabelRecord.labelled(IMAGE, 640, 480, ()),
        LabelRecord.failed(IMAGE, "file is empty"),
        LabelRecord.failed(IMAGE, "out of memory", 640, 480),
    ],
    ids=lambda record: record.status,
)
def test_row_and_back_is_the_same_record(record):
    assert LabelRecord.from_row(record.to_row(), record.identity) == record
    assert record.identity == IMAGE.identity


def test_image_without_objects_is_empty_and_failed_has_a_reason():
    assert LabelRecord.labelled(IMAGE, 1, 1, ()).status == "empty"
    failed = LabelRecord.failed(IMAGE, "why")
    assert (failed.status, failed.error, failed.width, failed.objects) == (
        "failed",
        "why",
        None,
        (),
    )


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (("done", None, ()), "expected status as one of"),
        (("failed", None, ()), "error exactly on failed rows"),
        (("empty", "why", ()), "error exactly on failed rows"),
        (("empty", None, (OBJECT,)), "objects exactly on labelled rows, got 1"),
        (("labelled", None, ()), "objects exactly on labelled rows, got 0"),
    ],
)
def test_contradictions_are_refused(values, reason):
    with pytest.raises(ValueError, match=reason):
        LabelRecord(7, "a.jpg", 1, 1, *values)


def test_object_refuses_what_is_not_finite():
    with pytest.raises(ValueError, match="4 finite numbers"):
        ObjectRecord((1, 2, 3, float("nan")), 1, "a", 1, 1, None, 1, 1, 1, (1, 1), "")
    with pytest.raises(ValueError, match="finite score"):
        ObjectRecord((1, 2, 3, 4), 1, "a", float("inf"), 1, None, 1, 1, 1, (1, 1), "")


def test_image_id_is_stable_and_has_63_bits():
    # BLAKE2b-64 of the name, shifted right once; fixed for ever, outputs depend on it.
    assert compute_image_id("a.jpg") == 0x7F23F801370953C4
    ids = [compute_image_id(f"{i}.jpg") for i in range(1000)]
    assert len(set(ids)) == 1000
    assert all(0 <= i < 1 << 63 for i in ids)


def test_identity_changes_with_name_size_time_and_version():
    others = [
        ImageRecord(7, "a/c.jpg", IMAGE.path, 100, 200),
        ImageRecord(7, "a/b.jpg", IMAGE.path, 101, 200),
        ImageRecord(7, "a/b.jpg", IMAGE.path, 100, 201),
        ImageRecord(7, "a/b.jpg", IMAGE.path, 100, 200, version="etag"),
        ImageRecord(7, "a/b.jpg", IMAGE.path, 100, 200, version="etag 2"),
    ]
    assert len({IMAGE.identity, *(other.identity for other in others)}) == 6
    assert ImageRecord(8, "a/b.jpg", Path("/y"), 100, 200).identity == IMAGE.identity
