import base64
import json

import numpy as np
import pytest
from scored_folder import make_scores

from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.ui.results.data import is_results, read_results


@pytest.fixture
def folder(tmp_path):
    return make_scores(tmp_path / "scores")


def list_examples(results, group="worst"):
    return results.list_examples(group, "{}/{}".format, lambda _, __: None)


def test_a_folder_of_an_evaluation_is_known_and_an_output_is_not(folder, tmp_path) -> None:
    assert is_results(folder)
    assert is_results(folder / "metrics.json")
    assert not is_results(tmp_path)
    (folder / "run.json").write_text("{}")
    assert not is_results(folder)


def test_classes_are_the_rows_of_the_table(folder) -> None:
    classes = read_results(folder).describe()["classes"]
    rows = [dict(zip(classes["columns"], row, strict=True)) for row in classes["rows"]]
    assert [row["name"] for row in rows] == ["cat", "dog, small", "bird"]
    assert [row["split"] for row in rows] == ["base", "novel", None]
    assert rows[0]["annotations"] == 2
    assert rows[0]["iou"] == pytest.approx(0.75)
    assert rows[2]["segm_AP"] is None


def test_curves_of_classes_are_packed_beside_their_mean(folder) -> None:
    results = read_results(folder)
    curves = results.describe()["curves"]["segm"]
    assert curves["classes"] == [0, 1]  # rows of the table
    packed = np.frombuffer(base64.b64decode(curves["data"]), "<u2").reshape(2, 3, 101) / 65535
    measured = results.curves["segm"]
    assert np.allclose(packed[:, 0], measured["precision_50"], atol=1e-5)
    assert np.allclose(packed[:, 2].mean(axis=0), curves["precision"], atol=1e-4)
    ap = results.metrics["metrics"]["segm"]["AP"]
    assert np.mean(curves["precision"]) == pytest.approx(ap, abs=1e-3)


def test_an_example_has_both_sides_as_pages_draw_them(folder) -> None:
    results = read_results(folder)
    (pair,) = results.describe()["pairs"]
    assert pair == {"truth": "dog, small", "predicted": "cat", "count": 1, "examples": 1}
    (example,) = list_examples(results, "0")
    assert (example["truth"]["key"], example["prediction"]["key"]) == ("truth", "prediction")
    assert example["prediction"]["score"] == 0.8
    assert example["truth"]["path"].startswith("M")
    assert (example["file_name"], example["width"], example["height"]) == ("10.png", 100, 100)
    # 16 pixels, .4 of 40, around a box from 50 to 90.
    assert example["window"] == (34, 34, 66, 66)
    assert example["crop"] == "0/0"


def test_polygons_on_an_image_of_unknown_size_are_as_large_as_their_boxes(folder) -> None:
    path = folder / "examples.json"
    found = json.loads(path.read_text())
    for image in found["images"]:
        image.update(height=None, width=None)
    path.write_text(json.dumps(found))
    (example,) = list_examples(read_results(folder), "0")
    assert (example["width"], example["height"]) == (90, 90)
    assert example["truth"]["path"]


def test_a_damaged_mask_leaves_the_box(folder) -> None:
    path = folder / "examples.json"
    found = json.loads(path.read_text())
    found["worst"][0]["truth"]["segmentation"] = {"size": [100, 100], "counts": "zz"}
    path.write_text(json.dumps(found))
    side = list_examples(read_results(folder))[0]["truth"]
    assert (side["path"], side["bbox"]) == ("", [0, 0, 10, 10])


def test_folders_of_earlier_versions_open_with_a_note(folder) -> None:
    (folder / "curves.parquet").unlink()
    (folder / "examples.json").unlink()
    told = read_results(folder).describe()
    assert (told["curves"], told["pairs"], told["worst"], told["matrix"]) == ({}, [], 0, None)
    assert "an earlier version" in told["notes"][0]
    assert "--worst 0" in told["notes"][1]


@pytest.mark.parametrize("group", ["1", "-1", "x", "", "٣", "9" * 30])
def test_a_group_that_is_not_there_is_a_sentence(folder, group) -> None:
    with pytest.raises(DatasetError, match=r"expected examples of \"worst\" or of a pair below 1"):
        list_examples(read_results(folder), group)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["worst"][0].update(image=99),
        lambda found: found["worst"][0].update(truth=[1]),
        lambda found: found["worst"][0]["truth"].update(bbox="0"),
        lambda found: found["worst"][0]["truth"].pop("category"),
        lambda found: found["worst"][0]["truth"].pop("annotation_id"),
        lambda found: found["images"][0].update(path=5),
        lambda found: found.update(worst=[None]),
        lambda found: found.update(confusions={"a": 1}),
    ],
)
def test_examples_of_others_are_refused_in_a_sentence(folder, change) -> None:
    path = folder / "examples.json"
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
    with pytest.raises(DatasetError, match=r"expected examples\.json of ovsam eval"):
        read_results(folder)


@pytest.mark.parametrize(
    "text", ["", "name\ncat\n", "category_id,name\n1\n", "category_id,iou\n1,x\n"]
)
def test_a_table_of_others_is_refused_in_a_sentence(folder, text) -> None:
    (folder / "per_class.csv").write_text(text)
    with pytest.raises(DatasetError, match=r"per_class\.csv"):
        read_results(folder)


def test_a_table_that_is_no_text_is_refused_in_a_sentence(folder) -> None:
    (folder / "per_class.csv").write_bytes(b"category_id,name\n1,\xff\n")
    with pytest.raises(DatasetError, match="as a table"):
        read_results(folder)


def test_names_keep_their_ends_of_lines(folder) -> None:
    (folder / "per_class.csv").write_bytes(b'category_id,name\n1,"two\r\nlines"\n')
    assert read_results(folder).classes["name"] == ["two\r\nlines"]


def test_only_pictures_are_looked_at_wherever_a_file_says_they_are(folder) -> None:
    results = read_results(folder)
    results.examples["images"][0]["path"] = "/etc/passwd"
    with pytest.raises(DatasetError, match="not known where the picture"):
        results.find_picture("worst", 0)


def test_numbers_that_are_none_are_empty(folder) -> None:
    """Python writes and reads NaN, and no browser reads it: the whole page would fail."""
    for name, key in (("metrics.json", "metrics"), ("examples.json", "worst")):
        values = json.loads((folder / name).read_text())
        item = values[key]["segm"] if key == "metrics" else values[key][0]
        item["AP" if key == "metrics" else "iou"] = float("nan")
        (folder / name).write_text(json.dumps(values))
    results = read_results(folder)
    assert results.describe()["metrics"]["metrics"]["segm"]["AP"] is None
    assert list_examples(results)[0]["iou"] is None
    json.dumps(results.describe(), allow_nan=False)
