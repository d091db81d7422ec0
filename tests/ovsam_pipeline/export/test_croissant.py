"""What croissant.json says; tests/consumers/test_tables.py reads it with mlcroissant."""

import hashlib
import json

import pyarrow.parquet as pq
import pytest
from reviewed_rows import answer
from seven_masks import CLASSES, make_seven_masks, write_seven_masks

from ovsam.masks import encode_mask
from ovsam_pipeline.export.croissant import export_croissant
from ovsam_pipeline.export.options import ExportOptions
from ovsam_pipeline.output.reviews import append_answers


@pytest.fixture
def output(tmp_path):
    output = write_seven_masks(tmp_path)
    run = json.loads((output / "run.json").read_text())
    run |= {"model": {"name": "nano", "licence": "Apache-2.0", "identity": "abc"}}
    run |= {"detector": {"name": "detic"}, "finished": "2026-11-29T12:00:00+00:00"}
    run |= {"depends_on": {"conf": 0.25, "model_hash": "abc"}}
    (output / "run.json").write_text(json.dumps(run))
    return output


def export(output, **options):
    target = output.parent / "set"
    target.mkdir()
    summary = export_croissant(output, target, ExportOptions(**options))
    return target, json.loads((target / "croissant.json").read_text()), summary


def test_the_licence_of_every_part_is_told_apart(output):
    _, described, _ = export(output)
    assert [entry["name"] for entry in described["license"]] == [
        "pictures: not stated: whoever publishes this sets it",
        "labels: not stated: whoever publishes this sets it",
        "weights of the model nano: Apache-2.0",
        "weights of the detector detic: not stated",
    ]


def test_it_says_what_made_the_labels(output):
    _, described, _ = export(output)
    made = described["prov:wasGeneratedBy"]
    assert made["prov:wasAssociatedWith"]["prov:label"] == "ovsam 1.2"
    assert made["prov:endedAtTime"] == "2026-11-29T12:00:00+00:00"
    assert json.loads(made["description"]) == {"conf": 0.25}
    pictures, model, detector = made["prov:used"]
    assert pictures == {"@id": "pictures"}
    assert (model["prov:label"], model["license"]) == ("model nano", "Apache-2.0")
    assert detector["prov:label"] == "detector detic"
    assert described["datePublished"] == "2026-11-29"
    assert "prov:wasAttributedTo" not in described


def test_what_a_filter_chose_from_is_told(output):
    run = json.loads((output / "run.json").read_text())
    run |= {"task": "filter", "filtered": {"task": "label", "depends_on": {"model": "nano"}}}
    (output / "run.json").write_text(json.dumps(run))
    made = export(output)[1]["prov:wasGeneratedBy"]
    assert made["prov:label"] == "ovsam filter"
    assert made["prov:wasInformedBy"]["prov:label"] == "ovsam label"


def test_people_are_named(output):
    mask = encode_mask(make_seven_masks()["solid"])
    append_answers(output, [answer("a.png", "solid", reviewed=mask, shown={"category": "solid"})])
    _, described, _ = export(output)
    assert [person["prov:label"] for person in described["prov:wasAttributedTo"]] == ["ann"]


def test_the_tables_hold_all_and_are_as_described(output):
    target, described, summary = export(output)
    objects = pq.read_table(target / "objects.parquet").to_pylist()
    assert [row["category"] for row in objects] == list(CLASSES)
    assert [row["object"] for row in objects] == list(range(1, 8))
    images = pq.read_table(target / "images.parquet").to_pylist()
    assert {row["file_name"]: row["path"] for row in images} == {
        "a.png": "images/a.png",
        "sub/b.png": "images/sub/b.png",
    }
    assert (target / "images" / "sub" / "b.png").is_file()
    files = {entry["@id"]: entry for entry in described["distribution"]}
    content = (target / "objects.parquet").read_bytes()
    assert files["objects.parquet"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert files["pictures"]["encodingFormat"] == ["image/png"]
    assert (summary.images, summary.objects) == (2, 7)


def test_without_pictures_none_are_described(output):
    target, described, _ = export(output, images="none")
    assert [entry["@id"] for entry in described["distribution"]] == [
        "images.parquet",
        "objects.parquet",
    ]
    assert not (target / "images").exists()
    assert pq.read_table(target / "images.parquet")["path"].null_count == 2
