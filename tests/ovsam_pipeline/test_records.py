from pathlib import Path

import pytest
from row_objects import make_object

from ovsam_pipeline.output.done_index import compute_key
from ovsam_pipeline.records import (
    BoxRecord,
    ImageRecord,
    LabelRecord,
    compute_image_id,
)

IMAGE = ImageRecord(7, "a/b.jpg", Path("/x/a/b.jpg"), 100, 200)
OBJECT = make_object(BoxRecord((1.0, 2.0, 4.5, 6.5), 0.8, "cat"))
PROMPTED = make_object(
    BoxRecord((1.0, 2.0, 4.5, 6.5), 0.8, None, None, (3.0, 4.0), prompt_id=4), detector_margin=0.25
)


def test_object_row_has_the_fields_of_the_contract():
    assert OBJECT.to_row() == {
        "bbox": (1.0, 2.0, 3.0, 4.0),
        "category_id": 5,
        "category": "cat",
        "score": 0.5,
        "detector_score": 0.8,
        "detector_category": "cat",
        "margin": 0.125,
        "mask_score": 0.75,
        "area": 12,
        "segmentation": {"size": [9, 8], "counts": "abc"},
        "prompt_id": None,
        "detector_margin": None,
        "model_category": "cat",
        "model_score": 0.5,
        "detector_box_xyxy": (1.0, 2.0, 4.5, 6.5),
        "detector_point_xy": None,
        "head_score": None,
        "clip_score": None,
        "risk": None,
        "reason": None,
    }


def test_box_row_has_the_fields_of_the_contract():
    assert BoxRecord((1.0, 2.0, 4.5, 6.5), 0.75, "cat", 3, (2.0, 3.0), 8).to_row() == {
        "bbox": (1.0, 2.0, 3.5, 4.5),
        "detector_score": 0.75,
        "detector_category": "cat",
        "detector_category_id": 3,
        "detector_box_xyxy": (1.0, 2.0, 4.5, 6.5),
        "detector_point_xy": (2.0, 3.0),
        "prompt_id": 8,
    }


def test_label_row_has_the_fields_of_the_contract_in_order():
    row = LabelRecord.labelled(IMAGE, 640, 480, (OBJECT,)).to_row()
    names = ["image_id", "file_name", "width", "height", "status", "error", "warning", "phash"]
    assert list(row) == [*names, "phash_detail", "objects"]
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
        make_object(bbox=(1, 2, 3, float("nan")))
    with pytest.raises(ValueError, match="finite score"):
        make_object(score=float("inf"))
    with pytest.raises(ValueError, match="finite score"):
        make_object(BoxRecord((1, 2, 3, 4), float("nan")))


def test_image_id_is_stable_and_survives_floating_point():
    # The first 53 bits of BLAKE2b-64 of the name; fixed for ever, outputs depend on it.
    assert compute_image_id("a.jpg") == 0x7F23F801370953C4 >> 10 == compute_key("a.jpg") >> 11
    ids = [compute_image_id(f"{i}.jpg") for i in range(1000)]
    assert len(set(ids)) == 1000
    assert all(0 <= i == int(float(i)) < 1 << 53 for i in ids)
    assert compute_image_id("a.jpg", 1) not in (compute_image_id("a.jpg"), *ids)


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
