"""Parts of earlier versions, without the columns that were added since, beside new ones."""

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from row_objects import make_object

from ovsam_pipeline.export.coco import export_coco
from ovsam_pipeline.output.parts import (
    SCHEMA,
    drop_part_rows,
    iterate_part_rows,
    read_part_index,
    tally_part,
    write_part,
)
from ovsam_pipeline.records import ADDED_LATER, LabelRecord

OBJECT = make_object(head_score=0.5, clip_score=0.25, risk=0.75, reason="mask unstable")


def make_row(name: str) -> LabelRecord:
    number = ord(name[0])
    return LabelRecord(
        number,
        name,
        9,
        8,
        "labelled",
        objects=(OBJECT,),
        phash=-5,
        phash_detail="AA",
        identity=name,
    )


def make_old(path) -> None:
    """Rewrite a part as an earlier version wrote it."""
    table = pq.read_table(path)
    item = SCHEMA.field("objects").type.value_type
    fields = [field for field in item if field.name not in ADDED_LATER]
    objects = pa.array(
        [
            [{field.name: value[field.name] for field in fields} for value in row]
            for row in table["objects"].to_pylist()
        ],
        pa.list_(pa.struct(fields)),
    )
    kept = [name for name in table.column_names if name not in {"objects", *ADDED_LATER}]
    old = table.select(kept).append_column("objects", objects)
    pq.write_table(old.replace_schema_metadata(table.schema.metadata), path)


@pytest.fixture
def parts(tmp_path):
    """An output with an old part and a new one."""
    folder = tmp_path / "parts"
    folder.mkdir()
    old = write_part(folder, [make_row("a.jpg"), make_row("b.jpg")], "f")
    make_old(old)
    return old, write_part(folder, [make_row("c.jpg")], "f")


def test_old_rows_have_nulls_where_nothing_was_stored(parts):
    old, new = parts
    rows = [LabelRecord.from_row(row) for row in iterate_part_rows(old)]
    plain = make_object(head_score=None, clip_score=None, risk=None, reason=None)
    assert [(row.file_name, row.phash, row.objects) for row in rows] == [
        ("a.jpg", None, (plain,)),
        ("b.jpg", None, (plain,)),
    ]
    (row,) = iterate_part_rows(new)
    assert LabelRecord.from_row(row) == replace(make_row("c.jpg"), identity="")


def test_old_rows_are_counted_and_dropped_as_new_ones(parts):
    old, _ = parts
    assert tally_part(old).objects == 2
    assert len(read_part_index(old).keys) == 2
    drop_part_rows(old, [0])
    assert [row["file_name"] for row in iterate_part_rows(old)] == ["b.jpg"]


def test_both_kinds_are_exported_together(parts, tmp_path):
    run = {"categories": [{"id": 5, "name": "cat"}], "fingerprint": "f"}
    (tmp_path / "run.json").write_text(json.dumps(run))
    export_coco(tmp_path, tmp_path / "out.json")
    items = json.loads((tmp_path / "out.json").read_text())["annotations"]
    old, _, new = sorted(items, key=lambda item: item["image_id"])
    added = {"head_score": 0.5, "clip_score": 0.25, "risk": 0.75, "reason": "mask unstable"}
    assert not added.keys() & old.keys()
    assert {name: new[name] for name in added} == added
    assert [item["category_id"] for item in items] == [5, 5, 5]
