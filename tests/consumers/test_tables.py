"""The table of objects, the Hugging Face folder and Croissant with the tools that read them."""

import json

import pytest
from seven_masks import CLASSES, make_label, make_seven_masks, write_output, write_seven_masks

from ovsam.masks import compute_mask_ious, encode_mask
from ovsam_pipeline.export.croissant import export_croissant
from ovsam_pipeline.export.csv import export_csv
from ovsam_pipeline.export.hf import export_hf
from ovsam_pipeline.export.options import ExportOptions

pytestmark = pytest.mark.consumers

_REGIONPROPS = """
import json, math, sys
sys.path.insert(0, sys.argv[1])
from seven_masks import make_seven_masks
from skimage.measure import regionprops
found = []
for mask in make_seven_masks().values():
    region = regionprops(mask.astype(int))[0]
    centre_y, centre_x = region.centroid
    axes = region.axis_major_length, region.axis_minor_length
    found.append([region.area, centre_x, centre_y, *axes, math.degrees(region.orientation)])
print(json.dumps(found))
"""
_PANDAS = """
import json, sys
import pandas
table = pandas.read_csv(sys.argv[1])
print(table.to_json(orient="records"))
"""
_MEASURES = ("area", "centre_x", "centre_y", "length", "width", "orientation")


def test_lengths_and_orientations_are_those_of_scikit_image(tmp_path, read_with, request):
    export_csv(write_seven_masks(tmp_path), tmp_path / "table.csv", ExportOptions())
    lines = read_with("pandas", _PANDAS, tmp_path / "table.csv")
    ours = [[line[name] for name in _MEASURES] for line in lines]
    doubles = request.config.rootpath / "tests" / "doubles"
    theirs = read_with("scikit-image", _REGIONPROPS, doubles)
    for our, their in zip(ours, theirs, strict=True):
        assert our == pytest.approx(their, abs=1e-6)
    assert json.dumps(lines[0]["category"]) == '"solid"'


_DATASETS = """
import json, sys
import numpy
from datasets import load_dataset
found = {}
for split, rows in load_dataset(sys.argv[1], cache_dir=sys.argv[2]).items():
    names = rows.features["objects"]["category"].feature.names
    found[split] = [
        {
            "name": row["image_name"],
            "pixels": numpy.asarray(row["image"]).shape if "image" in row else None,
            "objects": row["objects"],
            "categories": [names[number] for number in row["objects"]["category"]],
        }
        for row in rows
    ]
print(json.dumps(found))
"""


@pytest.mark.parametrize("images", ["copy", "link", "none"])
def test_datasets_opens_what_was_exported(tmp_path, read_with, images):
    target = tmp_path / "set"
    target.mkdir()
    export_hf(write_seven_masks(tmp_path), target, ExportOptions(images=images))
    (target / "export.json").write_text("{}")  # beside the data, as the command writes it
    found = read_with("datasets", _DATASETS, target, tmp_path / "cache")
    rows = {row["name"]: row for row in found["train"]}
    assert list(found) == ["train"]
    assert rows.keys() == {"a.png", "sub/b.png"}
    assert rows["a.png"]["categories"] == list(CLASSES)
    assert rows["sub/b.png"]["categories"] == []
    assert rows["a.png"]["pixels"] == (None if images == "none" else [240, 320, 3])
    masks = rows["a.png"]["objects"]["segmentation"]
    truth = [encode_mask(mask) for mask in make_seven_masks().values()]
    assert compute_mask_ious(masks, truth).diagonal().tolist() == [1.0] * len(CLASSES)


_MLCROISSANT = """
import itertools, json, sys
import mlcroissant
found = mlcroissant.Dataset(jsonld=sys.argv[1])
def read(name, most):
    rows = itertools.islice(found.records(name), most)
    return [
        {
            key.partition("/")[2]: value.decode() if isinstance(value, bytes) else value
            for key, value in row.items()
        }
        for row in rows
    ]
print(json.dumps({
    "errors": sorted(found.metadata.issues.errors),
    "warnings": sorted(found.metadata.issues.warnings),
    "is_1_1": found.metadata.ctx.is_v1_1(),
    "categories": read("categories", None),
    "images": read("images", None),
    "objects": read("objects", 200),
}))
"""


@pytest.mark.parametrize("images", ["copy", "none"])
def test_mlcroissant_validates_and_reads_two_hundred_objects(tmp_path, read_with, images):
    masks = make_seven_masks()
    objects = [make_label(mask, n, name) for n, (name, mask) in enumerate(masks.items(), 1)]
    labels = {f"{number:02d}.png": objects for number in range(30)}
    output = write_output(tmp_path / "out", tmp_path / "images", {**labels, "empty.png": []})
    target = tmp_path / "set"
    target.mkdir()
    export_croissant(output, target, ExportOptions(images=images))
    found = read_with("mlcroissant", _MLCROISSANT, target / "croissant.json")
    assert (found["errors"], found["warnings"]) == ([], [])
    assert found["is_1_1"]
    assert [row["name"] for row in found["categories"]] == list(CLASSES)
    assert len(found["images"]) == 31
    assert len(found["objects"]) == 200
    for number, row in enumerate(found["objects"]):
        truth = objects[number % 7]
        assert row["mask_counts"] == truth.segmentation["counts"]
        assert (row["category"], row["bbox"]) == (truth.category, list(truth.bbox))
