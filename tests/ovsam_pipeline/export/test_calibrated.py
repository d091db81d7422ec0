"""`ovsam export --format csv --calibrated`: what a score and a risk are worth, in columns."""

import csv

import pytest
from reviewed_rows import make_labelled, make_row, write_output

from ovsam.errors import ConfigError
from ovsam_pipeline.export.csv import COLUMNS, export_csv
from ovsam_pipeline.export.options import ExportOptions
from ovsam_pipeline.output.checked_labels import Calibration, FittedMap, write_calibration

BOX = (0, 0, 8, 8)
# sigmoid(2 · logit(x) + 0): .8 becomes .64 / (.64 + .04).
DOUBLED = FittedMap(2.0, 0.0, 60, 50, 0.2, 0.1, (), ())


def make_output(folder, fingerprint="f", name=DOUBLED):
    objects = [make_labelled(BOX, score=0.8, risk=0.5), make_labelled(BOX, score=0.5, risk=None)]
    output = write_output(folder, make_row("a.jpg", *objects), fingerprint="f")
    calibration = Calibration(DOUBLED, name, 60, ("ann",), fingerprint, "2026-11-29T10:00:00")
    write_calibration(output, calibration)
    return output


def export(output, target, **options):
    export_csv(output, target, ExportOptions(**options))
    with target.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def test_scores_and_risks_become_probabilities(tmp_path):
    first, second = export(make_output(tmp_path / "out"), tmp_path / "a.csv", calibrated=True)
    assert float(first["calibrated_score"]) == pytest.approx(0.64 / 0.68, abs=1e-5)
    assert float(first["right_probability"]) == 0.5
    assert (second["calibrated_score"], second["right_probability"]) == ("0.5", "")


def test_names_without_a_map_have_no_probability(tmp_path):
    first, _ = export(make_output(tmp_path / "out", name=None), tmp_path / "a.csv", calibrated=True)
    assert (first["calibrated_score"], first["right_probability"]) == ("", "0.5")


def test_columns_are_those_of_before_unless_asked(tmp_path):
    first, _ = export(make_output(tmp_path / "out"), tmp_path / "a.csv")
    assert tuple(first) == COLUMNS


def test_calibration_of_other_labels_is_refused(tmp_path):
    output = make_output(tmp_path / "out", fingerprint="old")
    with pytest.raises(ConfigError, match="got one of labels of other settings; make it with"):
        export(output, tmp_path / "a.csv", calibrated=True)
    (output / "calibration.json").unlink()
    with pytest.raises(ConfigError, match=r"got none; make it with ovsam review .* --calibrate"):
        export(output, tmp_path / "a.csv", calibrated=True)
    assert not (tmp_path / "a.csv").exists()
