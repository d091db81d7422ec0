"""annotations.json against a plain export, row by row, of rows that are meant to break it."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from row_objects import make_object

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export import coco
from ovsam_pipeline.export.coco import export_coco
from ovsam_pipeline.export.json_text import encode_numbers, encode_texts, round_to_cents
from ovsam_pipeline.export.row_counts import count_output
from ovsam_pipeline.output import part_tables
from ovsam_pipeline.output.answered_rows import Corrections
from ovsam_pipeline.output.folder import iterate_rows
from ovsam_pipeline.output.parts import write_part
from ovsam_pipeline.records import BoxRecord, LabelRecord, ObjectRecord
from ovsam_pipeline.storage.remote_path import parse_path

OPTIONAL = (
    "margin", "mask_score", "detector_category", "detector_margin", "model_category", "model_score",
    "prompt_id",
)  # fmt: skip
HOSTILE = (
    'a "quoted" name',
    "back\\slash\\",
    "new\nline\x01\x7f",
    "日本語 \u2028 🙂",
    "",
    "plain/name.jpg",
)


def make_objects(count: int, seed: int) -> tuple[ObjectRecord, ...]:
    """Objects with all kinds of numbers and texts; each field that may be null is null in some."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        box = (rng.random(4) * 1000).round(int(rng.integers(4)))
        nullable = {"detector_category": HOSTILE[index % 6], "prompt_id": 2**60}
        prompt = BoxRecord((0, 0, 1, 1), (0.0, 1.0, 0.5, float(rng.random()))[index % 4])
        prompt = replace(prompt, **{k: v for k, v in nullable.items() if rng.random() < 0.6})
        counts = ("PQ\\1\\\\o0", "", "0" * 300, "\\")[index % 4]
        item = make_object(
            prompt,
            bbox=tuple(float(side) for side in box),
            category_id=int(rng.integers(2000)),
            score=float(np.float32(rng.random() ** 8)),
            area=int(rng.integers(2**40)),
            segmentation={"size": [480, 640 + index], "counts": counts},
            model_category=HOSTILE[(index + 1) % 6],
            model_score=1 / 3,
            margin=float(np.float32(rng.random())) if rng.random() < 0.6 else None,
            detector_margin=-1e-9 * index if rng.random() < 0.6 else None,
        )
        found.append(item)
    return tuple(found)


def make_rows(count: int = 40) -> list[LabelRecord]:
    """Labelled, empty and failed rows with ids in no order."""
    rows = []
    for index in range(count):
        image_id = (index * 7919) % 1009 * 2**40 - 2**44
        name = f"{index} {HOSTILE[index % 6]}"
        base = LabelRecord(image_id, name, 640, 480, "empty", identity=f"identity {index}")
        if index % 5 == 1:
            base = replace(base, status="failed", error="torn", width=None, height=None)
        elif index % 5:
            base = replace(base, status="labelled", objects=make_objects(index % 7 + 1, index))
        rows.append(base)
    return rows


def make_output(folder, parts: list[list[LabelRecord]]):
    (folder / "parts").mkdir(parents=True)
    categories = [{"id": 1, "name": 'cat "é"'}]
    run = {"ovsam": "1.2", "categories": categories, "model": {"name": "nano"}}
    (folder / "run.json").write_text(json.dumps(run))
    for rows in parts:
        write_part(folder / "parts", rows, "f")
    return folder


def export_plainly(output) -> dict:
    """What the file has to say, one python object after the other."""
    rows = list(iterate_rows(output))
    images = [
        {"id": row["image_id"], **{name: row[name] for name in ("file_name", "width", "height")}}
        for row in rows
        if row["status"] != "failed"
    ]
    first_ids, next_id = {}, 1
    for row in sorted(rows, key=lambda row: row["image_id"]):
        first_ids[row["image_id"]] = next_id
        next_id += len(row["objects"])
    annotations = [
        describe(first_ids[row["image_id"]] + offset, row["image_id"], item)
        for row in rows
        for offset, item in enumerate(row["objects"])
    ]
    return {"images": images, "annotations": annotations}


def describe(annotation_id: int, image_id: int, item: dict) -> dict:
    plain = {"id": annotation_id, "image_id": image_id, "iscrowd": 0}
    plain |= {name: item[name] for name in ("category_id", "segmentation", "area")}
    plain["bbox"] = [round(side, 2) for side in item["bbox"]]
    for name in ("score", "detector_score", *OPTIONAL):
        value = item[name]
        if value is not None:
            plain[name] = shorten(value) if isinstance(value, float) else value
    return plain


def shorten(value: float) -> float:
    return float(str(np.float32(value)))


