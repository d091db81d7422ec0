"""The table of objects, the Hugging Face folder and Croissant with the tools that read them."""

import json

import pytest
from seven_masks import write_seven_masks

from ovsam_pipeline.export.csv import export_csv
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
