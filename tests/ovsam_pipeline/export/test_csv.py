"""One line an object: what stands in it, and that no name of a stranger is run."""

import csv
import math

import numpy as np
import pytest
from reviewed_rows import answer, draw_mask, make_labelled, make_row, write_output
from seven_masks import make_seven_masks, write_seven_masks

from ovsam.errors import ConfigError
from ovsam.masks import encode_mask
from ovsam_pipeline.export.csv import COLUMNS, export_csv, neutralise, restore
from ovsam_pipeline.export.labels import LabelChoice
from ovsam_pipeline.export.mask_crops import crop_mask
from ovsam_pipeline.export.options import ExportOptions
from ovsam_pipeline.export.shape import measure_shape
from ovsam_pipeline.output.reviews import append_answers


def read(path):
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def export(output, target, **choice):
    summary = export_csv(output, target, ExportOptions(LabelChoice(**choice)))
    return read(target), summary


def test_a_line_has_all_that_is_known_of_an_object(tmp_path):
    item = make_labelled((10, 20, 4, 2), "dog", score=0.3, risk=0.7, reason="mask unstable")
    output = write_output(tmp_path / "out", make_row("a.jpg", item), make_row("b.jpg", image_id=2))
    (line,), summary = export(output, tmp_path / "table.csv")
    assert tuple(line) == COLUMNS
    assert (summary.images, summary.objects) == (2, 1)
    expected = {"file_name": "a.jpg", "category": "dog", "category_id": "5", "object": "1"}
    expected |= {"score": "0.3", "risk": "0.7", "reason": "mask unstable", "clip_score": ""}
    expected |= {"area": "8", "area_share": "0.003333", "image_width": "60", "image_height": "40"}
    expected |= {"box_left": "10.0", "box_top": "20.0", "box_width": "4.0", "box_height": "2.0"}
    expected |= {"centre_x": "11.5", "centre_y": "20.5", "orientation": "90.0", "width": "2.0"}
    assert expected.items() <= line.items()


def test_the_file_begins_with_a_byte_order_mark_and_has_windows_line_ends(tmp_path):
    output = write_output(tmp_path / "out", make_row("ü.jpg", make_labelled((1, 1, 4, 2))))
    export(output, tmp_path / "table.csv")
    content = (tmp_path / "table.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbffile_name,")
    assert content.count(b"\r\n") == 2
    assert "\nü.jpg,".encode() in content


@pytest.mark.parametrize(
    "name",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "'=1", "\u00a0=1", "\uff1d1"],
)
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(name):
    assert neutralise(name) == f"'{name}"
    assert restore(neutralise(name)) == name


@pytest.mark.parametrize("name", ["cat", "a=b", "it's", "'quoted'", "3-1", "ü", "", 'x, "y"\nz'])
def test_other_names_stay(name):
    assert neutralise(name) == restore(name) == name


def test_hostile_names_come_back_as_one_cell(tmp_path):
    name = '=HYPERLINK("http://x"),\n"a".jpg'
    item = make_labelled((1, 1, 4, 2), reason="+cmd", detector_margin=-0.5)
    output = write_output(tmp_path / "out", make_row(name, item))
    (line,), _ = export(output, tmp_path / "table.csv")
    assert (line["file_name"], line["reason"]) == (f"'{name}", "'+cmd")
    assert line["detector_margin"] == "-0.5"  # a number is no formula


def test_what_people_said_wins(tmp_path):
    output = write_output(tmp_path / "out", make_row("a.jpg", make_labelled((5, 5, 8, 8))))
    append_answers(output, [answer("a.jpg", "tiger", reviewed=draw_mask(5, 5, 8, 8))])
    (line,), _ = export(output, tmp_path / "table.csv", reviewed_only=True)
    assert (line["category"], line["reviewed_by"], line["category_id"]) == ("tiger", "ann", "6")


def test_the_seven_masks_have_their_areas(tmp_path):
    lines, _ = export(write_seven_masks(tmp_path), tmp_path / "table.csv")
    areas = [int(mask.sum()) for mask in make_seven_masks().values()]
    assert [int(line["area"]) for line in lines] == areas


def test_unknown_classes_are_refused_and_no_file_is_left(tmp_path):
    output = write_output(tmp_path / "out", make_row("a.jpg", make_labelled((5, 5, 8, 8))))
    with pytest.raises(ConfigError, match="expected --classes of this output, got 'cta'"):
        export(output, tmp_path / "table.csv", classes=("cta",))
    assert not (tmp_path / "table.csv").exists()


def draw_ellipse(length, width, degrees):
    """Half axes in pixels; the angle as scikit-image has it."""
    y, x = np.mgrid[:200, :200] - 99.5
    turn = math.radians(degrees)
    along, across = y * math.cos(turn) + x * math.sin(turn), x * math.cos(turn) - y * math.sin(turn)
    return (along / length) ** 2 + (across / width) ** 2 <= 1


@pytest.mark.parametrize("degrees", [0, 30, -45, 80, 90])
def test_length_width_and_orientation_are_those_of_a_drawn_ellipse(degrees):
    shape = measure_shape(crop_mask(encode_mask(draw_ellipse(80, 20, degrees))))
    assert shape.length == pytest.approx(160, rel=0.01)
    assert shape.width == pytest.approx(40, rel=0.02)
    assert shape.orientation == pytest.approx(degrees, abs=0.5)
    assert (shape.centre_x, shape.centre_y) == pytest.approx((99.5, 99.5), abs=0.1)


def test_small_masks_have_a_shape_and_empty_ones_none():
    empty = np.zeros((9, 9), bool)
    assert measure_shape(crop_mask(encode_mask(empty))) is None
    pixel, line = empty.copy(), empty.copy()
    pixel[3, 4] = line[3, 2:7] = True
    assert measure_shape(crop_mask(encode_mask(pixel)))[:4] == (4, 3, 0, 0)
    assert measure_shape(crop_mask(encode_mask(line)))[2:] == (4 * math.sqrt(2), 0, 90)