def read_json(path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("table_bytes", [1, 3000, 8_000_000])
def test_file_says_what_the_rows_say(tmp_path, monkeypatch, table_bytes):
    monkeypatch.setattr(part_tables, "_TABLE_BYTES", table_bytes)
    rows = make_rows()
    out = make_output(tmp_path, [rows[:10], rows[10:11], rows[11:]])
    counts = export_coco(out, out / "annotations.json")
    found, expected = read_json(out / "annotations.json"), export_plainly(out)
    assert found["images"] == expected["images"]
    assert found["annotations"] == expected["annotations"]
    assert len(found["annotations"]) == counts.objects > 80
    assert found["categories"] == [{"id": 1, "name": 'cat "é"'}]
    assert found["info"] == {"description": "labels made by ovsam 1.2", "model": {"name": "nano"}}
    assert (counts.labelled, counts.empty, counts.failed) == (24, 8, 8)
    assert count_output(out) == counts


def test_fields_stand_in_the_order_of_the_format(tmp_path):
    out = make_output(tmp_path, [make_rows(4)])
    export_coco(out, out / "annotations.json")
    order = ["id", "image_id", "category_id", "segmentation", "area", "bbox", "iscrowd"]
    order += ["score", "detector_score"]
    for item in read_json(out / "annotations.json")["annotations"]:
        assert list(item) == [*order, *(name for name in OPTIONAL if name in item)]
    assert list(read_json(out / "annotations.json")["images"][0]) == [
        "id",
        "file_name",
        "width",
        "height",
    ]


def test_same_labels_have_the_same_ids_however_they_are_spread(tmp_path):
    rows = make_rows()
    spread = {
        "together": [rows],
        "alone": [[row] for row in reversed(rows)],
        "mixed": [rows[::3], rows[1::3], rows[2::3]],
    }
    texts = set()
    for name, parts in spread.items():
        out = make_output(tmp_path / name, parts)
        export_coco(out, out / "annotations.json")
        found = read_json(out / "annotations.json")["annotations"]
        assert sorted(item["id"] for item in found) == list(range(1, len(found) + 1))
        texts.add(json.dumps(sorted(found, key=lambda item: item["id"])))
    assert len(texts) == 1


@pytest.mark.parametrize("is_failed", [False, True])
def test_output_without_objects_is_a_valid_file(tmp_path, is_failed):
    row = make_rows(2)[is_failed]
    out = make_output(tmp_path, [[row]])
    export_coco(out, out / "annotations.json")
    found = read_json(out / "annotations.json")
    assert (len(found["images"]), found["annotations"]) == (1 - is_failed, [])


def test_output_without_parts_is_a_valid_file(tmp_path):
    out = make_output(tmp_path, [])
    assert export_coco(out, out / "annotations.json").images == 0
    assert read_json(out / "annotations.json")["images"] == []


def test_damaged_part_is_named_and_leaves_the_old_file(tmp_path):
    out = make_output(tmp_path, [make_rows(4)])
    (out / "annotations.json").write_text("old")
    (out / "parts" / "part-torn.parquet").write_bytes(b"PAR1")
    with pytest.raises(OutputError, match=r"part-torn.parquet is damaged"):
        export_coco(out, out / "annotations.json")
    with pytest.raises(OutputError, match=r"part-torn.parquet is damaged"):
        count_output(out)
    assert (out / "annotations.json").read_text() == "old"


@pytest.mark.parametrize("known", [3, 5])
def test_parts_that_change_meanwhile_are_refused(tmp_path, known):
    out = make_output(tmp_path, [make_rows(4)])
    parts = sorted((out / "parts").iterdir())
    with pytest.raises(OutputError, match="parts changed during the export"):
        list(coco._iterate_annotations(parts, Corrections(), np.ones(known, np.int64)))


@pytest.mark.parametrize("whole_bytes", [0, 4_000_000])
def test_store_as_output_and_target(tmp_path, monkeypatch, whole_bytes):
    monkeypatch.setattr(part_tables, "_WHOLE_BYTES", whole_bytes)
    rows = make_rows()
    local = make_output(tmp_path, [rows])
    remote = parse_path(f"memory://coco-export/{whole_bytes}")
    (remote / "run.json").write_bytes((local / "run.json").read_bytes())
    for part in (local / "parts").iterdir():
        (remote / "parts" / part.name).write_bytes(part.read_bytes())
    assert export_coco(remote, remote / "a.json") == export_coco(local, local / "a.json")
    assert (remote / "a.json").read_bytes() == (local / "a.json").read_bytes()


def test_scores_have_the_order_and_the_ties_of_the_parts():
    rng = np.random.default_rng(0)
    near = np.float32(0.9999999) + np.spacing(np.float32(0.9999999)) * np.arange(-3, 2)
    bits = rng.integers(0, 2**32, 20_000, np.uint64).astype(np.uint32).view(np.float32)
    special = [0, -0.0, 1, 1e-30, 3.4e38, 1e-45, 123456789, 0.1]
    values = np.concatenate([near, rng.random(5000) ** 8, bits[np.isfinite(bits)], special])
    values = values.astype(np.float32)
    found = [json.loads(text) for text in encode_numbers(pa.array(values)).to_pylist()]
    assert np.array_equal(np.array(found, np.float32), values)
    assert found == [shorten(value) for value in values]


def test_numbers_that_are_not_finite_are_what_python_reads():
    values = pa.array([np.nan, np.inf, -np.inf, None, 0.5], pa.float32())
    assert encode_numbers(values).to_pylist() == ["NaN", "Infinity", "-Infinity", None, "0.5"]


def test_boxes_are_rounded_as_python_rounds():
    rng = np.random.default_rng(1)
    ties = np.arange(0, 50, 0.125)
    values = np.concatenate([rng.normal(size=20_000) * 1000, ties, -ties, [2.675, 3e38, 1e-30]])
    values = values.astype(np.float32)
    assert round_to_cents(values).tolist() == [round(float(value), 2) for value in values]


@pytest.mark.parametrize(
    "texts", [HOSTILE, ("\\a\\", "", "b", "\\\\"), ("plain", "text"), ("", "")]
)
def test_texts_are_encoded_as_python_encodes(texts):
    whole = pa.array(["before \\", *texts, 'after "'], pa.string())
    found = encode_texts(whole.slice(1, len(texts))).to_pylist()
    assert found == [json.dumps(text, ensure_ascii=False)[1:-1] for text in texts]
