"""The Hugging Face folder without `datasets`; tests/consumers/test_tables.py opens it with that."""

import json

import pyarrow.parquet as pq
import pytest
from reviewed_rows import answer
from seven_masks import CLASSES, make_seven_masks, write_seven_masks

from ovsam.masks import encode_mask
from ovsam_pipeline.export import hf
from ovsam_pipeline.export.check import measure_losses
from ovsam_pipeline.export.hf import export_hf, read_hf
from ovsam_pipeline.export.labels import LabelChoice
from ovsam_pipeline.export.options import ExportOptions
from ovsam_pipeline.output.reviews import append_answers


@pytest.fixture
def output(tmp_path):
    return write_seven_masks(tmp_path)


def export(output, **options):
    target = output.parent / "set"
    target.mkdir()
    options = ExportOptions(**options)
    summary = export_hf(output, target, options)
    losses = measure_losses(output, options, summary, read_hf(output, target, options))
    return target, summary, losses


def read(target, pattern="data/*.parquet"):
    return [row for path in sorted(target.glob(pattern)) for row in pq.read_table(path).to_pylist()]


def test_a_shard_holds_pictures_objects_and_the_names_of_classes(output):
    target, summary, losses = export(output)
    (path,) = target.glob("data/*")
    assert path.name == "train-00000-of-00001.parquet"
    rows = {row["image_name"]: row for row in read(target)}
    picture = (output.parent / "images" / "a.png").read_bytes()
    assert rows["a.png"]["image"] == {"bytes": picture, "path": None}
    assert rows["a.png"]["objects"]["category"] == list(range(7))
    assert rows["a.png"]["objects"]["category_id"] == list(range(1, 8))
    assert rows["sub/b.png"]["objects"]["id"] == []
    metadata = json.loads(pq.read_schema(path).metadata[b"huggingface"])
    features = metadata["info"]["features"]
    category = {"feature": {"names": list(CLASSES), "_type": "ClassLabel"}, "_type": "Sequence"}
    assert features["objects"]["category"] == category
    assert features["image"] == {"_type": "Image"}
    assert (summary.images, summary.objects) == (2, 7)
    assert (losses.objects, losses.changed, losses.mean_iou) == (7, 0, 1.0)


def test_full_shards_are_followed_by_others(output, monkeypatch):
    monkeypatch.setattr(hf, "_GROUP_ROWS", 1)
    monkeypatch.setattr(hf, "_SHARD_BYTES", 1)
    target, _, losses = export(output)
    names = sorted(path.name for path in target.glob("data/*"))
    assert names == [f"train-0000{n}-of-00002.parquet" for n in (0, 1)]
    assert losses.changed == 0


def test_linked_pictures_lie_beside_their_metadata(output):
    target, _, losses = export(output, images="link")
    rows = {row["image_name"]: row for row in read(target, "train/metadata.parquet")}
    assert {row["file_name"] for row in rows.values()} == {"a.png", "sub/b.png"}
    linked = target / "train" / rows["sub/b.png"]["file_name"]
    assert linked.samefile(output.parent / "images" / "sub" / "b.png")
    assert losses.changed == 0


def test_without_pictures_there_is_no_such_column(output):
    target, _, _ = export(output, images="none")
    assert "image" not in read(target)[0]


def test_splits_have_the_names_of_the_hub(output):
    target, _, losses = export(output, split=(0.5, 0.5))
    names = sorted(path.name.partition("-")[0] for path in target.glob("data/*"))
    assert names == ["train", "validation"]
    assert (losses.objects, losses.changed) == (7, 0)


def test_images_that_are_gone_are_counted_and_left_out(output):
    (output.parent / "images" / "a.png").unlink()
    target, summary, losses = export(output)
    assert [row["image_name"] for row in read(target)] == ["sub/b.png"]
    assert list(summary.missing_names) == ["a.png"]
    assert losses.objects == 0


def test_classes_that_only_people_named_are_class_labels_too(output):
    mask = encode_mask(make_seven_masks()["solid"])
    append_answers(output, [answer("a.png", "brick", reviewed=mask, shown={"category": "solid"})])
    target, _, _ = export(output, choice=LabelChoice(reviewed_only=True))
    (row,) = read(target)
    assert row["objects"]["category"] == [7]
    assert row["objects"]["reviewed_by"] == ["ann"]
